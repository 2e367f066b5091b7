# SPDX-License-Identifier: GPL-2.0-only
"""A model host of many domains, in directories of its own, for the benchmarks that need one to ask."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import Command, run_timed

SCENARIO = """\
seed: 1
host: {{release: "4.12", memory: 4GiB, exact: false, contents: tokens}}
guests:
  - name: guest
    count: {domains}
    memory: 1MiB
    pools: [{{}}, {{persistent: true}}, {{}}, {{persistent: true}}]
    workload: {{kind: random, working_set: 16 pages, rate: 100, operations: 32}}
"""
POOLS_PER_DOMAIN = 4


def xm(*arguments: str) -> Command:
    """The command `xm`, as the console script installed beside this Python if there is one."""
    script = Path(sys.executable).with_name("xm")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "xm_tmem", *arguments]


@contextmanager
def model_host(domains: int) -> Iterator[dict[str, str]]:
    """A running host whose guests have done their work; the environment in which `xm` finds it, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="xm-bench-") as directory:
        environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": directory,
            "XDG_STATE_HOME": os.path.join(directory, "state"),
            "XDG_CONFIG_HOME": os.path.join(directory, "config"),
        }
        scenario = Path(directory, "scenario.yaml")
        scenario.write_text(SCENARIO.format(domains=domains), encoding="utf-8")
        run_timed(xm("model", "start", "--factor", "max", str(scenario)), env=environment)
        try:
            _settle(environment)
            yield environment
        finally:
            run_timed(xm("-y", "model", "stop", "--discard"), env=environment)


def raw_listing(environment: Mapping[str, str]) -> bytes:
    """What the hypervisor answers to a LIST of all that it knows."""
    command = xm("-o", "raw", "tmem-list", "-l")
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout


def _settle(environment: Mapping[str, str]) -> None:
    """Wait until the guests have done their work: the listing changes no more, but for the operations it counts."""
    before = b""
    while (now := raw_listing(environment).partition(b"\n")[2]) != before:
        before = now
        time.sleep(0.3)

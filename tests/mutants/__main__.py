# SPDX-License-Identifier: GPL-2.0-only
"""Puts each fault into a copy of the model and runs a fast part of the suite: `python -m tests.mutants [WORD...]`.

WORDs choose faults by file or description; without any, all are tried. One line for each fault: what it is, the test
that noticed and after how long. Exit status: 0 if every fault was noticed, 1 if one was not, 2 if the list is stale.
The working tree is never touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests import recordings
from tests.mutants.faults import FAULTS, Fault

ROOT: Final = Path(__file__).resolve().parents[2]
AT_ONCE: Final = 2
EXAMPLES: Final = 10
TIMEOUT_S: Final = 120
# In this order: what is quick and precise first; a state machine takes long to say what it has found.
SUITE: Final = (
    "tests/hypervisor_model/host",
    "tests/hypervisor_model/tmem",
    "tests/hypervisor_model/test_hypervisor.py",
    "tests/hypervisor_model/guests/test_kswapd.py",
    "tests/hypervisor_model/guests/test_zcache.py",
    "tests/hypervisor_model/guests/test_xvmalloc.py",
    "tests/conformance/test_traces.py",
    "tests/hypervisor_model/lib",
)
# Of the recordings, those that try most: pressure with every option, and many shared pools and saves.
TRACES: Final = ("43-extra0-hp270", "43-c0d1t1s0-pressure", "43-c1d1t0s0-pressure", "412-c1-03-hp560")
SLOW: Final = "twenty_thousand"
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def stale(fault: Fault, root: Path = ROOT) -> str | None:
    """What is wrong with the list: the old text is not there, or not just once."""
    found = (root / "hypervisor_model" / fault.file).read_text(encoding="utf-8").count(fault.old)
    return None if found == 1 else f"{fault.file}: {fault.old.strip()!r} occurs {found} times ({fault.what})"


def copy_sources(target: Path) -> None:
    """The model as plain Python, and the tests."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "golden")
    for name in ("hypervisor_model", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    shutil.copy(ROOT / "setup.cfg", target)


def put_in(fault: Fault, root: Path) -> None:
    path = root / "hypervisor_model" / fault.file
    path.write_text(path.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")


def noticed_by(root: Path) -> str | None:
    """The first test that fails on the sources under `root`; None: all pass. Raises RuntimeError if none could run."""
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XM_TMEM_PURE": "1",
        "XM_TMEM_EXAMPLES": str(EXAMPLES),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(root / "hypothesis"),
    }
    if (folder := recordings.root()) is not None:
        environment["XM_TMEM_CONFORMANCE"] = str(folder)
    traces = " or ".join(TRACES)
    chosen = f"not {SLOW} and (not test_trace_is_answered or {traces})"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=no",
        "-m",
        "not long",
    ]
    try:
        ran = subprocess.run(
            [*command, "-k", chosen, *SUITE],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"(it hangs: stopped after {TIMEOUT_S} s)"
    if ran.returncode == 0:
        return None
    failed = _FAILED.search(ran.stdout)
    if failed is None:
        raise RuntimeError(f"pytest ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return failed[1].removeprefix("tests/").removeprefix("hypervisor_model/")


def try_fault(fault: Fault) -> tuple[str | None, float]:
    """The test that notices `fault`, and the seconds it took."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        root = Path(directory)
        copy_sources(root)
        put_in(fault, root)
        return noticed_by(root), time.monotonic() - start


def sound() -> str | None:
    """The test that fails although there is no fault; it would "notice" every one."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy_sources(Path(directory))
        return noticed_by(Path(directory))


def chosen_by(words: Sequence[str]) -> list[Fault]:
    return [
        fault for fault in FAULTS if not words or any(word in f"{fault.file} {fault.what}" for word in words)
    ]


def main(words: Sequence[str]) -> int:
    faults = chosen_by(words)
    wrong = [text for fault in faults if (text := stale(fault)) is not None]
    if wrong or not faults:
        print(*wrong or ["no such fault"], sep="\n", file=sys.stderr)
        return 2
    failing = sound()
    if failing is not None:
        print(f"{failing} fails without any fault", file=sys.stderr)
        return 2
    start = time.monotonic()
    survivors = 0
    print(f"{'fault':70} {'seconds':>7}  noticed by")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for fault, (test, seconds) in zip(faults, pool.map(try_fault, faults), strict=True):
            print(f"{f'{fault.file}: {fault.what}':70} {seconds:7.1f}  {test or 'NOBODY'}", flush=True)
            survivors += test is None
    total = time.monotonic() - start
    print(f"{len(faults)} faults, {len(faults) - survivors} noticed, {survivors} not, {total:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

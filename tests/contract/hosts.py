# SPDX-License-Identifier: GPL-2.0-only
"""The same small host behind every kind of backend: what the contract is checked on.

Domain 0 exists and has never used tmem. Domain 1, "web", has an ephemeral pool 0 and a persistent pool 1, both empty.
Nobody else exists. Pages are compressed, so that every release can take pages back in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from hypervisor_model.hypervisor import Hypervisor
from tests.contract.translating import TranslatingTransport, model_release
from xm_tmem.backends.abi.releases import TMEM_RELEASES
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.backends.transport.socket import SocketTransport
from xm_tmem.errors import Unreachable

COMMAND_LINE = "tmem=1 tmem_compress=1"
_START_SECONDS = 20.0

_SCENARIO = """\
host:
  release: "{release}"
  memory: 64MiB
  command_line: {command_line}
guests:
  - name: web
    pools:
      - {{persistent: false}}
      - {{persistent: true}}
    workload: {{kind: scan, mix: {{put: 0, get: 0, flush: 1}}, rate: 1, operations: 1}}
"""


def booted(release: str) -> Hypervisor:
    """The host as a model in this process."""
    hypervisor = Hypervisor(release=release, frames=16384, command_line=COMMAND_LINE)
    hypervisor.create_domain(0, name="Domain-0")
    web = hypervisor.create_domain(1, name="web")
    assert web.new_pool() == 0
    assert web.new_pool(persistent=True) == 1
    return hypervisor


@contextmanager
def in_process(release: str) -> Iterator[HypercallBackend]:
    transport = InProcessTransport(booted(release), {0: "Domain-0", 1: "web"})
    yield HypercallBackend(f"test:{release}", transport)


@contextmanager
def played(release: str) -> Iterator[HypercallBackend]:
    """A real host of `release`, as the adapter would see it through privcmd."""
    yield HypercallBackend("xen:///", TranslatingTransport(release, booted(model_release(release))))


@contextmanager
def model_host(release: str) -> Iterator[HypercallBackend]:
    """A model host process, over its socket."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="xm-"))  # a socket's path must be short
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        places = {"XDG_RUNTIME_DIR": str(directory), "XDG_STATE_HOME": str(directory / "state")}
        stack.enter_context(mock.patch.dict(os.environ, places))
        scenario = directory / "host.yaml"
        scenario.write_text(_SCENARIO.format(release=release, command_line=COMMAND_LINE))
        log = stack.enter_context(open(directory / "log", "w+"))
        process = subprocess.Popen(
            [sys.executable, "-m", "hypervisor_model.server", "--name", "contract", str(scenario)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        transport = _connected(process, directory / "log")
        stack.callback(transport.close)
        yield HypercallBackend("model:contract", transport)


def _connected(process: subprocess.Popen[bytes], log: Path) -> SocketTransport:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return SocketTransport("contract")
        except Unreachable:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)


def host_names() -> list[str]:
    """Every kind of host that the contract is checked on."""
    return [
        *(f"inprocess-{release}" for release in ("4.3", "4.12")),
        *(f"socket-{release}" for release in ("4.3", "4.12")),
        *(f"xen-{release}" for release in TMEM_RELEASES),
    ]


def host(name: str) -> AbstractContextManager[HypercallBackend]:
    """The host called `name`, one of `host_names`."""
    kind, _, release = name.partition("-")
    return {"inprocess": in_process, "socket": model_host, "xen": played}[kind](release)

# SPDX-License-Identifier: GPL-2.0-only
"""Model hosts for tests: started as processes, spoken to over their sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hypervisor_model import launch
from hypervisor_model.instance import holder, pid_path
from hypervisor_model.public import tmem, wire, xen
from hypervisor_model.public.places import socket_path

ENDLESS = """
host: {memory: 64MiB}
guests:
  - {name: web, workload: {kind: zipf, working_set: 8MiB, rate: 2000, operations: null}}
  - {name: db, max_memory: 32MiB, pools: [{persistent: true}], workload: {kind: random, operations: null}}
"""


class Host:
    """The host of one test."""

    def __init__(self, directory: Path) -> None:
        self.name = "t"
        self.directory = directory

    def start(self, scenario: str | None = ENDLESS, *options: str) -> int:
        """Its process id."""
        path = None
        if scenario is not None:
            path = str(self.directory / "scenario.yaml")
            Path(path).write_text(scenario)
        return launch.start(self.name, path, options)

    def kill(self) -> None:
        """As a crash would."""
        pid = int(launch.ask(self.name, "status")["pid"])
        os.kill(pid, signal.SIGKILL)
        self.wait_for_end()

    def wait_for_end(self) -> None:
        deadline = time.monotonic() + 20
        while holder(pid_path(self.name)) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def connect(self, *, greet: bool = True) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(20)
        client.connect(socket_path(self.name))
        if greet:
            client.sendall(wire.hello_request())
            wire.decode_hello_answer(wire.expect(wire.read_frame(client.recv), wire.HELLO))
        return client

    def call(self, client: socket.socket, *calls: wire.Call) -> list[int]:
        client.sendall(wire.calls_request(calls))
        return wire.decode_results(wire.expect(wire.read_frame(client.recv), wire.HYPERCALLS), calls)

    def answers(self) -> bool:
        with self.connect() as client:
            return self.call(client, control(tmem.TMEMC_QUERY_FREEABLE_MB))[0] >= 0

    def wait_for_guests(self) -> None:
        """Until the guests have done something."""
        deadline = time.monotonic() + 30
        while int(launch.ask("t", "status")["operations"]) == 0:
            assert time.monotonic() < deadline, "the guests do nothing"
            time.sleep(0.01)

    def listing(self) -> str:
        call = listing_call(32768)
        with self.connect() as client:
            assert self.call(client, call)[0] >= 0
        assert call.buffer is not None
        return call.buffer.partition(b"\0")[0].decode()


def control(subop: int, cli_id: int = xen.CLI_ID_ALL, value: int = 0) -> wire.Call:
    packed = tmem.TMEM_OP_CTRL.pack(tmem.TMEM_CONTROL, 0, subop, cli_id, value, 0, bytes(24), 0)
    return wire.Call(xen.HYPERCALL_TMEM_OP, packed)


def listing_call(room: int) -> wire.Call:
    packed = tmem.TMEM_OP_CTRL.pack(
        tmem.TMEM_CONTROL, 0, tmem.TMEMC_LIST, xen.CLI_ID_ALL, room, 0, bytes(24), 0
    )
    return wire.Call(xen.HYPERCALL_TMEM_OP, packed, tmem.TMEM_OP_CTRL_BUF_OFFSET, bytearray(room))


QUERIES = [
    wire.Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(xen.XENVER_VERSION, 0)),
    control(tmem.TMEMC_QUERY_FREEABLE_MB),
    control(tmem.TMEMC_THAW),
]


def checkpointed(path: str) -> dict[str, Any]:
    """What a checkpoint holds, read in a process of its own."""
    script = (
        "import json, sys; from hypervisor_model.checkpoint import resume; runner = resume(sys.argv[1]); "
        "print(json.dumps({'operations': runner.operations, 'listing': runner.hypervisor.list_text(use_long=True), "
        "'reports': [dict(guest.driver.report()) for guest in runner.guests]}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found

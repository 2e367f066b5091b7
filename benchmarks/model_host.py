# SPDX-License-Identifier: GPL-2.0-only
"""The model host: how many control operations it answers in a second, and how soon a long LIST.

Eight clients, each with one question underway at a time, are kept by one process that does no more than send a prepared
request (how much memory could be freed) and read the answers, so that the host is what is measured. The reference is
the same traffic with a process that sends everything back unread. The host's own CPU time per answer says what it would
do with a processor to itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Sequence

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal
from benchmarks.hosts import model_host
from benchmarks.timing import median, ratio
from hypervisor_model.public import wire
from hypervisor_model.public.tmem import TMEMC_LIST, TMEMC_QUERY_FREEABLE_MB
from hypervisor_model.public.xen import CLI_ID_ALL
from hypervisor_model.releases import release_named
from xm_tmem.backends.abi.sysctl import tmem_sysctl

CLIENTS = 8
DOMAINS = 1000
LIST_BYTES = 1 << 20
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """All figures; a model host runs the sources."""
    rounds, trips = (2, 200) if quick else (15, 500)
    with model_host(DOMAINS) as environment:
        directory = os.path.join(environment["XDG_RUNTIME_DIR"], "xm-tmem")
        (path,) = (os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".sock"))
        clients = [_connected(path) for _ in range(CLIENTS)]
        host = _peer(clients[0])
        interface = release_named("4.12").sysctl_interface_version
        question = tmem_sysctl(interface, TMEMC_QUERY_FREEABLE_MB, 0)
        request = wire.calls_request([question])
        clients[0].sendall(request)
        answer = wire.expect(wire.read_frame(clients[0].recv), wire.HYPERCALLS)
        assert wire.decode_results(answer, [question])[0] >= 0
        busy_us = 0.0
        answered: list[float] = []
        echoed: list[float] = []
        with _Echo() as echo:
            for _ in range(rounds):
                before_us = _cpu_us(host)
                answered.append(_rate(clients, request, trips))
                busy_us += _cpu_us(host) - before_us
                echoed.append(_rate(echo.clients, request, trips))
        list_ms = [_list(clients[0], interface) for _ in range(3 if quick else 15)]
        for client in clients:
            client.close()
    return [
        Figure(
            f"control round trips, {CLIENTS} clients",
            median(answered),
            "/s",
            ratio(answered, echoed),
            f"a bare echo in Python, {median(echoed):,.0f}/s",
            Goal(20_000, "/s", at_least=True),
        ),
        Figure("  the host's CPU time for each", busy_us / (rounds * trips * CLIENTS), "us"),
        Figure(f"LIST of {DOMAINS:,} domains", median(list_ms), "ms", goal=Goal(60, "ms")),
    ]


def _connected(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(wire.hello_request())
    wire.expect(wire.read_frame(client.recv), wire.HELLO)
    return client


def _peer(client: socket.socket) -> int:
    """The process at the other end."""
    return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")


def _cpu_us(process: int) -> float:
    """CPU time that a process has used."""
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def _rate(clients: Sequence[socket.socket], request: bytes, trips: int) -> float:
    """Round trips per second of all clients together, `trips` each."""
    start = time.perf_counter()
    for _ in range(trips):
        for client in clients:
            client.send(request)
        for client in clients:
            client.recv(4096)
    return trips * len(clients) / (time.perf_counter() - start)


def _list(client: socket.socket, interface: int) -> float:
    """Milliseconds from the question to the whole long listing of everything."""
    call = tmem_sysctl(
        interface, TMEMC_LIST, CLI_ID_ALL, first=LIST_BYTES, second=1, buffer=bytearray(LIST_BYTES)
    )
    start = time.perf_counter()
    client.sendall(wire.calls_request([call]))
    values = wire.decode_results(wire.expect(wire.read_frame(client.recv), wire.HYPERCALLS), [call])
    taken_ms = (time.perf_counter() - start) * 1e3
    assert values == [0]
    assert call.buffer is not None
    assert call.buffer.startswith(b"G=")
    return taken_ms


class _Echo:
    """A process that sends back whatever comes."""

    def __enter__(self) -> _Echo:
        pairs = [socket.socketpair() for _ in range(CLIENTS)]
        self.clients = [ours for ours, _ in pairs]
        self._process = os.fork()
        if not self._process:
            for ours, _ in pairs:
                ours.close()
            _send_back([theirs for _, theirs in pairs])
            os._exit(0)
        for _, theirs in pairs:
            theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _send_back(sockets: Sequence[socket.socket]) -> None:
    poll = select.poll()
    by_number = {one.fileno(): one for one in sockets}
    for number in by_number:
        poll.register(number, select.POLLIN)
    while by_number:
        for number, _ in poll.poll():
            data = by_number[number].recv(4096)
            if data:
                by_number[number].send(data)
            else:
                poll.unregister(number)
                del by_number[number]

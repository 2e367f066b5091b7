# SPDX-License-Identifier: GPL-2.0-only
"""A model host among its clients: all are served, and whoever is slow, greedy or hostile harms nobody but itself."""

from __future__ import annotations

import random
import struct
import threading
import time
from pathlib import Path

import pytest

from hypervisor_model import launch
from hypervisor_model.model_host import changes_nothing, may_connect
from hypervisor_model.public import tmem, wire, xen
from tests.hypervisor_model.hosts import QUERIES, Host, control, listing_call


def test_fifty_clients_at_once(host: Host) -> None:
    """Each gets its own answers, in order, and none waits long."""
    host.start()
    slowest_s: list[float] = []
    problems: list[Exception] = []

    def hammer(seed: int) -> None:
        rng = random.Random(seed)
        worst_s = 0.0
        try:
            with host.connect() as client:
                for _ in range(40):
                    calls = [rng.choice(QUERIES) for _ in range(rng.randrange(1, 4))]
                    start = time.monotonic()
                    values = host.call(client, *calls)
                    worst_s = max(worst_s, time.monotonic() - start)
                    assert [value == 0x40003 for value in values] == [call is QUERIES[0] for call in calls]
        except Exception as error:
            problems.append(error)
        slowest_s.append(worst_s)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(slowest_s) == 50
    assert max(slowest_s) < 2, "seconds, on a machine that may be busy with other things"
    assert int(launch.ask("t", "status")["operations"]) > 0, "the guests went on meanwhile"


def test_requests_may_be_sent_ahead(host: Host) -> None:
    host.start()
    with host.connect() as client:
        client.sendall(wire.calls_request([QUERIES[0]]) * 500 + wire.frame(wire.DIRECTORY))
        for _ in range(500):
            answer = wire.expect(wire.read_frame(client.recv), wire.HYPERCALLS)
            assert wire.decode_results(answer, [QUERIES[0]]) == [0x40003]
        wire.expect(wire.read_frame(client.recv), wire.DIRECTORY)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 64,
        wire.frame(wire.HYPERCALLS),
        wire.frame(wire.HELLO, b"XMTX\1\0\0\0"),
        struct.pack("<II", wire.HELLO, 0xFFFFFFFF),
        wire.hello_request() + wire.frame(wire.HYPERCALLS),
        wire.hello_request() + wire.frame(wire.HYPERCALLS, b"\0" * 19),
        wire.hello_request()
        + wire.frame(wire.HYPERCALLS, struct.pack("<IiIII", 38, 0, 8, 0xFFFFFFFF, 0) + b"\0" * 8),
        wire.hello_request()
        + wire.frame(wire.HYPERCALLS, struct.pack("<IiIII", 38, 2**31 - 1, 8, 8, 0) + b"\0" * 8),
        wire.hello_request() + wire.frame(wire.CONTROL, b"\xff" * 4),
        wire.hello_request() + wire.frame(wire.CONTROL, b"\2\0\0\0\1\0x"),
        wire.hello_request() + struct.pack("<II", wire.HYPERCALLS, wire.MAX_FRAME_BYTES + 1),
    ],
)
def test_whoever_breaks_the_protocol_is_told_and_cut_off(running: Host, garbage: bytes) -> None:
    with running.connect(greet=False) as client:
        client.sendall(garbage)
        frames = []
        while (frame := wire.read_frame(client.recv)) is not None:
            frames.append(frame)
    assert frames[-1][0] == wire.ERROR
    assert wire.decode_error(frames[-1][1]).code == wire.ERROR_PROTOCOL
    assert running.answers()


def test_unknown_requests_versions_and_verbs_are_answered(running: Host) -> None:
    with running.connect() as client:
        for request, code in (
            (wire.frame(99), wire.ERROR_UNKNOWN),
            (wire.fields_request(wire.CONTROL, {"verb": "explode"}), wire.ERROR_UNKNOWN),
            (wire.fields_request(wire.CONTROL), wire.ERROR_UNKNOWN),
        ):
            client.sendall(request)
            answer = wire.read_frame(client.recv)
            assert answer is not None
            assert wire.decode_error(answer[1]).code == code
        assert running.call(client, QUERIES[0]) == [0x40003]
    with running.connect(greet=False) as client:
        client.sendall(wire.frame(wire.HELLO, b"XMTM" + struct.pack("<I", 99)))
        answer = wire.read_frame(client.recv)
        assert answer is not None
        assert wire.decode_error(answer[1]).code == wire.ERROR_VERSION


def test_random_bytes_do_no_harm(running: Host) -> None:
    rng = random.Random(5)
    for _ in range(60):
        with running.connect(greet=bool(rng.getrandbits(1))) as client:
            kind, length = rng.randrange(7), rng.randrange(200)
            try:
                client.sendall(wire.frame(kind, rng.randbytes(length)) + rng.randbytes(rng.randrange(20)))
            except OSError:
                pass  # cut off already
    assert running.answers()


def test_random_hypercalls_do_no_harm(running: Host) -> None:
    rng = random.Random(6)
    with running.connect() as client:
        for _ in range(300):
            argument = bytearray(rng.randbytes(rng.choice((0, 4, 16, 56, 64, 136, 200))))
            argument[0:4] = struct.pack("<I", rng.randrange(12))[: len(argument)]
            buffer = bytearray(rng.randrange(100)) if len(argument) > 56 else None
            offset = None if buffer is None else tmem.TMEM_OP_CTRL_BUF_OFFSET
            number = rng.choice((12, 17, 35, 36, 38, 38, 38, 0xFFFFFFFF))
            (value,) = running.call(client, wire.Call(number, bytes(argument), offset, buffer))
            assert -2000 < value < 1 << 40
    assert running.answers()


def test_a_client_that_does_not_read_keeps_nobody_waiting(running: Host) -> None:
    with running.connect() as deaf, running.connect() as other:
        deaf.setblocking(False)
        request = wire.frame(wire.DIRECTORY) * 1000
        sent = 0
        try:
            while sent < 64 << 20:
                sent += deaf.send(request)
        except BlockingIOError:
            pass
        assert sent < 8 << 20, "what it sends is not taken in"
        start = time.monotonic()
        for _ in range(50):
            running.call(other, QUERIES[1])
        assert time.monotonic() - start < 5


def test_one_long_request_is_done_in_pieces(running: Host) -> None:
    with running.connect() as greedy, running.connect() as other:
        calls = [listing_call(2048) for _ in range(wire.MAX_CALLS)]
        greedy.sendall(wire.calls_request(calls))
        start = time.monotonic()
        running.call(other, QUERIES[1])
        waited_s = time.monotonic() - start
        assert set(
            wire.decode_results(wire.expect(wire.read_frame(greedy.recv), wire.HYPERCALLS), calls)
        ) == {0}
        assert waited_s < (time.monotonic() - start) / 2


def test_unfinished_frames_do_not_fill_the_memory(running: Host) -> None:
    pid = int(launch.ask("t", "status")["pid"])
    before_kb = resident_kb(pid)
    clients = [running.connect() for _ in range(5)]
    part = bytes(1 << 20)
    cut_off = 0
    for client in clients:
        try:
            client.sendall(struct.pack("<II", wire.HYPERCALLS, 60 << 20))
            for _ in range(50):
                client.sendall(part)
        except OSError:
            cut_off += 1
    assert running.answers()
    assert resident_kb(pid) - before_kb < 200 << 10
    for client in clients:
        client.settimeout(1)
        try:
            cut_off += client.recv(1) == b""
        except TimeoutError:
            pass
        except OSError:
            cut_off += 1
        client.close()
    assert cut_off >= 3, "250 MiB do not go into 128"


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def test_only_this_user_and_root_may_connect() -> None:
    assert may_connect(1000, 1000)
    assert may_connect(0, 1000)
    assert not may_connect(1001, 1000)
    assert not may_connect(1000, 0)


def test_what_changes_nothing() -> None:
    assert changes_nothing(QUERIES[0])
    assert changes_nothing(QUERIES[1])
    assert changes_nothing(control(tmem.TMEMC_LIST))
    assert not changes_nothing(control(tmem.TMEMC_FREEZE))
    assert not changes_nothing(control(tmem.TMEMC_SET_WEIGHT))
    assert not changes_nothing(wire.Call(xen.HYPERCALL_TMEM_OP, b""))
    assert not changes_nothing(
        wire.Call(xen.HYPERCALL_TMEM_OP, struct.pack("<IiI", tmem.TMEM_PUT_PAGE, 0, 4))
    )

# SPDX-License-Identifier: GPL-2.0-only
"""A model host as a process: it starts once, serves everybody, outlives hostility and comes back from a crash."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypervisor_model import launch
from hypervisor_model.checkpoint import read_notes, resume
from hypervisor_model.instance import checkpoint_path, holder, log_path, pid_path, previous_checkpoint_path
from hypervisor_model.launch import LaunchError, NotRunning
from hypervisor_model.public import tmem, wire, xen
from hypervisor_model.public.places import PlaceError, socket_path
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import boot
from hypervisor_model.server import changes_nothing, may_connect

ENDLESS = """
host: {memory: 64MiB}
guests:
  - {name: web, workload: {kind: zipf, working_set: 8MiB, rate: 2000, operations: null}}
  - {name: db, max_memory: 32MiB, pools: [{persistent: true}], workload: {kind: random, operations: null}}
"""
FINITE = ENDLESS.replace("operations: null", "operations: 60000")


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


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # Not tmp_path: a socket's path has room for 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    (directory / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    host = Host(directory)
    try:
        yield host
        try:
            launch.stop(host.name, discard=True)
        except NotRunning:
            pass
    finally:
        shutil.rmtree(directory)


def test_start_status_stop(host: Host) -> None:
    pid = host.start()
    with pytest.raises(LaunchError, match=f"the model host t is running already, as process {pid}"):
        host.start()
    status = launch.ask("t", "status")
    assert (status["pid"], status["state"], status["guests"]) == (str(pid), "running", "2")
    assert os.getsid(pid) not in (os.getsid(0), pid), (
        "a session of its own, which it cannot take a terminal for"
    )
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {log_path("t")}
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    path = socket_path("t")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    launch.stop("t")
    assert not os.path.exists(path)
    assert int(read_notes(checkpoint_path("t"))["objects"]) > 0
    for verb in ("status", "stop"):
        with pytest.raises(NotRunning, match="no model host t is running"):
            launch.ask("t", verb)


def test_stale_files_are_in_nobodys_way(host: Host) -> None:
    path = socket_path("t")
    for file in (Path(path), Path(pid_path("t"))):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(path)
    Path(pid_path("t")).write_text(f"{os.getpid()}\n")  # a process that lives and is none of ours
    host.start()
    assert host.answers()


def test_what_does_not_start_says_why(host: Host) -> None:
    with pytest.raises(LaunchError, match=r"scenario.yaml:1: gests: no such key"):
        host.start("gests: []")
    with pytest.raises(LaunchError, match="there is no checkpoint at"):
        host.start(None)
    with pytest.raises(PlaceError):
        launch.start("../t", None)


def test_guests_run_at_their_pace_and_in_the_directory_are_their_names(host: Host) -> None:
    host.start(ENDLESS, "--factor", "2")
    with host.connect() as client:
        client.sendall(wire.frame(wire.DIRECTORY))
        entries = wire.decode_directory(wire.expect(wire.read_frame(client.recv), wire.DIRECTORY))
    assert [(domid, name) for domid, name, _ in entries] == [(0, "Domain-0"), (1, "web"), (2, "db")]
    assert all(len(uuid) == 36 for _, _, uuid in entries)
    first = launch.ask("t", "status")
    time.sleep(0.5)
    second = launch.ask("t", "status")
    passed_s = float(second["up_s"]) - float(first["up_s"])
    modelled_s = float(second["modelled_s"]) - float(first["modelled_s"])
    assert modelled_s <= 2 * passed_s + 0.05
    assert modelled_s + float(second["late_s"]) == pytest.approx(2 * passed_s, abs=0.3)


def test_an_operators_change_shows_at_once(host: Host) -> None:
    host.start()
    with host.connect() as client:
        assert host.call(client, control(tmem.TMEMC_FREEZE, 1), control(tmem.TMEMC_SET_WEIGHT, 2, 7)) == [
            0,
            0,
        ]
    assert "C=CI:1,ww:0,ca:0,co:0,fr:1," in host.listing()
    assert "C=CI:2,ww:7," in host.listing()


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


QUERIES = [
    wire.Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(xen.XENVER_VERSION, 0)),
    control(tmem.TMEMC_QUERY_FREEABLE_MB),
    control(tmem.TMEMC_THAW),
]


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


def test_nothing_an_operator_did_is_lost_in_a_crash(host: Host) -> None:
    host.start(ENDLESS, "--interval", "0")
    launch.ask("t", "checkpoint")
    with host.connect() as client:
        host.call(client, control(tmem.TMEMC_FREEZE, 1), control(tmem.TMEMC_SET_WEIGHT, 2, 77))
    before = int(launch.ask("t", "status")["operations"])
    host.kill()
    host.start(None)
    assert "C=CI:1,ww:0,ca:0,co:0,fr:1," in host.listing()
    assert "C=CI:2,ww:77," in host.listing()
    assert int(launch.ask("t", "status")["operations"]) > 0
    assert before > 0


def test_a_host_that_crashed_again_and_again_ends_as_one_that_did_not(host: Host) -> None:
    host.start(FINITE, "--factor", "inf", "--interval", "0.1")
    for _ in range(3):
        launch.ask("t", "checkpoint")
        time.sleep(0.15)
        host.kill()
        host.start(None)
    assert int(launch.ask("t", "status")["operations"]) > 0
    deadline = time.monotonic() + 60
    while launch.ask("t", "status")["state"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    launch.stop("t")
    whole = boot(load_text(FINITE))
    whole.run()
    resumed = resume(checkpoint_path("t"))
    assert resumed.hypervisor.list_text(use_long=True) == whole.hypervisor.list_text(use_long=True)
    assert [guest.driver.report() for guest in resumed.guests] == [
        guest.driver.report() for guest in whole.guests
    ]


def test_a_fresh_start_keeps_the_state_before_it(host: Host) -> None:
    host.start()
    launch.stop("t")
    operations = resume(checkpoint_path("t")).operations
    host.start()
    assert resume(previous_checkpoint_path("t")).operations == operations


def test_a_terminated_host_goes_in_order(host: Host) -> None:
    pid = host.start()
    os.kill(pid, signal.SIGHUP)  # a terminal that closes is nothing to it
    assert host.answers()
    os.kill(pid, signal.SIGTERM)
    host.wait_for_end()
    assert "stopped after" in Path(log_path("t")).read_text().splitlines()[-1]
    assert not os.path.exists(socket_path("t"))
    assert resume(checkpoint_path("t")).operations > 0


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    """One host for the tests that leave it as it was."""
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    (directory / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(directory / "run"))
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        host = Host(directory)
        host.start()
        yield host
        launch.stop("t", discard=True)
        shutil.rmtree(directory)

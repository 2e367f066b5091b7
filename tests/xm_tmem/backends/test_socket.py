# SPDX-License-Identifier: GPL-2.0-only
"""The client's half of the wire, against servers that are slow, rude, strange or gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypervisor_model.public import wire, xen
from hypervisor_model.public.places import socket_path
from hypervisor_model.public.wire import Call
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.transport.socket import SocketTransport
from xm_tmem.errors import Disconnected, Failed, NotPermitted, TmemError, Unreachable, Unsupported

Speak = Callable[[socket.socket], object]


@pytest.fixture(autouse=True)
def runtime_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("r")))


@contextmanager
def server(speak: Speak) -> Iterator[SocketTransport]:
    """A client of a model host that does `speak` and then closes the connection."""
    path = Path(socket_path("test"))
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    speak(connection)
                except OSError:
                    return

        thread = threading.Thread(target=run)
        thread.start()
        transport = SocketTransport("test", timeout_seconds=1.0)
        yield transport
        transport.close()
        thread.join()


def greet(connection: socket.socket) -> None:
    assert wire.read_frame(connection.recv) == (wire.HELLO, wire.hello_request()[wire.HEADER_BYTES :])
    connection.sendall(wire.hello_answer({"name": "te\x1bst"}))


def answer_once(frame: bytes) -> Speak:
    def speak(connection: socket.socket) -> None:
        greet(connection)
        wire.read_frame(connection.recv)
        connection.sendall(frame)
        connection.recv(1)

    return speak


VERSION = Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(0, 0))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (wire.ERROR_UNKNOWN, Unsupported),
        (wire.ERROR_REFUSED, Unsupported),
        (wire.ERROR_NOT_PERMITTED, NotPermitted),
        (wire.ERROR_UNREACHABLE, Unreachable),
        (wire.ERROR_FAILED, Failed),
        (250, Failed),
    ],
)
def test_errors_of_the_other_end_arrive_as_errors_without_control_characters(
    code: int, kind: type[TmemError]
) -> None:
    with server(answer_once(wire.error_answer(code, "no\x1b[31m\nway"))) as transport:
        with pytest.raises(kind, match="model host test: no") as raised:
            transport.control("stop")
        assert type(raised.value) is kind
        assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 20,
        wire.frame(wire.DIRECTORY | wire.ANSWER, b"\xff\xff"),
        wire.frame(wire.DIRECTORY | wire.ANSWER, b"\xff\xff\xff\xff"),
        wire.frame(wire.INFO | wire.ANSWER, b"\0\0\0\0"),
        wire.frame(wire.ERROR, b"x"),
        wire.frame(wire.DIRECTORY | wire.ANSWER)[:4],
    ],
    ids=range(6),
)
def test_an_answer_that_breaks_the_rules_ends_the_connection(frame: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        greet(connection)
        wire.read_frame(connection.recv)
        connection.sendall(frame)

    with server(speak) as transport:
        with pytest.raises(Disconnected):
            transport.directory()
        with pytest.raises(Disconnected, match="closed"):
            transport.directory()


def test_a_host_that_says_nothing_is_given_up() -> None:
    silent = server(lambda connection: connection.recv(1 << 16) and connection.recv(1))
    with silent as transport, pytest.raises(Disconnected, match="does not answer"):
        transport.call_many([VERSION])


def test_a_host_that_goes_away_is_noticed() -> None:
    with server(lambda connection: None) as transport, pytest.raises(Disconnected):
        transport.call_many([VERSION])


def test_a_stranger_at_the_socket_is_noticed() -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(1 << 16)  # an end that closes with something unread would reset the connection
        connection.sendall(wire.frame(wire.HELLO | wire.ANSWER, b"SSH-2.0"))

    with server(speak) as transport, pytest.raises(Disconnected, match="protocol"):
        transport.call_many([VERSION])


def test_the_greeting_the_first_calls_and_the_names_are_one_round_trip() -> None:
    def speak(connection: socket.socket) -> None:
        greet(connection)
        _, payload = wire.read_frame(connection.recv) or (0, b"")
        calls = wire.decode_calls(payload)
        assert (wire.read_frame(connection.recv) or (0,))[0] == wire.DIRECTORY
        connection.sendall(wire.calls_answer(calls, [4 << 16 | 12] * len(calls)))
        connection.sendall(wire.directory_answer([(1, "web", "")]))
        connection.recv(1)

    with server(speak) as transport:
        backend = HypercallBackend("model:test", transport)
        assert backend.release.name == "4.12"
        assert transport.directory() == [(1, "web", "")]
        assert transport.round_trips == 1
        assert transport.details() == {"name": "te st"}


def test_nobody_there() -> None:
    with pytest.raises(Unreachable, match="xm model start --name lab"):
        SocketTransport("lab")


def test_a_socket_whose_host_died() -> None:
    path = Path(socket_path("test"))
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(Unreachable):
        SocketTransport("test")


def test_a_socket_of_another_user_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(greet) as transport:
        real = os.stat

        def owned_by_another(path: str) -> os.stat_result:
            status = list(real(path))
            status[4] = 12345
            return os.stat_result(status)

        monkeypatch.setattr(os, "stat", owned_by_another)
        with pytest.raises(NotPermitted, match="another user"):
            SocketTransport("test")
        monkeypatch.setattr(os, "stat", real)
        assert transport.details() == {"name": "te st"}

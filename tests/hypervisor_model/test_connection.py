# SPDX-License-Identifier: GPL-2.0-only
"""A connection takes in no more than it can work off, and works no longer than it may."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from hypervisor_model.connection import GREETING_S, STALL_S, Connection
from hypervisor_model.public import wire

NEVER = float("inf")


class Counter:
    """A host that counts hypercalls and answers a CONTROL late."""

    def __init__(self) -> None:
        self.calls = 0

    def hypercall(self, call: wire.Call) -> int:
        self.calls += 1
        return self.calls

    def introduction(self) -> dict[str, str]:
        return {"what": "test"}

    def directory(self) -> list[tuple[int, str, str]]:
        return [(0, "Domain-0", "")]

    def control(self, connection: Connection, fields: dict[str, str]) -> bytes | None:
        return None


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Connection, Counter]]:
    """A client's socket, greeted already, and the connection at the other end."""
    client, server = socket.socketpair()
    host = Counter()
    connection = Connection(server, host)
    client.sendall(wire.hello_request())
    connection.read()
    connection.work(NEVER)
    connection.write()
    assert wire.decode_hello_answer(wire.expect(wire.read_frame(client.recv), wire.HELLO)) == {"what": "test"}
    yield client, connection, host
    client.close()
    connection.close()


def states(connection: Connection) -> tuple[bool, bool, bool]:
    """Has it work, does it want to write, does it want to read?"""
    return connection.has_work, connection.wants_to_write, connection.wants_to_read


Ends = tuple[socket.socket, Connection, Counter]


def test_a_frame_of_many_calls_is_done_in_pieces_and_nothing_is_read_meanwhile(ends: Ends) -> None:
    client, connection, host = ends
    calls = [wire.Call(17, b"")] * 3
    client.sendall(wire.calls_request(calls) * 2)
    connection.read()
    for done in (1, 2, 3):
        assert states(connection) == (True, False, False)
        connection.work(time.monotonic())  # already over: one call, and no more
        assert host.calls == done
    assert states(connection) == (False, True, False), (
        "until the first answer is taken, the second frame waits"
    )
    connection.write()
    assert states(connection) == (True, False, False)
    connection.work(NEVER)
    connection.write()
    assert states(connection) == (False, False, True)
    for values in ([1, 2, 3], [4, 5, 6]):
        answer = wire.expect(wire.read_frame(client.recv), wire.HYPERCALLS)
        assert wire.decode_results(answer, calls) == values


def test_nothing_is_done_while_an_answer_is_to_come_late(ends: Ends) -> None:
    client, connection, host = ends
    client.sendall(
        wire.fields_request(wire.CONTROL, {"verb": "x"}) + wire.calls_request([wire.Call(17, b"")])
    )
    connection.read()
    connection.work(NEVER)
    assert (host.calls, states(connection)) == (0, (False, False, False))
    connection.answer_late(wire.fields_answer(wire.CONTROL, {"late": "yes"}))
    connection.write()
    assert wire.decode_fields(wire.expect(wire.read_frame(client.recv), wire.CONTROL)) == {"late": "yes"}
    connection.work(NEVER)
    assert host.calls == 1


def test_who_takes_too_long_is_overdue(ends: Ends) -> None:
    client, connection, _ = ends
    start = connection.since
    assert not connection.overdue(start + 10 * STALL_S), "a client with nothing to say may be silent"
    client.sendall(wire.frame(wire.DIRECTORY, b"")[:3])
    connection.read()
    assert not connection.overdue(connection.since + STALL_S)
    assert connection.overdue(connection.since + STALL_S + 1)
    stranger_client, stranger_server = socket.socketpair()
    stranger = Connection(stranger_server, Counter())
    since = stranger.since
    stranger_client.sendall(b"\0")
    stranger.read()
    assert stranger.since == since, "single bytes do not buy time"
    assert stranger.overdue(since + GREETING_S + 1)
    stranger_client.close()
    stranger.close()


def test_a_client_that_goes_is_closed(ends: Ends) -> None:
    client, connection, _ = ends
    client.close()
    connection.read()
    assert connection.closed

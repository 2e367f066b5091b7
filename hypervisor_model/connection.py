# SPDX-License-Identifier: GPL-2.0-only
"""One client of the model host: its frames in and out, within bounds, and its requests a little at a time.

A client that does not read its answers gets no further requests done; what it sent meanwhile stays in the kernel. So
a connection holds one frame that is not yet whole, the frames of one read, and one answer. Requests are worked off
against a deadline, a frame of many hypercalls in pieces, so that no client keeps the others waiting for longer.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Final, Protocol

from hypervisor_model.public import wire

READ_BYTES: Final = 1 << 16
GREETING_S: Final = 10.0  # to say hello
STALL_S: Final = 60.0  # for the next byte of a frame, or to read the next byte of an answer


class Answers(Protocol):
    """What the host does for its clients."""

    def hypercall(self, call: wire.Call) -> int:
        """0 or more, or -errno; the call's buffer is changed in place."""

    def introduction(self) -> dict[str, str]:
        """The fields of INFO."""

    def directory(self) -> list[tuple[int, str, str]]:
        """Every domain: id, name, uuid."""

    def control(self, connection: Connection, fields: dict[str, str]) -> bytes | None:
        """The answer to a CONTROL, a whole frame; None: it will come through `Connection.answer_late`."""


class Connection:
    """A client. `closed` says that it is done with, for whatever reason."""

    __slots__ = (
        "_buffer",
        "_calls",
        "_frames",
        "_greeted",
        "_host",
        "_out",
        "_values",
        "_waits",
        "closed",
        "since",
        "socket",
        "watched_for",
    )

    def __init__(self, client: socket.socket, host: Answers) -> None:
        client.setblocking(False)
        self.socket = client
        self.closed = False
        self.watched_for = 0  # the events that the host's selector reports
        self.since = time.monotonic()  # of the last progress in what is unfinished
        self._host = host
        self._buffer = wire.FrameBuffer()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._out = bytearray()
        self._calls: list[wire.Call] = []
        self._values: list[int] = []
        self._greeted = False
        self._waits = False  # for an answer that comes late

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def buffered_bytes(self) -> int:
        """Memory that the client's unfinished business takes."""
        return len(self._buffer) + len(self._out)

    @property
    def wants_to_read(self) -> bool:
        return not (self.has_work or self._out or self._waits)

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out)

    @property
    def has_work(self) -> bool:
        """Are there requests that `work` would go on with?"""
        return bool((self._calls or self._frames) and not self._out and not self._waits and not self.closed)

    def read(self) -> None:
        """Take in what has arrived."""
        try:
            data = self.socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.closed = True
            return
        if not data:
            self.closed = True
            return
        if self._greeted:
            self.since = time.monotonic()
        try:
            self._frames.extend(self._buffer.feed(data))
        except wire.WireError as error:
            self._refuse(error)

    def work(self, deadline: float) -> None:
        """Do what was asked for until `deadline` (of time.monotonic), at least one hypercall of it."""
        while self.has_work:
            try:
                if not self._calls:
                    self._begin(*self._frames.popleft())
                if self._calls:
                    self._go_on(deadline)
            except wire.WireError as error:
                self._refuse(error)
            if time.monotonic() >= deadline:
                return

    def write(self) -> None:
        """Send as much of the answer as the client will take."""
        if self._out:
            try:
                sent = self.socket.send(self._out)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.closed = True
                return
            del self._out[:sent]
            self.since = time.monotonic()

    def answer_late(self, answer: bytes) -> None:
        """The answer to a CONTROL that took its time."""
        self._waits = False
        self._out += answer

    def overdue(self, now: float) -> bool:
        """Has it taken too long to say hello, to finish a frame or to read an answer?"""
        if not self._greeted:
            return now - self.since > GREETING_S
        return bool(self.buffered_bytes) and now - self.since > STALL_S

    def close(self) -> None:
        """Closing twice is harmless."""
        self.closed = True
        self.socket.close()

    def _begin(self, kind: int, payload: bytes) -> None:
        """Answer a request, or make its hypercalls the ones to be done."""
        if not self._greeted:
            self._greet(kind, payload)
        elif kind == wire.HYPERCALLS:
            self._calls = wire.decode_calls(payload)
        elif kind == wire.DIRECTORY:
            self._out += wire.directory_answer(self._host.directory())
        elif kind == wire.INFO:
            wire.decode_fields(payload)
            self._out += wire.fields_answer(kind, self._host.introduction())
        elif kind == wire.CONTROL:
            answer = self._host.control(self, wire.decode_fields(payload))
            self._waits = answer is None
            self._out += answer or b""
        else:
            self._out += wire.error_answer(wire.ERROR_UNKNOWN, f"no request is of kind {kind}")

    def _greet(self, kind: int, payload: bytes) -> None:
        if kind != wire.HELLO:
            raise wire.WireError("the first message must be a greeting")
        version = wire.decode_hello(payload)
        if version != wire.VERSION:
            text = f"this model host speaks version {wire.VERSION} of the protocol, not {version}"
            self._out += wire.error_answer(wire.ERROR_VERSION, text)
            return
        self._greeted = True
        self._out += wire.hello_answer(self._host.introduction())

    def _go_on(self, deadline: float) -> None:
        """Make hypercalls until the deadline; answer when all are made."""
        calls, values = self._calls, self._values
        while len(values) < len(calls):
            values.append(self._host.hypercall(calls[len(values)]))
            if time.monotonic() >= deadline and len(values) < len(calls):
                return
        self._out += wire.calls_answer(calls, values)
        self._calls, self._values = [], []

    def _refuse(self, error: wire.WireError) -> None:
        """Whoever breaks the protocol gets told, if it listens, and is done with."""
        self._frames.clear()
        self._calls = []
        self._out += wire.error_answer(wire.ERROR_PROTOCOL, str(error))
        self.write()
        self.closed = True

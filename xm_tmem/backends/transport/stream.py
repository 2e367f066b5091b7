# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls over a stream of bytes: the client's half of the wire protocol, whatever carries it.

The greeting costs no round trip of its own: the first batch of calls is sent right behind it, and a request for the
directory of names behind that, since who asks for calls will ask for names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypervisor_model.public import wire
from hypervisor_model.public.wire import Call
from xm_tmem.backends.transport import Transport, error_of
from xm_tmem.errors import Disconnected, TmemError


class StreamTransport(Transport):
    """Subclasses say how bytes travel: `_receive`, `_send_all`, `_shut` (OSError and TimeoutError are expected)."""

    def __init__(self, peer: str) -> None:
        self._peer = peer  # what error messages call the other end
        self._greeted = False
        self._greeting: dict[str, str] = {}
        self._early_directory: list[tuple[int, str, str]] | None = None
        self._closed = False
        self.round_trips = 0  # waits for the other end so far

    def _receive(self, limit: int) -> bytes:
        raise NotImplementedError

    def _send_all(self, data: bytes) -> None:
        raise NotImplementedError

    def _shut(self) -> None:
        raise NotImplementedError

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        request = wire.calls_request(calls)
        if self._greeted:
            return self._decoded(calls, self._exchange(wire.HYPERCALLS, request))
        directory = wire.frame(wire.DIRECTORY)
        self._send(wire.hello_request() + request + directory)
        self._read_greeting()
        # Both answers are taken off the stream before either may complain.
        answer = self._read()
        names = self._read()
        values = self._decoded(calls, self._payload(wire.HYPERCALLS, answer))
        self._early_directory = self._names(self._payload(wire.DIRECTORY, names))
        return values

    def directory(self) -> list[tuple[int, str, str]]:
        early, self._early_directory = self._early_directory, None
        return (
            early
            if early is not None
            else self._names(self._request(wire.DIRECTORY, wire.frame(wire.DIRECTORY)))
        )

    def details(self) -> Mapping[str, str]:
        """How the other end introduced itself: unchecked text."""
        self._greet()
        return {_plain(key): _plain(value) for key, value in self._greeting.items()}

    def info(self) -> dict[str, str]:
        """The same as of now."""
        return self._fields(self._request(wire.INFO, wire.fields_request(wire.INFO)))

    def control(self, verb: str, **fields: str) -> dict[str, str]:
        """Ask a model host to do `verb` (status, checkpoint, stop). Raises Unsupported if it does not know it."""
        request = wire.fields_request(wire.CONTROL, {"verb": verb, **fields})
        return self._fields(self._request(wire.CONTROL, request))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._shut()

    # Exchanges.

    def _request(self, kind: int, frame: bytes) -> bytes:
        self._greet()
        return self._exchange(kind, frame)

    def _greet(self) -> None:
        if not self._greeted:
            self._send(wire.hello_request())
            self._read_greeting()

    def _read_greeting(self) -> None:
        payload = self._payload(wire.HELLO, self._read())
        try:
            self._greeting = wire.decode_hello_answer(payload)
        except wire.WireError as error:
            raise self._broken(error) from error
        self._greeted = True

    def _exchange(self, kind: int, frame: bytes) -> bytes:
        self._send(frame)
        return self._payload(kind, self._read())

    def _send(self, data: bytes) -> None:
        if self._closed:
            raise Disconnected(f"the connection to {self._peer} is closed")
        self.round_trips += 1
        try:
            self._send_all(data)
        except OSError as error:
            raise self._broken(error) from error

    def _read(self) -> tuple[int, bytes] | None:
        try:
            return wire.read_frame(self._receive)
        except (OSError, wire.WireError) as error:
            raise self._broken(error) from error

    def _payload(self, kind: int, answer: tuple[int, bytes] | None) -> bytes:
        try:
            return wire.expect(answer, kind)
        except wire.RemoteError as error:
            raise error_of(error.code, f"{self._peer}: {_plain(error.text)}") from error
        except wire.WireError as error:
            raise self._broken(error) from error

    def _decoded(self, calls: Sequence[Call], payload: bytes) -> list[int]:
        try:
            return wire.decode_results(payload, calls)
        except wire.WireError as error:
            raise self._broken(error) from error

    def _names(self, payload: bytes) -> list[tuple[int, str, str]]:
        try:
            return wire.decode_directory(payload)
        except wire.WireError as error:
            raise self._broken(error) from error

    def _fields(self, payload: bytes) -> dict[str, str]:
        try:
            return wire.decode_fields(payload)
        except wire.WireError as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> TmemError:
        """The error for a stream that cannot be used any more; it is closed."""
        self.close()
        if isinstance(error, TimeoutError):
            return Disconnected(f"{self._peer} does not answer")
        text = (
            "the connection was cut" if isinstance(error, (BrokenPipeError, ConnectionError)) else str(error)
        )
        return Disconnected(f"{self._peer}: {text}")


def _plain(text: str) -> str:
    """`text` of the other end on one line, without control characters, cut where no honest message would go on."""
    return "".join(character if character.isprintable() else " " for character in text[:500])

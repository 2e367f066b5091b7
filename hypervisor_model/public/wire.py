# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls over a byte stream: the framing between a toolstack and a model host, or a remote dom0's agent.

A frame is a header (kind, payload bytes; two little-endian u32) and a payload. The client speaks first with
HELLO, after which requests and answers alternate in order; a client may send several requests before it reads
the first answer. The kind of an answer is that of its request with ANSWER set, or ERROR.

    HELLO       magic, version                                  -> magic, version, fields
    HYPERCALLS  one or more calls, done in order                -> the value and the buffer of each
    DIRECTORY   (nothing)                                       -> domains: id, name, uuid ("" where unknown)
    INFO        fields                                          -> fields: what the other end is
    CONTROL     fields; "verb" says what (model host only)      -> fields

Fields are a flat str -> str mapping. A call is what privcmd would be given: hypercall number, bytes of the
argument struct (its guest pointer zeroed), where in it the pointer goes, and the buffer it points to. Zeros
at a buffer's end do not travel. Every length is checked against a bound before memory is taken; whatever
breaks a rule raises WireError, after which the stream is lost and must be closed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

VERSION: Final = 1
MAGIC: Final = b"XMTM"

HELLO: Final = 1
HYPERCALLS: Final = 2
DIRECTORY: Final = 3
INFO: Final = 4
CONTROL: Final = 5
ANSWER: Final = 0x80
ERROR: Final = 0xFF

# Codes of an ERROR frame.
ERROR_PROTOCOL: Final = 1  # the frame was malformed; the sender closes
ERROR_VERSION: Final = 2  # no common version
ERROR_UNKNOWN: Final = 3  # no such request or control verb here
ERROR_REFUSED: Final = 4  # a call that this end does not let through
ERROR_NOT_PERMITTED: Final = 5  # the other end lacks a privilege
ERROR_UNREACHABLE: Final = 6  # the other end has no hypervisor
ERROR_FAILED: Final = 7  # it was tried and did not succeed

MAX_CALLS: Final = 4096
MAX_ARGUMENT_BYTES: Final = 1024
MAX_BUFFER_BYTES: Final = 64 << 20  # of all calls of a frame together
MAX_FRAME_BYTES: Final = MAX_BUFFER_BYTES + (8 << 20)
MAX_FIELDS: Final = 1024
MAX_TEXT_BYTES: Final = 0xFFFF
MAX_DIRECTORY: Final = 65536

_HEADER: Final = struct.Struct("<II")  # kind, payload bytes
_HELLO: Final = struct.Struct("<4sI")  # magic, version
_CALL: Final = struct.Struct(
    "<IiIII"
)  # number, handle offset or -1, argument bytes, buffer bytes, of them sent
_RESULT: Final = struct.Struct("<qI")  # value, bytes of the buffer sent
_POINTER: Final = struct.Struct("<Q")
_WORD: Final = struct.Struct("<I")  # a count, a domain's id, the code of an error
_TEXT: Final = struct.Struct("<H")  # bytes of the text that follows

_CHUNK_BYTES: Final = 1 << 20
_ZEROS: Final = bytes(4096)

HEADER_BYTES: Final = _HEADER.size
NO_HANDLE: Final = -1


class WireError(Exception):
    """The stream does not follow this protocol, or ended inside a frame."""


class RemoteError(Exception):
    """The other end answered with an ERROR frame."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


class Call:
    """One hypercall; `buffer` is what the pointer at `handle_offset` points to, and is changed in place."""

    __slots__ = ("argument", "buffer", "handle_offset", "number")

    def __init__(
        self,
        number: int,
        argument: bytes,
        handle_offset: int | None = None,
        buffer: bytearray | None = None,
    ) -> None:
        self.number = number
        self.argument = argument
        self.handle_offset = handle_offset
        self.buffer = buffer

    def argument_pointing_to(self, address: int) -> bytes:
        """The argument struct with `address` where the pointer to the buffer stands."""
        if self.handle_offset is None:
            return self.argument
        end = self.handle_offset + _POINTER.size
        return self.argument[: self.handle_offset] + _POINTER.pack(address) + self.argument[end:]


# Frames.


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEADER.pack(kind, len(payload)) + payload


def decode_header(header: bytes | bytearray) -> tuple[int, int]:
    """(kind, payload bytes) of a frame's first HEADER_BYTES. Raises WireError when over the bound."""
    kind, length = _HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {length} bytes is over the bound of {MAX_FRAME_BYTES}")
    return kind, length


def read_frame(receive: Callable[[int], bytes]) -> tuple[int, bytes] | None:
    """The next (kind, payload) of a blocking stream, None at its end. Raises WireError if inside a frame.

    `receive(n)` gives 1..n bytes, or b"" at the end: a socket's `recv`, or os.read of a pipe.
    """
    header = _read(receive, HEADER_BYTES)
    if not header:
        return None
    kind, length = decode_header(header)
    payload = _read(receive, length)
    if len(payload) != length:
        raise WireError("the connection ended in the middle of a message")
    return kind, payload


def _read(receive: Callable[[int], bytes], length: int) -> bytes:
    """`length` bytes, or b"" at the end of the stream. Memory follows what arrives, not what is claimed."""
    data = receive(min(length, _CHUNK_BYTES)) if length else b""
    if len(data) == length or not data:
        return data
    whole = bytearray(data)
    while len(whole) < length:
        data = receive(min(length - len(whole), _CHUNK_BYTES))
        if not data:
            raise WireError("the connection ended in the middle of a message")
        whole += data
    return bytes(whole)


def write_frame(send_all: Callable[[bytes], object], kind: int, payload: bytes = b"") -> None:
    """Send a frame; `send_all` is a socket's `sendall` or the like."""
    send_all(frame(kind, payload))


class FrameBuffer:
    """Frames out of the bytes of a non-blocking stream: feed what came, iterate over what is complete."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def __len__(self) -> int:
        """Bytes of the frame not yet complete."""
        return len(self._pending)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take `data` in; yield each (kind, payload) completed by it. Raises WireError."""
        pending = self._pending
        pending += data
        start = 0
        try:
            while len(pending) - start >= HEADER_BYTES:
                kind, length = decode_header(pending[start : start + HEADER_BYTES])
                end = start + HEADER_BYTES + length
                if len(pending) < end:
                    break
                payload = bytes(memoryview(pending)[start + HEADER_BYTES : end])
                start = end
                yield kind, payload
        finally:
            del pending[:start]


# HELLO.


def hello_request() -> bytes:
    """The client's first frame."""
    return frame(HELLO, _HELLO.pack(MAGIC, VERSION))


def hello_answer(fields: Mapping[str, str]) -> bytes:
    """The server's first frame; `fields` introduce it, as in INFO."""
    return frame(HELLO | ANSWER, _HELLO.pack(MAGIC, VERSION) + encode_fields(fields))


def decode_hello(payload: bytes) -> int:
    """The version that the client asked for. Raises WireError for a stranger."""
    if len(payload) != _HELLO.size or payload[:4] != MAGIC:
        raise WireError("the other end does not speak this protocol")
    version: int = _HELLO.unpack(payload)[1]
    return version


def decode_hello_answer(payload: bytes) -> dict[str, str]:
    """The server's fields. Raises WireError for a stranger or another version."""
    if len(payload) < _HELLO.size or payload[:4] != MAGIC:
        raise WireError("the other end does not speak this protocol")
    version: int = _HELLO.unpack_from(payload)[1]
    if version != VERSION:
        raise WireError(f"the other end speaks version {version} of the protocol, this one {VERSION}")
    return decode_fields(payload[_HELLO.size :])


# HYPERCALLS.


def calls_request(calls: Iterable[Call]) -> bytes:
    """A frame of one or more calls."""
    parts = []
    for call in calls:
        sent = _without_zeros(call.buffer)
        offset = NO_HANDLE if call.handle_offset is None or call.buffer is None else call.handle_offset
        size = 0 if call.buffer is None else len(call.buffer)
        parts += [_CALL.pack(call.number, offset, len(call.argument), size, len(sent)), call.argument, sent]
    return frame(HYPERCALLS, b"".join(parts))


def decode_calls(payload: bytes) -> list[Call]:
    """The calls of a request, each buffer at its full size. Raises WireError."""
    calls: list[Call] = []
    at, end, room = 0, len(payload), MAX_BUFFER_BYTES
    while at < end:
        if end - at < _CALL.size or len(calls) == MAX_CALLS:
            raise WireError("malformed list of hypercalls")
        number, offset, argument_bytes, buffer_bytes, sent = _CALL.unpack_from(payload, at)
        at += _CALL.size
        room -= buffer_bytes
        if (
            argument_bytes > MAX_ARGUMENT_BYTES
            or room < 0
            or sent > buffer_bytes
            or end - at < argument_bytes + sent
        ):
            raise WireError("malformed hypercall")
        argument = payload[at : at + argument_bytes]
        at += argument_bytes
        if offset == NO_HANDLE:
            if buffer_bytes:
                raise WireError("a hypercall's buffer without a pointer to it")
            calls.append(Call(number, argument))
            continue
        if not 0 <= offset <= argument_bytes - 8:
            raise WireError("a hypercall's pointer outside its argument")
        buffer = bytearray(buffer_bytes)
        buffer[:sent] = payload[at : at + sent]
        at += sent
        calls.append(Call(number, argument, offset, buffer))
    if not calls:
        raise WireError("an empty list of hypercalls")
    return calls


def calls_answer(calls: Sequence[Call], values: Sequence[int]) -> bytes:
    """The answer to `calls`: each value (>= 0 or -errno) and what now stands in its buffer."""
    parts = []
    for call, value in zip(calls, values, strict=True):
        sent = _without_zeros(call.buffer)
        parts += [_RESULT.pack(value, len(sent)), sent]
    return frame(HYPERCALLS | ANSWER, b"".join(parts))


def decode_results(payload: bytes, calls: Sequence[Call]) -> list[int]:
    """The values of an answer to `calls`, whose buffers are updated in place. Raises WireError."""
    values: list[int] = []
    at, end = 0, len(payload)
    for call in calls:
        if end - at < _RESULT.size:
            raise WireError("an answer shorter than its question")
        value, sent = _RESULT.unpack_from(payload, at)
        at += _RESULT.size
        buffer = call.buffer
        if sent > (0 if buffer is None else len(buffer)) or end - at < sent:
            raise WireError("a buffer that came back longer than it was")
        if buffer is not None:
            before = length_without_zeros(buffer)
            buffer[:sent] = payload[at : at + sent]
            if before > sent:
                buffer[sent:before] = bytes(before - sent)
        at += sent
        values.append(value)
    if at != end:
        raise WireError("an answer longer than its question")
    return values


def _without_zeros(buffer: bytearray | None) -> bytes:
    """What of `buffer` travels."""
    return b"" if buffer is None else bytes(buffer[: length_without_zeros(buffer)])


def length_without_zeros(buffer: bytes | bytearray) -> int:
    """Bytes of `buffer` before the zeros at its end; by blocks: a LIST buffer is mostly zeros."""
    end = len(buffer)
    while end >= len(_ZEROS) and buffer.endswith(_ZEROS, end - len(_ZEROS), end):
        end -= len(_ZEROS)
    start = max(0, end - len(_ZEROS))
    return start + len(buffer[start:end].rstrip(b"\0"))


# Fields: INFO and CONTROL.


def fields_request(kind: int, fields: Mapping[str, str] | None = None) -> bytes:
    """A request of `kind` INFO or CONTROL; a CONTROL has a field "verb"."""
    return frame(kind, encode_fields(fields or {}))


def fields_answer(kind: int, fields: Mapping[str, str]) -> bytes:
    """The answer to a request of `kind` INFO or CONTROL."""
    return frame(kind | ANSWER, encode_fields(fields))


def encode_fields(fields: Mapping[str, str]) -> bytes:
    """A count, then key and value of each field. Raises WireError over MAX_FIELDS."""
    if len(fields) > MAX_FIELDS:
        raise WireError(f"{len(fields)} fields are over the bound of {MAX_FIELDS}")
    return _WORD.pack(len(fields)) + b"".join(_text(key) + _text(value) for key, value in fields.items())


def as_fields(text: str) -> dict[str, str]:
    """A text of ASCII, however long, as the fields of an answer: pieces that `from_fields` puts together again."""
    starts = range(0, len(text), MAX_TEXT_BYTES)
    return {str(number): text[start : start + MAX_TEXT_BYTES] for number, start in enumerate(starts)}


def from_fields(fields: Mapping[str, str]) -> str:
    """The text whose pieces these are."""
    return "".join(fields.get(str(number), "") for number in range(len(fields)))


def decode_fields(payload: bytes) -> dict[str, str]:
    """The fields of a payload. Raises WireError."""
    count = _count(payload, MAX_FIELDS)
    fields: dict[str, str] = {}
    at = _WORD.size
    for _ in range(count):
        key, at = _take_text(payload, at)
        fields[key], at = _take_text(payload, at)
    if at != len(payload):
        raise WireError("bytes after the last field")
    return fields


# DIRECTORY.


def directory_answer(entries: Sequence[tuple[int, str, str]]) -> bytes:
    """Domains as (id, name, uuid); "" is unknown. Raises WireError over MAX_DIRECTORY."""
    if len(entries) > MAX_DIRECTORY:
        raise WireError(f"{len(entries)} domains are over the bound of {MAX_DIRECTORY}")
    parts = [_WORD.pack(len(entries))]
    parts += [_WORD.pack(domid) + _text(name) + _text(uuid) for domid, name, uuid in entries]
    return frame(DIRECTORY | ANSWER, b"".join(parts))


def decode_directory(payload: bytes) -> list[tuple[int, str, str]]:
    """Domains as (id, name, uuid). The texts are as the other end sent them: unchecked. Raises WireError."""
    count = _count(payload, MAX_DIRECTORY)
    entries: list[tuple[int, str, str]] = []
    at = _WORD.size
    for _ in range(count):
        if len(payload) - at < _WORD.size:
            raise WireError("malformed directory")
        domid: int = _WORD.unpack_from(payload, at)[0]
        name, at = _take_text(payload, at + _WORD.size)
        uuid, at = _take_text(payload, at)
        entries.append((domid, name, uuid))
    if at != len(payload):
        raise WireError("bytes after the last domain")
    return entries


# ERROR.


def error_answer(code: int, text: str) -> bytes:
    """A refusal: one of the ERROR codes and a sentence for the user."""
    return frame(ERROR, _WORD.pack(code) + _text(text))


def decode_error(payload: bytes) -> RemoteError:
    """The error of an ERROR frame, to be raised by the caller. Raises WireError."""
    if len(payload) < _WORD.size:
        raise WireError("malformed error")
    text, _ = _take_text(payload, _WORD.size)
    return RemoteError(_WORD.unpack_from(payload)[0], text)


def expect(answer: tuple[int, bytes] | None, kind: int) -> bytes:
    """The payload of the answer to a request of `kind`. Raises RemoteError for an ERROR, else WireError."""
    if answer is None:
        raise WireError("the other end closed the connection")
    if answer[0] == ERROR:
        raise decode_error(answer[1])
    if answer[0] != kind | ANSWER:
        raise WireError(f"an answer of kind {answer[0]} to a request of kind {kind}")
    return answer[1]


def _text(text: str) -> bytes:
    """A text with its length before it; cut at the bound, since a name must not break a directory."""
    raw = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES]
    return _TEXT.pack(len(raw)) + raw


def _take_text(payload: bytes, at: int) -> tuple[str, int]:
    if len(payload) - at < _TEXT.size:
        raise WireError("malformed text")
    start = at + _TEXT.size
    end = start + int(_TEXT.unpack_from(payload, at)[0])
    if end > len(payload):
        raise WireError("a text longer than its message")
    return payload[start:end].decode("utf-8", "replace"), end


def _count(payload: bytes, bound: int) -> int:
    if len(payload) < _WORD.size:
        raise WireError("malformed list")
    count: int = _WORD.unpack_from(payload)[0]
    if count > bound:
        raise WireError(f"a list of {count} is over the bound of {bound}")
    return count

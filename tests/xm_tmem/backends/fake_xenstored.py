# SPDX-License-Identifier: GPL-2.0-only
"""A xenstored small enough for tests: READ, DIRECTORY and DIRECTORY_PART over a Unix socket, from a dict."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_HEADER = struct.Struct("<IIII")
_DIRECTORY, _READ, _ERROR, _DIRECTORY_PART = 1, 2, 16, 20
PAYLOAD_BYTES = 4096


class FakeXenstored:
    """Serves `values` (path -> text). `requests` are the types asked, `corrupt` breaks an answer's header."""

    def __init__(self, values: Mapping[str, bytes], *, corrupt: str = "") -> None:
        self._values = values
        self._corrupt = corrupt
        self.requests: list[int] = []

    def answer(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        path, *more = payload.rstrip(b"\0").decode().split("\0")
        if kind == _READ:
            value = self._values.get(path)
            return (_ERROR, b"ENOENT\0") if value is None else (kind, value)
        if kind in (_DIRECTORY, _DIRECTORY_PART):
            entries = {
                key[len(path) + 1 :].split("/")[0] for key in self._values if key.startswith(path + "/")
            }
            whole = b"".join(entry.encode() + b"\0" for entry in sorted(entries))
            if not entries:
                return _ERROR, b"ENOENT\0"
            if kind == _DIRECTORY:
                return (kind, whole) if len(whole) <= PAYLOAD_BYTES else (_ERROR, b"E2BIG\0")
            return kind, b"7\0" + _part(whole, int(more[0]))
        return _ERROR, b"ENOSYS\0"

    def serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        while header := stream.read(_HEADER.size):
            kind, request, transaction, size = _HEADER.unpack(header)
            self.requests.append(kind)
            answered, body = self.answer(kind, stream.read(size))
            if self._corrupt == "request":
                request += 1
            length = 1 << 30 if self._corrupt == "length" else len(body)
            stream.write(_HEADER.pack(answered, request, transaction, length) + body)
            stream.flush()
            if self._corrupt == "cut":
                connection.shutdown(socket.SHUT_RDWR)


def _part(whole: bytes, offset: int) -> bytes:
    """Whole entries that fit, from `offset` on; after the last one an empty entry."""
    room = PAYLOAD_BYTES - 16
    if len(whole) - offset < room:
        return whole[offset:] + b"\0"
    return whole[offset : whole.rindex(b"\0", offset, offset + room) + 1]


@contextmanager
def serving(store: FakeXenstored, path: Path) -> Iterator[str]:
    """The store behind a socket at `path`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        store.serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield str(path)
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

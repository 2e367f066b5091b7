# SPDX-License-Identifier: GPL-2.0-only
"""Reading a hostile byte stream: exact lengths, and the byte offset in every complaint.

Memory stays constant: nothing is read ahead except what `peek` is asked for.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from xm_tmem.errors import BadInput


class Source:
    """A readable binary file, pipe included, with the offset of the next byte (from where it was handed over)."""

    def __init__(self, file: BinaryIO, name: str = "stream") -> None:
        self._file = file
        self._ahead = b""
        self.name = name
        self.offset = 0

    def error(self, what: str, offset: int | None = None) -> BadInput:
        """The error to raise for something wrong at `offset` (default: the next byte)."""
        return BadInput(f"{self.name}: byte {self.offset if offset is None else offset}: {what}")

    def take(self, size: int, what: str) -> bytes:
        """Exactly `size` bytes. Raises BadInput if the stream ends before."""
        found = self._pull(size)
        if len(found) < size:
            end = self.offset + len(found)
            raise self.error(f"the stream ends in the middle of {what} ({len(found)} of {size} bytes)", end)
        self.offset += size
        return found

    def unpack(self, layout: struct.Struct, what: str) -> tuple[Any, ...]:
        """The fields of `layout`."""
        return layout.unpack(self.take(layout.size, what))

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes (fewer at the end) that stay to be read."""
        found = self._pull(size)
        self._ahead = found + self._ahead
        return found

    def at_end(self) -> bool:
        return not self.peek(1)

    def _pull(self, size: int) -> bytes:
        found, self._ahead = self._ahead[:size], self._ahead[size:]
        if len(found) == size:
            return found
        parts = [found]
        missing = size - len(found)
        while missing:
            # A pipe gives what it has; BadInput and the offset are only right if we ask until it is empty.
            part = self._file.read(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

# SPDX-License-Identifier: GPL-2.0-only
"""Recordings: a file of captures, each what one host listed at one moment, to which more can be added.

    file     MAGIC, then records
    record   "XMR1", the time (seconds since 1970, a double), the length of what follows, its CRC-32, the CRC-32 of
             the head so far; little-endian. Then, compressed by zlib: one line of JSON, and the hypervisor's text
    JSON     connection, and "host" and "domains" as xm_tmem.operations.recording wrote them

A record is written in one go. A writer that was killed leaves a torn record at the end: readers stop before it, and
the next writer cuts it off. Damage anywhere else is no torn tail, and is never cut.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from xm_tmem.errors import BadInput, BadListing, Failed
from xm_tmem.listing.capture import MAGIC, MAX_TEXT_BYTES, Capture, is_recording, open_to_read
from xm_tmem.named_tuple import NamedTuple

MAX_HEADLINE_BYTES = 16 << 20
MAX_PACKED_BYTES = 64 << 20
_HEAD = struct.Struct("<4sdII")
_HEAD_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _HEAD_CRC.size
_MARK = b"XMR1"
_MAX_TIMESTAMP = 253402300799.0  # the end of the year 9999


class Place(NamedTuple):
    """Where a record's packed capture is in the file, and what it should add up to."""

    timestamp: float
    offset: int
    length: int
    crc: int

    @property
    def end(self) -> int:
        return self.offset + self.length


class Contents(NamedTuple):
    """What a scan of the heads found: the records that are all there, where they end, and how the rest looks."""

    places: list[Place]
    end: int
    torn: bool  # the rest is a record of which the end is missing: what a killed writer leaves
    rest: int  # bytes from `end` on


def scan(file: BinaryIO) -> Contents:
    """Find the records by their heads; their contents are not read. `file` is a regular one, opened for reading."""
    size = file.seek(0, os.SEEK_END)
    places: list[Place] = []
    end = len(MAGIC)
    while True:
        file.seek(end)
        head = file.read(HEAD_BYTES)
        place = _place(head, end)
        if place is None or place.end > size:
            cut_short = place is not None or len(head) < HEAD_BYTES or not head.strip(b"\0")
            return Contents(places, end, cut_short, size - end)
        places.append(place)
        end = place.end


def _place(head: bytes, start: int) -> Place | None:
    """What a record's head says, or None where it is none."""
    if len(head) < HEAD_BYTES or zlib.crc32(head[: _HEAD.size]) != _HEAD_CRC.unpack_from(head, _HEAD.size)[0]:
        return None
    mark, timestamp, length, crc = _HEAD.unpack_from(head)
    if mark != _MARK or not 0 <= timestamp <= _MAX_TIMESTAMP or not 0 < length <= MAX_PACKED_BYTES:
        return None
    return Place(timestamp, start + HEAD_BYTES, length, crc)


def read_capture(file: BinaryIO, place: Place) -> Capture | None:
    """The capture at `place`; None where its bytes are not those that were written. Raises BadListing."""
    file.seek(place.offset)
    packed = file.read(place.length)
    if len(packed) != place.length or zlib.crc32(packed) != place.crc:
        return None
    return _unpacked(place.timestamp, packed)


def pack(capture: Capture) -> bytes:
    """A whole record."""
    import json

    headline = json.dumps(
        {"connection": capture.connection, "host": capture.host, "domains": capture.domains}
    )
    packed = zlib.compress(headline.encode("ascii") + b"\n" + capture.text)
    head = _HEAD.pack(_MARK, capture.timestamp, len(packed), zlib.crc32(packed))
    return head + _HEAD_CRC.pack(zlib.crc32(head)) + packed


def _unpacked(timestamp: float, packed: bytes) -> Capture:
    import json

    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(packed, MAX_TEXT_BYTES + MAX_HEADLINE_BYTES)
        headline, newline, text = plain.partition(b"\n")
        document = json.loads(headline)
    except (zlib.error, ValueError, RecursionError) as error:
        raise BadListing(f"a capture cannot be read: {error}") from None
    if not unpacker.eof or not newline or not isinstance(document, dict):
        raise BadListing("a capture cannot be read: it is none")
    connection, host, domains = (document.get(key) for key in ("connection", "host", "domains"))
    if not isinstance(connection, str) or not isinstance(host, dict) or not isinstance(domains, list):
        raise BadListing("a capture cannot be read: it does not say where it is from")
    known = tuple(each for each in domains if isinstance(each, dict) and type(each.get("domain_id")) is int)
    return Capture(timestamp, connection, text, host, known)


class Recording:
    """A recording opened for reading. Its heads are read at once, its captures when they are asked for."""

    def __init__(self, path: str) -> None:
        """Raises BadInput (no such file), BadListing (no recording, or nothing in it)."""
        self.path = path
        self._file = open_to_read(path)
        if not is_recording(self._file):
            self.close()
            raise BadListing(f"{os.path.basename(path)} is no recording; `xm tmem-record` makes one")
        found = scan(self._file)
        self.places = found.places
        self.damaged = found.rest > 0 and not found.torn
        # Of a record whose writer lost power, the length may be there and the contents not.
        if self.places and not self._is_whole(self.places[-1]):
            self.places.pop()
        if not self.places:
            self.close()
            raise BadListing(f"{os.path.basename(path)}: nothing was recorded")

    def _is_whole(self, place: Place) -> bool:
        self._file.seek(place.offset)
        return zlib.crc32(self._file.read(place.length)) == place.crc

    def capture(self, place: Place) -> Capture:
        """Raises BadListing where the file is damaged."""
        try:
            found = read_capture(self._file, place)
        except BadListing as error:
            raise BadListing(f"{os.path.basename(self.path)}: {error}") from None
        if found is None:
            raise BadListing(f"{os.path.basename(self.path)} is damaged at byte {place.offset}")
        return found

    def captures(self) -> Iterator[Capture]:
        """All of them that can be read, in the order they were made."""
        for place in self.places:
            if (found := read_capture(self._file, place)) is not None:
                yield found

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Recorder:
    """A recording opened to add captures to; no other process can at the same time. Made if it is not there."""

    def __init__(self, path: str) -> None:
        """Cuts off a torn record. Raises BadInput (no recording, or damaged), Failed (cannot be opened, or in use)."""
        import fcntl

        self.path = path
        try:
            # A listing tells the uuids of shared pools, which are all a guest needs to join them: the owner's alone.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
        except (OSError, ValueError) as error:
            raise Failed(f"cannot record to {path}: {getattr(error, 'strerror', error)}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._prepare()
        except BlockingIOError:
            self.close()
            raise Failed(f"{path} is being recorded to by another process") from None
        except OSError as error:
            self.close()
            raise Failed(f"cannot record to {path}: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise BadInput(f"{self.path} is no regular file")
        start = self._file.read(len(MAGIC))
        self.last: Capture | None = None
        self.cut_bytes = 0
        if MAGIC.startswith(start) and len(start) < len(MAGIC):  # new, or its writer was killed at once
            self._file.truncate(0)
            self._write_at(0, MAGIC)
            return
        if start != MAGIC:
            raise BadInput(f"{self.path} is there and is no recording")
        found = scan(self._file)
        if found.rest and not found.torn:
            raise BadInput(f"{self.path} is damaged at byte {found.end}; record to another file")
        end, places = found.end, found.places
        # After a loss of power a record can have its length and lack its contents.
        if places and read_capture(self._file, places[-1]) is None:
            end = places.pop().offset - HEAD_BYTES
        if places:
            self.last = read_capture(self._file, places[-1])
        self.cut_bytes = found.end + found.rest - end
        self._file.truncate(end)
        self._end = end

    def _write_at(self, offset: int, data: bytes) -> None:
        """All of `data`, on the disk; or nothing of it, and Failed."""
        view = memoryview(data)
        try:
            self._file.seek(offset)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(offset)
            raise Failed(f"cannot write to {self.path}: {error.strerror}") from None
        self._end = offset + len(data)

    def add(self, capture: Capture) -> int:
        """Append `capture`; the bytes it took. Raises Failed: then it is as if nothing had been tried."""
        record = pack(capture)
        self._write_at(self._end, record)
        return len(record)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

# SPDX-License-Identifier: GPL-2.0-only
"""The frame of this project's container: a preamble and a chain of checksummed chunks (docs/design/streams.md).

    preamble  magic, version, crc32 of both                                                   16 bytes
    chunk     kind, sequence, flags, count, stored bytes, raw bytes, crc32 of the payload,
              crc32 of these fields continued from the header before                          32 bytes
              payload

A header's checksum continues that of the header before it, so the last chunk vouches for every other: none can be
changed, dropped, doubled or moved. A header is checked before its lengths are believed, a payload before it is
inflated, and it may inflate to what its kind and count allow and no more.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Final

from xm_tmem.errors import BadInput
from xm_tmem.streams.source import Source

MAGIC: Final = b"\x89XMTMEM\n"
VERSION: Final = 1
PAGES_PER_CHUNK: Final = 256
HANDLES_PER_CHUNK: Final = 4096
MAX_RECORD_BYTES: Final = 1 << 16
"""Bytes of a chunk of JSON."""

HEAD: Final = b"HEAD"  # JSON: the client, and where it was saved
POOL: Final = b"POOL"  # one struct xen_tmem_pool_info
PAGE: Final = b"PAGE"  # count handles, then count pages
INVL: Final = b"INVL"  # count handles of pages flushed since
LOST: Final = b"LOST"  # count handles of pages the hypervisor would not hand out
DONE: Final = b"DONE"  # JSON: the totals; the last chunk

_HANDLE_BYTES = 32
_PAGE_BYTES = 4096
# kind -> (bytes for each of `count`, greatest count); JSON kinds have a length of their own instead.
_SIZES: Final = {
    POOL: (32, 1),
    PAGE: (_HANDLE_BYTES + _PAGE_BYTES, PAGES_PER_CHUNK),
    INVL: (_HANDLE_BYTES, HANDLES_PER_CHUNK),
    LOST: (_HANDLE_BYTES, HANDLES_PER_CHUNK),
}
_PREAMBLE = struct.Struct("<8sII")
_HEADER = struct.Struct("<4sIIIIIII")
_CHECKED_BYTES = _HEADER.size - 4
_DEFLATED = 1


class ChunkWriter:
    """Writes chunks; `compress` deflates each payload that gets smaller by it."""

    def __init__(self, file: BinaryIO, *, compress: bool) -> None:
        self._file = file
        self._compress = compress
        self._sequence = 0
        start = _PREAMBLE.pack(MAGIC, VERSION, 0)[:12]
        self._chain = zlib.crc32(start)
        file.write(start + self._chain.to_bytes(4, "little"))

    def write(self, kind: bytes, count: int, payload: bytes) -> None:
        stored, flags = payload, 0
        if self._compress:
            deflated = zlib.compress(payload, 1)
            if len(deflated) < len(payload):
                stored, flags = deflated, _DEFLATED
        header = _HEADER.pack(
            kind, self._sequence, flags, count, len(stored), len(payload), zlib.crc32(stored), 0
        )[:_CHECKED_BYTES]
        self._chain = zlib.crc32(header, self._chain)
        self._sequence += 1
        self._file.write(header + self._chain.to_bytes(4, "little"))
        self._file.write(stored)


class ChunkReader:
    """Reads chunks and believes nothing. Raises BadInput with the byte offset."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sequence = 0
        at = source.offset
        magic, version, checksum = source.unpack(_PREAMBLE, "the container's preamble")
        if magic != MAGIC:
            raise source.error("this is no xm-tmem container", at)
        self._chain = zlib.crc32(_PREAMBLE.pack(magic, version, 0)[:12])
        if checksum != self._chain:
            raise source.error("the preamble's checksum is wrong", at)
        if version != VERSION:
            raise source.error(f"container version {version}: this xm-tmem reads version {VERSION}", at + 8)

    def read(self) -> tuple[bytes, int, bytes]:
        """The next chunk's kind, count and payload, checked and inflated."""
        source = self._source
        at = source.offset
        header = source.take(_HEADER.size, "a chunk's header (a whole container ends with a DONE chunk)")
        kind, sequence, flags, count, stored_bytes, raw_bytes, checksum, chain = _HEADER.unpack(header)
        self._chain = zlib.crc32(header[:_CHECKED_BYTES], self._chain)
        if chain != self._chain:
            raise source.error(f"the checksum of the header of chunk {self._sequence} is wrong", at)
        if sequence != self._sequence:
            raise source.error(f"chunk {sequence} instead of {self._sequence}", at)
        self._sequence += 1
        self._check_size(kind, flags, count, stored_bytes, raw_bytes, at)
        payload_at = source.offset
        stored = source.take(stored_bytes, f"the payload of chunk {sequence}")
        if zlib.crc32(stored) != checksum:
            raise source.error(f"the checksum of chunk {sequence} ({_name(kind)}) is wrong", payload_at)
        if not flags & _DEFLATED:
            return kind, count, stored
        return kind, count, self._inflate(stored, raw_bytes, payload_at)

    def _check_size(
        self, kind: bytes, flags: int, count: int, stored_bytes: int, raw_bytes: int, at: int
    ) -> None:
        if kind in (HEAD, DONE):
            possible = count == 1 and raw_bytes <= MAX_RECORD_BYTES
        elif kind in _SIZES:
            each, most = _SIZES[kind]
            possible = 0 < count <= most and raw_bytes == count * each
        else:
            raise self._source.error(f"a chunk of unknown kind {_name(kind)}", at)
        if flags & ~_DEFLATED:
            raise self._source.error(f"unknown chunk flags {flags:#x}", at + 8)
        stored_well = stored_bytes < raw_bytes if flags & _DEFLATED else stored_bytes == raw_bytes
        if not (possible and stored_well):
            raise self._source.error(f"impossible sizes in the header of a {_name(kind)} chunk", at + 12)

    def _inflate(self, stored: bytes, raw_bytes: int, at: int) -> bytes:
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(stored, raw_bytes)
        except zlib.error as error:
            raise self._source.error(f"a chunk does not inflate: {error}", at) from None
        # A full output leaves the end of the deflate stream unread: one more byte of room takes it.
        if len(raw) == raw_bytes and not inflater.eof:
            raw += inflater.decompress(inflater.unconsumed_tail, 1)
        if len(raw) != raw_bytes or not inflater.eof or inflater.unused_data:
            raise self._source.error(f"a chunk does not inflate to the {raw_bytes} bytes it announced", at)
        return raw


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace") if kind.isalnum() else repr(kind)


def is_container(start: bytes) -> bool:
    """Do these first bytes announce a container?"""
    return start.startswith(MAGIC)


def bad_record(source: Source, at: int, what: str) -> BadInput:
    """The error for a JSON chunk whose contents are not what they should be."""
    return source.error(f"a record of the container is wrong: {what}", at)

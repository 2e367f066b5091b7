# SPDX-License-Identifier: GPL-2.0-only
"""Page accesses from public traces, at a path the user gives: read line by line or record by record, never whole.

  fiu     FIU non-blocking writes (page cache level): `seq ts_ns op inode inode_size offset size HIT|MISS|APPEND`
  msr     MSR Cambridge (block level): `Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime`, 100 ns, bytes
  oracle  CloudPhysics and others as oracleGeneral: `<IQIq` time, object, size, next access, perhaps zstd-compressed
  csv     one access per line: `page` or `file,page` or `file,page,r|w`

Requests are cut into pages.  Block traces have passed a page cache already: replay them against a guest of few pages.
Units     pages; inodes and offsets beyond what a key holds are folded into it.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, NamedTuple, cast

from hypervisor_model.guests.files import UnreadableFile, open_regular
from hypervisor_model.guests.handle import INDEX_MASK, INODE_MASK, file_key
from hypervisor_model.public.xen import PAGE_SHIFT, PAGE_SIZE

MAX_LINE_BYTES: Final = 4096
MAX_REQUEST_PAGES: Final = 1 << 16
ORACLE: Final = struct.Struct("<IQIq")


class TraceError(UnreadableFile):
    """The file cannot be read as what it was said to be. The text says where."""


class Access(NamedTuple):
    """Pages first..first+pages-1 of one file (or volume) are read or written; the time is the trace's own."""

    time_ns: int
    first: int
    pages: int
    write: bool


def _pages(time_ns: int, inode: int, offset_bytes: int, size_bytes: int, write: bool) -> Access:
    if offset_bytes < 0 or size_bytes < 0:
        raise ValueError("a negative offset or size")
    start = offset_bytes >> PAGE_SHIFT
    end = (offset_bytes + max(size_bytes, 1) + PAGE_SIZE - 1) >> PAGE_SHIFT
    if end - start > MAX_REQUEST_PAGES:
        raise ValueError(f"a request of {end - start} pages")
    return Access(time_ns, file_key(0, inode & INODE_MASK) + (start & INDEX_MASK), end - start, write)


def _lines(stream: IO[bytes], path: str) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES:
            raise TraceError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes")
        text = line.decode("ascii", "replace").strip()
        if text and not text.startswith("#"):
            yield number, text


def _parsed(stream: IO[bytes], path: str, parse: Callable[[str], Access | None]) -> Iterator[Access]:
    for number, text in _lines(stream, path):
        try:
            access = parse(text)
        except (ValueError, IndexError) as error:
            raise TraceError(f"{path}, line {number}: {error}") from None
        if access is not None:
            yield access


def _fiu(text: str) -> Access | None:
    fields = text.split()
    op = fields[2].upper()
    if op not in ("READ", "WRITE"):
        return None  # OPEN, CLOSE, FSYNC and the like touch no page
    return _pages(int(fields[1]), int(fields[3]), int(fields[5]), int(fields[6]), op == "WRITE")


def _msr(text: str) -> Access | None:
    fields = text.split(",")
    if fields[0] == "Timestamp":
        return None
    kind = fields[3].strip().lower()
    if kind not in ("read", "write"):
        raise ValueError(f"neither Read nor Write: {kind[:20]!r}")
    return _pages(int(fields[0]) * 100, int(fields[2]), int(fields[4]), int(fields[5]), kind == "write")


def _csv(text: str) -> Access | None:
    fields = text.split(",")
    write = len(fields) > 2 and fields[2].strip().lower() in ("w", "write", "1")
    inode, page = (int(fields[0]), int(fields[1])) if len(fields) > 1 else (1, int(fields[0]))
    return _pages(0, inode, page << PAGE_SHIFT, PAGE_SIZE, write)


def _oracle(stream: IO[bytes], path: str) -> Iterator[Access]:
    number = 0
    while raw := stream.read(ORACLE.size):
        if len(raw) != ORACLE.size:
            raise TraceError(f"{path}: cut off in record {number}")
        time_s, number_of_object, _, _ = ORACLE.unpack(raw)
        inode, page = number_of_object >> 32 & INODE_MASK, number_of_object & INDEX_MASK
        yield Access(time_s * 1_000_000_000, file_key(0, inode) + page, 1, False)
        number += 1


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """The file, decompressed if its first bytes say so."""
    import gzip

    with open_regular(path) as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(file) as stream:
                yield cast(IO[bytes], stream)
        elif magic == b"\x28\xb5\x2f\xfd":
            raise TraceError(f"{path}: zstd-compressed; decompress it first (zstd -d)")
        else:
            yield file


_TEXT: Final = {"fiu": _fiu, "msr": _msr, "csv": _csv}
FORMATS: Final = (*_TEXT, "oracle")


def read_trace(path: str, kind: str) -> Iterator[Access]:
    """The accesses of a trace. Raises TraceError, UnreadableFile, ValueError for an unknown kind."""
    import zlib

    if kind not in FORMATS:
        raise ValueError(f"no trace format {kind!r}: there are {', '.join(FORMATS)}")
    try:
        with _opened(path) as stream:
            if kind == "oracle":
                yield from _oracle(stream, path)
            else:
                yield from _parsed(stream, path, _TEXT[kind])
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: {error}") from None

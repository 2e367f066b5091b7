# SPDX-License-Identifier: GPL-2.0-only
"""Page accesses from public traces, at a path the user gives: read line by line or record by record, never whole.

  fiu     FIU non-blocking writes (page cache level): `seq ts_ns op inode inode_size offset size HIT|MISS|APPEND`
  msr     MSR Cambridge (block level): `Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime`, 100 ns, bytes
  oracle  CloudPhysics and others as oracleGeneral: `<IQIq` time, object, size, next access
  csv     one access per line: `page` or `file,page` or `file,page,r|w`

Any of them may be compressed, by gzip or zstd (the latter is read with the package zstandard).
Requests are cut into pages.  An object of oracleGeneral is a file, read from end to end; a disk of an MSR host is one
file, numbered in the order in which they appear.
Block traces have passed a page cache already: replay them against a guest of few pages.
Units     pages; inodes and offsets beyond what a key holds are folded into it.
"""

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final, NamedTuple, cast

from hypervisor_model.guests.files import UnreadableFile, open_regular
from hypervisor_model.guests.handle import INDEX_MASK, INODE_MASK, file_key
from hypervisor_model.public.xen import PAGE_SHIFT, PAGE_SIZE

MAX_LINE_BYTES: Final = 4096
MAX_REQUEST_PAGES: Final = 1 << 16
MAX_VOLUMES: Final = 4096
MAX_OBJECT_PAGES: Final = 1 << 20  # what a size of 32 bits may be
ZSTD_CHUNK_BYTES: Final = 1024  # of 4 bytes a hostile file makes 128 KiB
INODE_BITS: Final = INODE_MASK.bit_length()
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


def _msr() -> Callable[[str], Access | None]:
    volumes: dict[tuple[str, int], int] = {}

    def parse(text: str) -> Access | None:
        fields = text.split(",")
        if fields[0] == "Timestamp":
            return None
        kind = fields[3].strip().lower()
        if kind not in ("read", "write"):
            raise ValueError(f"neither Read nor Write: {kind[:20]!r}")
        volume = volumes.setdefault((fields[1].strip(), int(fields[2])), len(volumes))
        if volume == MAX_VOLUMES:
            raise ValueError(f"more than {MAX_VOLUMES} disks")
        return _pages(int(fields[0]) * 100, volume, int(fields[4]), int(fields[5]), kind == "write")

    return parse


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
        time_s, object_id, size_bytes, _ = ORACLE.unpack(raw)
        # The number's low bits are the inode; the rest tells files of one inode apart, with room for all pages.
        start = (object_id >> INODE_BITS) * MAX_OBJECT_PAGES & INDEX_MASK
        pages = (max(size_bytes, 1) + PAGE_SIZE - 1) >> PAGE_SHIFT
        yield Access(time_s * 1_000_000_000, file_key(0, object_id & INODE_MASK) + start, pages, False)
        number += 1


def _zstd(file: IO[bytes], path: str) -> io.RawIOBase:
    """What is in a zstd file. Its reading raises TraceError, also where the file is cut off."""
    try:
        import zstandard
    except ImportError:
        raise TraceError(
            f"{path}: zstd-compressed, which needs the package zstandard: pip install 'xm-tmem[traces]'"
        ) from None

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._begun = False
            self._ahead = b""  # compressed, of the next frame
            self._there = memoryview(b"")

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            while not self._there:
                chunk = self._ahead or file.read(ZSTD_CHUNK_BYTES)
                self._ahead = b""
                if not chunk:
                    if self._begun:
                        raise TraceError(f"{path}: cut off")
                    return 0
                self._begun = True
                try:
                    self._there = memoryview(self._frame.decompress(chunk))
                except zstandard.ZstdError as error:
                    raise TraceError(f"{path}: {error}") from None
                if self._frame.eof:
                    self._ahead = self._frame.unused_data
                    self._frame = zstandard.ZstdDecompressor().decompressobj()
                    self._begun = False
            count = min(len(buffer), len(self._there))
            buffer[:count] = self._there[:count]
            self._there = self._there[count:]
            return count

    return Stream()


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
            yield io.BufferedReader(_zstd(file, path))
        else:
            yield file


_TEXT: Final[Mapping[str, Callable[[], Callable[[str], Access | None]]]] = {
    "fiu": lambda: _fiu,
    "msr": _msr,  # knows the disks there were
    "csv": lambda: _csv,
}
FORMATS: Final = (*_TEXT, "oracle")
TIMED: Final = frozenset(FORMATS) - {"csv"}
"""Those that say when."""


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
                yield from _parsed(stream, path, _TEXT[kind]())
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: {error}") from None

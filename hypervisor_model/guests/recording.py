# SPDX-License-Identifier: GPL-2.0-only
"""Recorded tmem traffic of Linux guests (`tmem-ops/1`): its reader, and a driver that replays it as a domain.

The file is gzip: a JSON line, then blocks of up to 65,536 records, each u32 n and one column after the other as byte
planes, lowest bytes first.  It is read block by block, never whole.
A recording numbers its contents for itself. Across recordings a page is known by its CRC-32: pages of equal CRC are
the same, except in one recording, whose numbers tell them apart. Two that differ may so be taken for one, about once
for 4 billion pairs. What has no CRC (0) is of its recording alone, which its first 64 KiB identify.
A page that is not zero counts as incompressible: nobody recorded how well it would compress.
Units     microseconds since the guest booted; `speed` divides the gaps between operations.
Left out  the closed loop: a recorded guest asks what it asked, whatever the model answers.
"""

import hashlib
import struct
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hypervisor_model.guests.contents import RANDOM, ZERO_TOKEN, expand
from hypervisor_model.guests.files import UnreadableFile, open_regular
from hypervisor_model.guests.handle import TmemHandle
from hypervisor_model.public.tmem import (
    TMEM_DESTROY_POOL,
    TMEM_FLUSH_OBJECT,
    TMEM_FLUSH_PAGE,
    TMEM_GET_PAGE,
    TMEM_NEW_POOL,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_PUT_PAGE,
    oid_from_words,
)

FORMAT: Final = "tmem-ops/1"
MAX_BLOCK: Final = 65_536
MAX_HEADER_BYTES: Final = 1 << 20
TYPES: Final = "IHhBBBBIIIQQQ"
IDENTIFYING_BYTES: Final = 1 << 16
FLAG_ZERO: Final = 1
_PLANES: Final = {kind: struct.calcsize(f"<{kind}") for kind in "BhHIQ"}


class RecordingError(UnreadableFile):
    """The file is not a recording, or is damaged. The text says where."""


class Operation(NamedTuple):
    """One hypercall. `content` numbers what a put carried, in its recording; `identity` does so for all recordings."""

    time_us: int
    op: int
    ret: int
    pool: int
    oid: int
    page_index: int
    content: int
    identity: int
    is_zero: bool
    phase: int


class Recording:
    """One recorded guest. `header` is the file's JSON line; iterating reads the file anew."""

    def __init__(self, path: str) -> None:
        """Raises RecordingError, UnreadableFile."""
        self.path = path
        with self._open() as (_, header):
            self.header = header

    def _open(self) -> "_Opened":
        return _Opened(self.path)

    @property
    def records(self) -> int:
        return int(self.header["records"])

    def __iter__(self) -> Iterator[Operation]:
        return self.operations()

    def operations(self, skip: int = 0) -> Iterator[Operation]:
        """The operations from number `skip` on. Raises RecordingError, UnreadableFile."""
        with self._open() as (stream, header):
            left = int(header["records"])
            identities = _Identities(self.path)
            time_us = int(header["t0_us"])
            while left:
                count = int.from_bytes(_exactly(stream, 4, self.path), "little")
                if not 0 < count <= min(left, MAX_BLOCK):
                    raise RecordingError(f"{self.path}: a block of {count} records where {left} are left")
                columns = [_column(stream, kind, count, self.path) for kind in TYPES]
                left -= count
                gaps, _, rets, ops, pools, flags, phases, indexes, crcs, contents, *words = columns
                for at in range(count):
                    time_us += gaps[at]
                    identity = 0
                    if ops[at] == TMEM_PUT_PAGE and not flags[at] & FLAG_ZERO:
                        identity = identities.of(crcs[at], contents[at])
                    if skip:
                        skip -= 1
                        continue
                    oid = words[0][at]
                    if words[1][at] or words[2][at]:
                        oid = oid_from_words(oid, words[1][at], words[2][at])
                    yield Operation(
                        time_us,
                        ops[at],
                        rets[at],
                        pools[at],
                        oid,
                        indexes[at],
                        contents[at],
                        identity,
                        bool(flags[at] & FLAG_ZERO),
                        phases[at],
                    )


class _Identities:
    """What equal pages of several recordings have in common: 62 bits, and one to one with one recording's contents."""

    def __init__(self, path: str) -> None:
        with open_regular(path) as file:
            head = hashlib.blake2b(file.read(IDENTIFYING_BYTES), digest_size=4).digest()
        # Bit 62 is set neither beside a bare CRC nor in what contents.py makes.
        self._own = 1 << 62 | (int.from_bytes(head, "little") & 0x3FFFFFFF) << 32
        self._first: dict[int, int] = {}  # by CRC, the content that had it first

    def of(self, crc32: int, content: int) -> int:
        if crc32 and self._first.setdefault(crc32, content) == content:
            return crc32
        return self._own | content


class _Opened:
    """The file with its header read: a context manager."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> tuple[Any, dict[str, Any]]:
        import gzip
        import zlib

        self._file = open_regular(self._path)
        self._stream = gzip.open(self._file)
        try:
            return self._stream, self._header()
        except (OSError, EOFError, zlib.error) as error:
            self._file.close()
            raise RecordingError(f"{self._path}: {error}") from None
        except RecordingError:
            self._file.close()
            raise

    def _header(self) -> dict[str, Any]:
        import json

        line = self._stream.readline(MAX_HEADER_BYTES)
        try:
            header = json.loads(line)
        except (ValueError, RecursionError):
            raise RecordingError(f"{self._path}: the first line is no JSON") from None
        if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("types") != TYPES:
            raise RecordingError(f"{self._path}: not a {FORMAT} recording of the fields known here")
        if not all(isinstance(header.get(key), int) and header[key] >= 0 for key in ("records", "t0_us")):
            raise RecordingError(f"{self._path}: the header lacks `records` or `t0_us`")
        return header

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._file.close()


def _exactly(stream: Any, count: int, path: str) -> bytes:
    import zlib

    try:
        data: bytes = stream.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {error}") from None
    if len(data) != count:
        raise RecordingError(f"{path}: cut off")
    return data


def _column(stream: Any, kind: str, count: int, path: str) -> "array[int]":
    width = _PLANES[kind]
    planes = _exactly(stream, width * count, path)
    interleaved = bytearray(width * count)
    for plane in range(width):
        interleaved[plane::width] = planes[plane * count : (plane + 1) * count]
    column = array(kind)
    if column.itemsize != width:
        return array("q", [value for (value,) in struct.iter_unpack(f"<{kind}", interleaved)])
    column.frombytes(bytes(interleaved))
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        column.byteswap()
    return column


def content_token(operation: Operation) -> bytes:
    """A token for what a recorded put carried; the same for equal pages of other recordings."""
    if operation.is_zero:
        return ZERO_TOKEN
    return bytes((RANDOM,)) + operation.identity.to_bytes(8, "big")


def whole_page(operation: Operation) -> bytes:
    """The same for a host that looks inside pages."""
    return expand(content_token(operation))


class ReplayedGuest:
    """Drives one domain with a recording; fulfils the scenario's GuestDriver."""

    __transient__ = ("_operations",)  # a checkpoint holds the place in the file, not the open file
    _operations: Iterator[Operation] | None = None
    failure: str | None = None  # why it ended before its time

    def __init__(
        self,
        recording: Recording,
        handle: TmemHandle,
        *,
        speed: float = 1.0,
        start_us: int = 0,
        whole_pages: bool = False,
    ) -> None:
        if speed <= 0:
            raise ValueError("speed must be positive")
        self.recording = recording
        self._handle = handle
        self._speed = speed
        self._page = whole_page if whole_pages else content_token
        self._start_us = start_us
        self._first_us = int(recording.header["t0_us"])
        self._pools: dict[int, int] = {}  # recorded id -> the model's
        self._persistent: set[int] = set()  # recorded ids
        self.done = 0
        self.time_us = start_us
        self.puts = self.puts_failed = self.gets = self.hits = self.flushes = 0
        self.persistent_puts = self.persistent_failed = self.persistent_gets = self.persistent_hits = 0
        self.unlike_recorded = 0  # gets that hit where the recorded one missed, or the reverse

    @property
    def finished(self) -> bool:
        return self.done >= self.recording.records or self.failure is not None

    @property
    def operations_total(self) -> int | None:
        return self.recording.records

    def _due_us(self, operation: Operation) -> int:
        return self._start_us + round((operation.time_us - self._first_us) / self._speed)

    def step(self, budget: int, until_us: int) -> int:
        """See GuestDriver."""
        if self._operations is None:
            self._operations = self.recording.operations(skip=self.done)
        before = self.done
        while self.done - before < budget and self.time_us < until_us:
            try:
                operation = next(self._operations, None)
            except UnreadableFile as error:
                self.failure = str(error)
                break
            if operation is None:
                if not self.finished:
                    self.failure = f"{self.recording.path}: another file than when the guest was booted"
                break
            # The clock may pass `until_us` by the gap before this operation.
            self.time_us = max(self.time_us, self._due_us(operation))
            self._play(operation)
            self.done += 1
        return self.done - before

    def _play(self, operation: Operation) -> None:
        op = operation.op
        if op == TMEM_NEW_POOL:
            persistent = bool(operation.page_index & TMEM_POOL_PERSIST)
            pool = self._handle.new_pool(
                persistent=persistent, shared=bool(operation.page_index & TMEM_POOL_SHARED)
            )
            self._pools[operation.ret] = pool
            if persistent:
                self._persistent.add(operation.ret)
            return
        pool = self._pools.get(operation.pool, -1)
        if pool < 0:
            return
        persistent = operation.pool in self._persistent
        if op == TMEM_PUT_PAGE:
            taken = self._handle.put(pool, operation.oid, operation.page_index, self._page(operation)) == 1
            self.puts += not persistent
            self.puts_failed += not persistent and not taken
            self.persistent_puts += persistent
            self.persistent_failed += persistent and not taken
        elif op == TMEM_GET_PAGE:
            hit = self._handle.get(pool, operation.oid, operation.page_index)[0] == 1
            self.gets += not persistent
            self.hits += hit and not persistent
            self.persistent_gets += persistent
            self.persistent_hits += hit and persistent
            self.unlike_recorded += hit != (operation.ret == 1)
        elif op == TMEM_FLUSH_PAGE:
            self.flushes += 1
            self._handle.flush_page(pool, operation.oid, operation.page_index)
        elif op == TMEM_FLUSH_OBJECT:
            self.flushes += 1
            self._handle.flush_object(pool, operation.oid)
        elif op == TMEM_DESTROY_POOL:
            self._handle.destroy_pool(pool)
            del self._pools[operation.pool]
            self._persistent.discard(operation.pool)

    def report(self) -> Mapping[str, str | int | float | bool | None]:
        return {
            "time_us": self.time_us,
            "operations": self.done,
            "ephemeral_puts": self.puts,
            "ephemeral_puts_failed": self.puts_failed,
            "ephemeral_gets": self.gets,
            "ephemeral_hits": self.hits,
            "ephemeral_hit_percent": round(100 * self.hits / self.gets, 1) if self.gets else None,
            "persistent_puts": self.persistent_puts,
            "persistent_puts_failed": self.persistent_failed,
            "persistent_gets": self.persistent_gets,
            "persistent_hits": self.persistent_hits,
            "flushes": self.flushes,
            "gets_unlike_recorded": self.unlike_recorded,
            **({} if self.failure is None else {"failure": self.failure}),
        }

# SPDX-License-Identifier: GPL-2.0-only
"""Formats A and B: the tmem chunks as libxc wrote them (C: xc_tmem_save, xc_tmem_save_extra), read strictly.

Units     pages of 4096 bytes; all fields little-endian and unaligned, no checksum anywhere.
A         Xen 4.0 to 4.7: marker -5, version, max_pools, -1, flags, weight, cap, -1, pools, -1
B         Xen 4.8 to 4.12: marker -5, struct xen_tmem_client, -1, nr_pools pools, -1
pool      A: id, flags, n_pages (u32), uuid[2]; B: struct xen_tmem_pool_info; then its pages
page      oid[3], index, 4096 bytes; a list shorter than n_pages ends with an oid of three -1
EXTRA     marker -6, { pool id, oid[3], index }, -1; only after a live save
Left out  pages of another size than 4096 bytes and precompressed pools, which no Xen ever accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from hypervisor_model.public.sysctl import (
    TMEM_CLIENT,
    TMEM_CLIENT_FLAG_COMPRESS,
    TMEM_CLIENT_FLAG_FROZEN,
    TMEM_CLIENT_FLAG_MIGRATING,
    TMEM_POOL_INFO,
)
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_CLIENT_COMPRESS,
    TMEM_CLIENT_FROZEN,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
    oid_from_bytes,
    oid_to_bytes,
)
from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput
from xm_tmem.ids import PoolId, SharedUuid
from xm_tmem.streams.items import MAX_INVALIDATIONS, MAX_POOL_PAGES, End, Head, Item, LostPage, StreamFormat
from xm_tmem.streams.source import Source
from xm_tmem.units import PAGE_BYTES

MARKER_TMEM = -5  # XC_SAVE_ID_TMEM
MARKER_EXTRA = -6  # XC_SAVE_ID_TMEM_EXTRA
LIST_END = 0xFFFFFFFF

_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_HEAD_A = struct.Struct("<7I")  # version, max_pools, -1, flags, weight, cap, -1
_POOL_A = struct.Struct("<IIIQQ")  # id, flags, n_pages, uuid[2]
_HANDLE = struct.Struct("<I24sI")  # pool id, oid[3], index
_OID_BYTES = 24
_NO_OID = b"\xff" * _OID_BYTES
_PAGE_RECORD_BYTES = _OID_BYTES + 4 + PAGE_BYTES
_KNOWN_POOL_FLAGS = TMEM_POOL_PERSIST | TMEM_POOL_SHARED


def read_legacy(source: Source) -> Iterator[Item]:
    """The items of an A or B stream, to its end. Raises BadInput, with the byte offset, at the first thing wrong."""
    at = source.offset
    (marker,) = source.unpack(_I32, "the marker")
    if marker != MARKER_TMEM:
        raise source.error(f"marker {marker} instead of {MARKER_TMEM}: this is no tmem save stream", at)
    if source.peek(12)[8:] == _U32.pack(LIST_END):
        head = _read_head_a(source)
        pools = _read_pools_a(source)
    else:
        head = _read_head_b(source)
        pools = _read_pools_b(source, head.client.nr_pools or 0)
    yield head
    total = 0
    persistent: set[int] = set()
    missing: dict[PoolId, int] = {}
    for pool, pools_left in pools:
        yield pool
        if pool.persistent:
            persistent.add(pool.pool_id)
        if pool.n_pages == 1 and _only_page_was_lost(source, head.format, pool.pool_id, pools_left):
            missing[pool.pool_id] = 1
            continue
        found = 0
        for page in _read_pages(source, pool):
            yield page
            found += 1
        total += found
        if found < pool.n_pages:
            missing[pool.pool_id] = pool.n_pages - found
    invalidations = 0
    if not source.at_end():
        for handle in _read_extra(source, persistent):
            yield handle
            invalidations += 1
        if not source.at_end():
            raise source.error("bytes follow the end of the stream")
    yield End(total, invalidations, missing)


def _read_head_a(source: Source) -> Head:
    at = source.offset
    version, max_pools, _, flags, weight, cap, end = source.unpack(_HEAD_A, "the client's settings")
    _check_version(source, version, max_pools, at)
    if flags & ~(TMEM_CLIENT_COMPRESS | TMEM_CLIENT_FROZEN):
        raise source.error(f"unknown client flags {flags:#x}", at + 12)
    if end != LIST_END:
        raise source.error(f"{end:#x} instead of the mark that ends the settings", at + 24)
    client = ClientInfo(
        weight=weight,
        cap=cap,
        compress=bool(flags & TMEM_CLIENT_COMPRESS),
        frozen=bool(flags & TMEM_CLIENT_FROZEN),
    )
    return Head(StreamFormat.A, client)


def _read_head_b(source: Source) -> Head:
    at = source.offset
    version, max_pools, nr_pools, flags, weight = source.unpack(TMEM_CLIENT, "the client's settings")
    _check_version(source, version, max_pools, at)
    if not 0 < nr_pools <= MAX_POOLS_PER_DOMAIN:
        raise source.error(f"{nr_pools} pools: a client has 1 to {MAX_POOLS_PER_DOMAIN}", at + 8)
    if flags & ~(TMEM_CLIENT_FLAG_FROZEN | TMEM_CLIENT_FLAG_COMPRESS | TMEM_CLIENT_FLAG_MIGRATING):
        raise source.error(f"unknown client flags {flags:#x}", at + 12)
    at = source.offset
    (end,) = source.unpack(_U32, "the mark that ends the settings")
    if end != LIST_END:
        raise source.error(f"{end:#x} instead of the mark that ends the settings", at)
    client = ClientInfo(
        weight=weight,
        compress=bool(flags & TMEM_CLIENT_FLAG_COMPRESS),
        # SAVE_BEGIN set the frozen flag before libxc read it, so it says nothing of the state before.
        frozen=False,
        migrating=bool(flags & TMEM_CLIENT_FLAG_MIGRATING),
        nr_pools=nr_pools,
    )
    return Head(StreamFormat.B, client)


def _check_version(source: Source, version: int, max_pools: int, at: int) -> None:
    if version != TMEM_SPEC_VERSION:
        raise source.error(f"tmem specification {version}: only {TMEM_SPEC_VERSION} is known", at)
    if not 0 < max_pools <= MAX_POOLS_PER_DOMAIN:
        raise source.error(f"{max_pools} pools at most: a domain can have {MAX_POOLS_PER_DOMAIN}", at + 4)


def _read_pools_a(source: Source) -> Iterator[tuple[PoolInfo, int | None]]:
    """Pools, each with the number of those that follow, which A does not know."""
    last_id = -1
    while True:
        at = source.offset
        (pool_id,) = _U32.unpack(source.peek(4).ljust(4, b"\0"))
        if pool_id == LIST_END:
            source.take(4, "the end of the pool list")
            return
        pool_id, flags, n_pages, lo, hi = source.unpack(_POOL_A, "a pool's header")
        # Releases up to 4.1.3 and 4.2.0 left the version out of the flags.
        versions = (0, TMEM_SPEC_VERSION)
        yield _pool(source, at, last_id, pool_id, flags, n_pages, SharedUuid(lo, hi), versions), None
        last_id = pool_id


def _read_pools_b(source: Source, nr_pools: int) -> Iterator[tuple[PoolInfo, int | None]]:
    last_id = -1
    for pools_left in reversed(range(nr_pools)):
        at = source.offset
        flags, pool_id, n_pages, lo, hi = source.unpack(TMEM_POOL_INFO, "a pool's header")
        versions = (TMEM_SPEC_VERSION,)
        yield _pool(source, at, last_id, pool_id, flags, n_pages, SharedUuid(lo, hi), versions), pools_left
        last_id = pool_id
    at = source.offset
    (end,) = source.unpack(_U32, "the end of the pool list")
    if end != LIST_END:
        raise source.error(f"{end:#x} instead of the end of the pool list", at)


def _pool(
    source: Source,
    at: int,
    last_id: int,
    pool_id: int,
    flags: int,
    n_pages: int,
    uuid: SharedUuid,
    versions: tuple[int, ...],
) -> PoolInfo:
    """A pool's header, checked: both savers walk the ids upwards and give ephemeral pools no page."""
    if not last_id < pool_id < MAX_POOLS_PER_DOMAIN:
        raise source.error(
            f"pool id {pool_id} after {last_id}: ids rise and end at {MAX_POOLS_PER_DOMAIN - 1}", at
        )
    if flags >> TMEM_POOL_VERSION_SHIFT not in versions or flags & 0xFFFFFF & ~_KNOWN_POOL_FLAGS:
        raise source.error(f"pool flags {flags:#x}: not those of a pool that Xen can make", at)
    persistent = bool(flags & TMEM_POOL_PERSIST)
    if n_pages > (MAX_POOL_PAGES if persistent else 0):
        raise source.error(f"{n_pages} pages in a{' persistent' if persistent else 'n ephemeral'} pool", at)
    return PoolInfo(PoolId(pool_id), persistent, bool(flags & TMEM_POOL_SHARED), n_pages, uuid)


def _read_pages(source: Source, pool: PoolInfo) -> Iterator[SavedPage]:
    for _ in range(pool.n_pages):
        oid = source.take(_OID_BYTES, "an object id")
        if oid == _NO_OID:
            return
        rest = source.take(4 + PAGE_BYTES, "a page")
        (index,) = _U32.unpack_from(rest)
        yield SavedPage(pool.pool_id, oid_from_bytes(oid), index, rest[4:])


def _only_page_was_lost(source: Source, fmt: StreamFormat, pool_id: int, pools_left: int | None) -> bool:
    """Did the host leave out the page of a one-page pool without marking the end of the list?

    QUIRK tmemc_save_get_next_page: asked once for the page of a one-page pool it answers 0, upon which xc_tmem_save
    writes neither page nor mark. A page is taken for there if what follows it makes sense.
    """
    ahead = source.peek(_PAGE_RECORD_BYTES + 8)
    if ahead.startswith(_NO_OID) or _may_follow(ahead[_PAGE_RECORD_BYTES:], fmt, pool_id, pools_left):
        return False
    return _may_follow(ahead[:8], fmt, pool_id, pools_left)


def _may_follow(ahead: bytes, fmt: StreamFormat, pool_id: int, pools_left: int | None) -> bool:
    """Can `ahead` be what comes after the pages of a pool: another pool or the end of the list?"""
    if ahead[:4] == _U32.pack(LIST_END):
        return not pools_left
    if len(ahead) < 8 or pools_left == 0:
        return False
    first, second = struct.unpack("<II", ahead)
    next_id, flags = (first, second) if fmt is StreamFormat.A else (second, first)
    return pool_id < next_id < MAX_POOLS_PER_DOMAIN and not flags & 0xFFFFFF & ~_KNOWN_POOL_FLAGS


def _read_extra(source: Source, persistent: set[int]) -> Iterator[Invalidation]:
    at = source.offset
    (marker,) = source.unpack(_I32, "the marker of the invalidations")
    if marker != MARKER_EXTRA:
        raise source.error(f"marker {marker} instead of {MARKER_EXTRA} or the end", at)
    for count in range(MAX_INVALIDATIONS + 1):
        at = source.offset
        if source.peek(4) == _U32.pack(LIST_END):
            source.take(4, "the end of the invalidations")
            return
        pool_id, oid, index = source.unpack(_HANDLE, "an invalidation")
        if pool_id not in persistent:
            raise source.error(
                f"an invalidation in pool {pool_id}, which is no persistent pool of the stream", at
            )
        if count == MAX_INVALIDATIONS:
            raise source.error(f"more than {MAX_INVALIDATIONS} invalidations", at)
        yield Invalidation(PoolId(pool_id), oid_from_bytes(oid), index)


class LegacyWriter:
    """Writes format A or B. B needs `head.client.nr_pools`; what either cannot say is left out (see docs)."""

    def __init__(self, file: BinaryIO, fmt: StreamFormat) -> None:
        self._write = file.write
        self._format = fmt
        self._pool: PoolInfo | None = None
        self._pools_left: int | None = None
        self._found = 0  # pages written of the present pool
        self._extra = False

    def write(self, item: Item) -> None:
        """Raises BadInput for an item out of order."""
        if isinstance(item, SavedPage):
            self._write_page(item)
        elif isinstance(item, Head):
            self._write_head(item)
        elif isinstance(item, PoolInfo):
            self._end_pages()
            self._write_pool(item)
        elif isinstance(item, Invalidation):
            if not self._extra:
                self._end_pools()
                self._write(_I32.pack(MARKER_EXTRA))
                self._extra = True
            self._write(_HANDLE.pack(item.pool_id, oid_to_bytes(item.oid), item.index))
        elif isinstance(item, End):
            if self._extra:
                self._write(_U32.pack(LIST_END))
            else:
                self._end_pools()
        else:
            assert isinstance(item, LostPage)  # neither format can name a page it lacks

    def _write_head(self, head: Head) -> None:
        client = head.client
        self._write(_I32.pack(MARKER_TMEM))
        if self._format is StreamFormat.A:
            flags = TMEM_CLIENT_COMPRESS * client.compress | TMEM_CLIENT_FROZEN * client.frozen
            fields = (
                TMEM_SPEC_VERSION,
                MAX_POOLS_PER_DOMAIN,
                LIST_END,
                flags,
                client.weight,
                client.cap or 0,
                LIST_END,
            )
            self._write(_HEAD_A.pack(*fields))
            return
        if not client.nr_pools:
            raise BadInput("format B cannot hold a client without pools: use the container or format A")
        self._pools_left = client.nr_pools
        flags = TMEM_CLIENT_FLAG_FROZEN | TMEM_CLIENT_FLAG_COMPRESS * client.compress
        flags |= TMEM_CLIENT_FLAG_MIGRATING * client.migrating
        fields_b = (TMEM_SPEC_VERSION, MAX_POOLS_PER_DOMAIN, client.nr_pools, flags, client.weight)
        self._write(TMEM_CLIENT.pack(*fields_b) + _U32.pack(LIST_END))

    def _write_pool(self, pool: PoolInfo) -> None:
        flags = TMEM_POOL_PERSIST * pool.persistent | TMEM_POOL_SHARED * pool.shared
        flags |= TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT
        n_pages = pool.n_pages if pool.persistent else 0
        if self._format is StreamFormat.A:
            self._write(_POOL_A.pack(pool.pool_id, flags, n_pages, pool.uuid.lo, pool.uuid.hi))
        else:
            if not self._pools_left:
                raise BadInput("more pools than the client's settings announced")
            self._pools_left -= 1
            self._write(TMEM_POOL_INFO.pack(flags, pool.pool_id, n_pages, pool.uuid.lo, pool.uuid.hi))
        self._pool = pool
        self._found = 0

    def _write_page(self, page: SavedPage) -> None:
        pool = self._pool
        if pool is None or page.pool_id != pool.pool_id or self._found >= pool.n_pages:
            raise BadInput(f"a page of pool {page.pool_id} out of place")
        oid = oid_to_bytes(page.oid)
        if oid == _NO_OID:
            raise BadInput(
                "formats A and B cannot hold a page whose object id is all ones, their mark of a list's end"
            )
        self._write(oid + _U32.pack(page.index) + page.page)
        self._found += 1

    def _end_pages(self) -> None:
        if self._pool is not None and self._pool.persistent and self._found < self._pool.n_pages:
            self._write(_NO_OID)
        self._pool = None

    def _end_pools(self) -> None:
        self._end_pages()
        if self._pools_left:
            raise BadInput(f"{self._pools_left} pools fewer than the client's settings announced")
        self._write(_U32.pack(LIST_END))

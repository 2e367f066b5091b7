# SPDX-License-Identifier: GPL-2.0-only
"""Cleancache (precache): clean file pages that the guest drops are offered to an ephemeral pool.

Models    mm/cleancache.c and the cleancache half of drivers/xen/tmem.c, Linux 3.0 to 5.16: one private pool for each
          mounted file system, one shared pool for each cluster file system's uuid, the four counters of debugfs.
Units     pages.
Left out  the page lock: as in Linux, whoever calls has it.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.handle import TmemHandle

MAX_FILE_SYSTEMS: Final = 32  # of each kind: MAX_INITIALIZABLE_FS
FAKE_POOL: Final = 1000  # what a file system mounted before any back end is given
FAKE_SHARED_POOL: Final = 2000
FILE_HANDLE_WORDS: Final = 6
MAX_INDEX: Final = (1 << 32) - 1  # a page of a file beyond it has no place in tmem
NO_POOL: Final = -1


def file_handle_oid(words: tuple[int, ...]) -> int | None:
    """The object id made of an exported file handle of u32 words; None when it is too long to be cached."""
    if len(words) > FILE_HANDLE_WORDS:
        return None
    oid = 0
    for place, word in enumerate(words):
        oid |= (word & 0xFFFFFFFF) << (32 * place)
    return oid


def uuid_words(text: str) -> tuple[int, int]:
    """uuid[0] and uuid[1] of NEW_POOL as Linux makes them of a file system's uuid: bytes 0..7, little-endian."""
    raw = bytes.fromhex(text.replace("-", ""))
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")


@mypyc_attr(allow_interpreted_subclasses=True)
class Cleancache:
    """The front end of one guest. A `mount` is what init_fs returned and every other call takes."""

    __slots__ = ("_backend", "_pools", "_uuids", "failed_gets", "invalidates", "puts", "succ_gets")

    def __init__(self, backend: TmemHandle | None = None) -> None:
        self.succ_gets = self.failed_gets = self.puts = self.invalidates = 0
        self._backend = backend
        self._pools: list[int] = []  # by mount; NO_POOL: refused, FAKE_*: not yet registered
        self._uuids: list[tuple[int, int] | None] = []

    def init_fs(self) -> int:
        """A file system that opted in is mounted. Returns its mount number (C: __cleancache_init_fs)."""
        return self._mount(None)

    def init_shared_fs(self, uuid: tuple[int, int]) -> int:
        """The same for a cluster file system, whose pool other guests share by uuid."""
        return self._mount(uuid)

    def _mount(self, uuid: tuple[int, int] | None) -> int:
        alike = sum(
            pool != NO_POOL and (known is None) == (uuid is None)
            for pool, known in zip(self._pools, self._uuids, strict=True)
        )
        if alike >= MAX_FILE_SYSTEMS:
            pool = NO_POOL
        elif self._backend is None:
            pool = (FAKE_POOL if uuid is None else FAKE_SHARED_POOL) + alike
        else:
            pool = self._new_pool(self._backend, uuid)
        self._pools.append(pool)
        self._uuids.append(uuid)
        return len(self._pools) - 1

    @staticmethod
    def _new_pool(backend: TmemHandle, uuid: tuple[int, int] | None) -> int:
        pool = backend.new_pool() if uuid is None else backend.new_pool(shared=True, uuid=uuid)
        return max(pool, NO_POOL)

    def register_ops(self, backend: TmemHandle) -> None:
        """A back end arrives; file systems mounted before it get their pools now."""
        self._backend = backend
        for mount, pool in enumerate(self._pools):
            if pool >= FAKE_POOL:
                self._pools[mount] = self._new_pool(backend, self._uuids[mount])

    def pool_id(self, mount: int) -> int:
        """The pool behind a mount; NO_POOL when it has none (yet)."""
        pool = self._pools[mount]
        return NO_POOL if pool >= FAKE_POOL else pool

    def put_page(self, mount: int, oid: int, index: int, page: bytes) -> bool:
        """A clean, uptodate page is being dropped. Linux ignores the answer; returns it for the cost model."""
        pool = self._pools[mount]
        if pool == NO_POOL:
            return False
        self.puts += 1
        if pool >= FAKE_POOL or index > MAX_INDEX or self._backend is None:
            return False
        return self._backend.put(pool, oid, index, page) == 1

    def get_page(self, mount: int, oid: int, index: int) -> bytes | None:
        """The page, before the disk is asked for it; a private pool has it no longer after that."""
        pool = self._pools[mount]
        if pool != NO_POOL:
            if pool < FAKE_POOL and index <= MAX_INDEX and self._backend is not None:
                status, page = self._backend.get(pool, oid, index)
                if status == 1:
                    self.succ_gets += 1
                    return page
            self.failed_gets += 1
        return None

    def invalidate_page(self, mount: int, oid: int, index: int) -> None:
        """The page in the pool, if any, is out of date (truncated, or about to be written)."""
        pool = self._pools[mount]
        if 0 <= pool < FAKE_POOL and index <= MAX_INDEX and self._backend is not None:
            self.invalidates += 1
            self._backend.flush_page(pool, oid, index)

    def invalidate_inode(self, mount: int, oid: int) -> None:
        """The inode is removed, truncated to nothing or pruned. Not counted, as in Linux."""
        pool = self._pools[mount]
        if 0 <= pool < FAKE_POOL and self._backend is not None:
            self._backend.flush_object(pool, oid)

    def invalidate_fs(self, mount: int) -> None:
        """Unmounted."""
        pool, self._pools[mount] = self._pools[mount], NO_POOL
        if 0 <= pool < FAKE_POOL and self._backend is not None:
            self._backend.destroy_pool(pool)

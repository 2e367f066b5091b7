# SPDX-License-Identifier: GPL-2.0-only
"""The handles of pages that went by, kept on disk beyond a few MiB: what an undo flushes, what an invalidation meant.

Units     32 bytes for each page, that is 8 MiB for 1 GiB of guest memory; from there on they are in a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from hypervisor_model.public.tmem import TMEM_HANDLE, oid_from_bytes, oid_to_bytes
from xm_tmem.backends.interface import Invalidation, SavedPage
from xm_tmem.ids import PoolId

MEMORY_BYTES = 8 << 20
_HANDLES_PER_READ = 1024


class HandleLog:
    """Handles in the order they were added."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - closed by __exit__
        self.count = 0

    def __enter__(self) -> HandleLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, handle: SavedPage | Invalidation) -> None:
        self._file.write(packed(handle))
        self.count += 1

    def batches(self) -> Iterator[list[Invalidation]]:
        """All handles, some thousand at a time. Nothing may be added until it has ended."""
        for raw in self._blocks():
            unpacked = TMEM_HANDLE.iter_unpack(raw)
            yield [Invalidation(PoolId(pool), oid_from_bytes(oid), index) for pool, index, oid in unpacked]

    def count_of_each_pool(self, among: Iterable[bytes]) -> dict[PoolId, int]:
        """For each pool, how many distinct handles of this log are `among` those given, which are `packed`."""
        wanted = set(among)
        counts: dict[PoolId, int] = {}
        for raw in self._blocks() if wanted else ():
            for start in range(0, len(raw), TMEM_HANDLE.size):
                handle = raw[start : start + TMEM_HANDLE.size]
                if handle in wanted:
                    wanted.discard(handle)
                    pool_id = PoolId(TMEM_HANDLE.unpack(handle)[0])
                    counts[pool_id] = counts.get(pool_id, 0) + 1
        return counts

    def _blocks(self) -> Iterator[bytes]:
        self._file.seek(0)
        while raw := self._file.read(_HANDLES_PER_READ * TMEM_HANDLE.size):
            yield raw


def packed(handle: SavedPage | Invalidation) -> bytes:
    """The handle as struct tmem_handle: a third of the memory of a record, and as good a key."""
    return TMEM_HANDLE.pack(handle.pool_id, handle.index, oid_to_bytes(handle.oid))

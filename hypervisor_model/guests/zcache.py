# SPDX-License-Identifier: GPL-2.0-only
"""zcache, zswap and RAMster: tmem back ends that keep compressed pages in the guest's own memory, or in a peer's.

They are here because most published measurements of cleancache and frontswap were made on them.  They answer the same
calls as Xen does; what they store takes frames from the guest that puts it.
Models    zbud (two compressed pages in a frame at most) for both kinds of pages; limits in percent of memory; ephemeral
          pages are dropped, oldest first; RAMster hands what does not fit to a peer over the network.
Units     frames of the guest, bytes of compressed data.
Left out  zsmalloc, writeback of zswap.
"""

from collections import OrderedDict
from typing import Final

from hypervisor_model.guests.contents import compressed_bytes
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.public.xen import ENOMEM, PAGE_SIZE

_MISS: Final[tuple[int, bytes | None]] = (0, None)
_POOR: Final = PAGE_SIZE * 3 // 4  # zbud pairs nothing with a page that leaves more than this

Place = tuple[int, int, int]


class Zcache:
    """`attach` it to the memory that it lives in. A stored page costs half a frame, or a whole one if it compresses
    badly; `remote_frames` of a peer take persistent pages that are refused here."""

    def __init__(
        self,
        *,
        persistent_percent: int = 20,
        ephemeral_percent: int = 20,
        remote_frames: int = 0,
    ) -> None:
        self._persistent_percent, self._ephemeral_percent = persistent_percent, ephemeral_percent
        self._memory: GuestMemory | None = None
        self._is_persistent: list[bool] = []
        self._ephemeral: OrderedDict[Place, bytes] = OrderedDict()
        self._persistent: dict[Place, bytes] = {}
        self._remote: dict[Place, bytes] = {}
        self._halves = [0, 0]  # half frames: ephemeral, persistent
        self._frames = 0
        self._limits = [0, 0]
        self._remote_limit = 2 * remote_frames
        self._remote_halves = 0
        self.remote_puts = self.remote_gets = self.evicted = 0

    def attach(self, memory: GuestMemory) -> None:
        """Live in this memory from now on."""
        self._memory = memory
        self._limits = [
            2 * memory.totalram * percent // 100
            for percent in (self._ephemeral_percent, self._persistent_percent)
        ]

    @property
    def frames(self) -> int:
        """How many of the guest's frames are in use here."""
        return self._frames

    def _account(self, kind: int, halves: int) -> None:
        self._halves[kind] += halves
        frames = (self._halves[0] + 1 >> 1) + (self._halves[1] + 1 >> 1)
        if frames != self._frames:
            assert self._memory is not None
            self._memory.reserved += frames - self._frames
            self._frames = frames

    # TmemHandle

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        self._is_persistent.append(persistent)
        return len(self._is_persistent) - 1

    def destroy_pool(self, pool_id: int) -> int:
        for store in (self._ephemeral, self._persistent, self._remote):
            for place in [place for place in store if place[0] == pool_id]:
                self._drop(place)
        return 1

    def put(self, pool_id: int, oid: int, index: int, page: bytes) -> int:
        place = (pool_id, oid, index)
        self._drop(place)
        size = compressed_bytes(page)
        halves = 1 if size <= _POOR else 2
        if self._is_persistent[pool_id]:
            if self._halves[1] + halves <= self._limits[1]:
                self._persistent[place] = page
                self._account(1, halves)
                return 1
            if self._remote_halves + halves <= self._remote_limit:
                self._remote[place] = page
                self._remote_halves += halves
                self.remote_puts += 1
                return 1
            return -ENOMEM
        if halves == 2:
            return -ENOMEM  # nothing would be gained
        while self._halves[0] + halves > self._limits[0]:
            if not self._ephemeral:
                return -ENOMEM
            self._drop(next(iter(self._ephemeral)))
            self.evicted += 1
        self._ephemeral[place] = page
        self._account(0, halves)
        return 1

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        place = (pool_id, oid, index)
        if self._is_persistent[pool_id]:
            page = self._persistent.get(place)
            if page is None and place in self._remote:
                page = self._remote[place]
                self.remote_gets += 1
            return _MISS if page is None else (1, page)
        page = self._ephemeral.get(place)
        if page is None:
            return _MISS
        self._drop(place)
        return 1, page

    def _drop(self, place: Place) -> bool:
        for kind, store in ((0, self._ephemeral), (1, self._persistent), (2, self._remote)):
            page = store.pop(place, None)
            if page is not None:
                halves = 1 if compressed_bytes(page) <= _POOR else 2
                if kind == 2:
                    self._remote_halves -= halves
                else:
                    self._account(kind, -halves)
                return True
        return False

    def flush_page(self, pool_id: int, oid: int, index: int) -> int:
        self._drop((pool_id, oid, index))
        return 1

    def flush_object(self, pool_id: int, oid: int) -> int:
        for store in (self._ephemeral, self._persistent, self._remote):
            for place in [place for place in store if place[:2] == (pool_id, oid)]:
                self._drop(place)
        return 1

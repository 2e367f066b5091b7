# SPDX-License-Identifier: GPL-2.0-only
"""zcache, zswap and RAMster: tmem back ends that keep compressed pages in the guest's own memory, or in a peer's.

They are here because most published measurements of cleancache and frontswap were made on them.  They answer the same
calls as Xen does; what they store takes frames from the guest that puts it.
Models    zbud (two compressed pages in a frame at most) for file pages, and for swap pages where these are not packed
          into fewer frames (xvmalloc, the zcache of 2011 and 2012); limits in percent of memory; ephemeral pages are
          dropped, oldest first; RAMster hands what does not fit to a peer over the network.
Units     frames of the guest, bytes of compressed data.
Left out  the room that xvmalloc loses between what it packs; that reclaim takes file pages from zcache; that a put
          fails which finds no free frame for what it stores; writeback of zswap.
"""

from collections import OrderedDict
from typing import Final

from hypervisor_model.guests.contents import compressed_bytes
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.public.xen import ENOMEM, PAGE_SIZE

_MISS: Final[tuple[int, bytes | None]] = (0, None)
_HALF: Final = PAGE_SIZE // 2
_POOR: Final = PAGE_SIZE * 3 // 4  # zbud pairs nothing with a page that leaves more than this
_POOR_PACKED: Final = PAGE_SIZE * 7 // 8  # C: zv_max_zsize
_HEADER: Final = 40  # bytes before a packed page (C: struct zv_hdr), and xvmalloc's own

Place = tuple[int, int, int]


class Zcache:
    """`attach` it to the memory that it lives in.

    A stored page costs half a frame, or a whole one if it compresses badly. Limits are in percent of the guest's
    frames. With `packed` a persistent page costs what it has after compression, and there may be as many pages as that
    percentage of the guest's frames (C: zv_page_count_policy_percent). `remote_frames` of a peer take persistent pages
    that are refused here.
    """

    def __init__(
        self,
        *,
        persistent_percent: int = 20,
        ephemeral_percent: int = 20,
        packed: bool = False,
        remote_frames: int = 0,
    ) -> None:
        self._persistent_percent, self._ephemeral_percent = persistent_percent, ephemeral_percent
        self._packed = packed
        self._memory: GuestMemory | None = None
        self._is_persistent: list[bool] = []
        self._ephemeral: OrderedDict[Place, bytes] = OrderedDict()
        self._persistent: dict[Place, bytes] = {}
        self._remote: dict[Place, bytes] = {}
        self._bytes = [0, 0]  # of frames: ephemeral, persistent
        self._frames = 0
        self._limits = [0, 0]  # bytes of frames; of packed pages, how many
        self._remote_limit = remote_frames * PAGE_SIZE
        self._remote_bytes = 0
        self.remote_puts = self.remote_gets = self.evicted = 0

    def attach(self, memory: GuestMemory) -> None:
        """Live in this memory from now on."""
        self._memory = memory
        ephemeral, persistent = (
            2 * memory.totalram * percent // 100
            for percent in (self._ephemeral_percent, self._persistent_percent)
        )
        self._limits = [ephemeral * _HALF, persistent // 2 if self._packed else persistent * _HALF]

    @property
    def frames(self) -> int:
        """How many of the guest's frames are in use here."""
        return self._frames

    def _cost(self, page: bytes, *, packed: bool) -> int:
        """Bytes of a frame that a page takes; 0: it compresses too badly to be kept."""
        size = compressed_bytes(page)
        if packed:
            return size + _HEADER if size <= _POOR_PACKED else 0
        return _HALF if size <= _POOR else PAGE_SIZE

    def _account(self, kind: int, amount: int) -> None:
        self._bytes[kind] += amount
        frames = sum(-(-each // PAGE_SIZE) for each in self._bytes)
        if frames != self._frames:
            assert self._memory is not None
            self._memory.reserved += frames - self._frames
            self._frames = frames

    def _has_room(self, cost: int) -> bool:
        if self._packed:
            return len(self._persistent) < self._limits[1]
        return self._bytes[1] + cost <= self._limits[1]

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
        if self._is_persistent[pool_id]:
            return self._put_persistent(place, page)
        cost = self._cost(page, packed=False)
        if cost == PAGE_SIZE:
            return -ENOMEM  # nothing would be gained
        while self._bytes[0] + cost > self._limits[0]:
            if not self._ephemeral:
                return -ENOMEM
            self._drop(next(iter(self._ephemeral)))
            self.evicted += 1
        self._ephemeral[place] = page
        self._account(0, cost)
        return 1

    def _put_persistent(self, place: Place, page: bytes) -> int:
        cost = self._cost(page, packed=self._packed)
        if not cost:
            return -ENOMEM
        if self._has_room(cost):
            self._persistent[place] = page
            self._account(1, cost)
            return 1
        if self._remote_bytes + cost <= self._remote_limit:
            self._remote[place] = page
            self._remote_bytes += cost
            self.remote_puts += 1
            return 1
        return -ENOMEM

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
                cost = self._cost(page, packed=self._packed and kind != 0)
                if kind == 2:
                    self._remote_bytes -= cost
                else:
                    self._account(kind, -cost)
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

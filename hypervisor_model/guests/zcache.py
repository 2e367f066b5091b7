# SPDX-License-Identifier: GPL-2.0-only
"""zcache, zswap and RAMster: tmem back ends that keep compressed pages in the guest's own memory, or in a peer's.

They are here because most published measurements of cleancache and frontswap were made on them.  They answer the same
calls as Xen does; what they store takes frames from the guest that puts it.
Models    zbud (two compressed pages in a frame at most) for file pages, and for swap pages where these are not packed
          into fewer frames (xvmalloc, the zcache of 2011 and 2012); limits in percent of memory; file pages are
          dropped, oldest first, at their limit and as reclaim asks (C: shrink_zcache_memory); a put fails that finds no
          frame without waiting (C: ZCACHE_GFP_MASK); RAMster hands pages on to a peer over the network.
Units     frames of the guest, bytes of compressed data.
Left out  writeback of zswap; the room that zbud loses when one of two pages goes.
"""

from collections import OrderedDict
from itertools import islice
from typing import Final

from hypervisor_model.guests.contents import compressed_bytes
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.xvmalloc import XvPool
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
    frames. With `packed` a persistent page costs a piece of a frame, as large as what it compresses to, and there may
    be as many pages as that percentage of the guest's frames (C: zv_page_count_policy_percent). `remote_frames` of a
    peer take what `remotify` hands on.
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
        self._packed = XvPool() if packed else None
        self._frame_of: dict[Place, int] = {}  # of packed pages
        self._memory: GuestMemory | None = None
        self._is_persistent: list[bool] = []
        self._ephemeral: OrderedDict[Place, bytes] = OrderedDict()
        self._persistent: OrderedDict[Place, bytes] = OrderedDict()
        self._remote: dict[Place, bytes] = {}
        self._bytes = [0, 0]  # of frames: ephemeral, persistent
        self._to_shrink = 0.0  # part of a page
        self._frames = 0
        self._limits = [0, 0]  # bytes of frames; of packed pages, how many
        self._remote_limit = remote_frames * PAGE_SIZE
        self._remote_bytes = 0
        self.remote_puts = self.remote_gets = self.evicted = self.failed_allocs = 0

    def attach(self, memory: GuestMemory) -> None:
        """Live in this memory from now on."""
        self._memory = memory
        ephemeral, persistent = (
            2 * memory.totalram * percent // 100
            for percent in (self._ephemeral_percent, self._persistent_percent)
        )
        self._limits = [ephemeral * _HALF, persistent * _HALF if self._packed is None else persistent // 2]
        if memory.kswapd is not None:
            memory.kswapd.shrink = self.shrink

    @property
    def frames(self) -> int:
        """How many of the guest's frames are in use here."""
        return self._frames

    def _cost(self, page: bytes, *, is_persistent: bool) -> int:
        """Bytes of a frame that a page takes; 0: it compresses too badly to be kept."""
        size = compressed_bytes(page)
        if is_persistent and self._packed is not None:
            return size + _HEADER if size <= _POOR_PACKED else 0
        return _HALF if size <= _POOR else PAGE_SIZE

    def _account(self, kind: int, amount: int) -> None:
        """Pages of so many bytes more, or fewer: take the frames for them, or give some back."""
        self._bytes[kind] += amount
        ephemeral, persistent = (-(-each // PAGE_SIZE) for each in self._bytes)
        frames = ephemeral + (persistent if self._packed is None else self._packed.frames)
        if frames != self._frames:
            assert self._memory is not None
            self._memory.reserved += frames - self._frames
            self._frames = frames

    def _has_room(self, cost: int) -> bool:
        if self._packed is None:
            return self._bytes[1] + cost <= self._limits[1]
        return len(self._persistent) < self._limits[1]

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
        assert self._memory is not None
        may_allocate = self._memory.may_allocate  # asked before a duplicate gives its own up
        self._drop(place)
        if not may_allocate:
            self.failed_allocs += 1
            return -ENOMEM
        if self._is_persistent[pool_id]:
            return self._put_persistent(place, page)
        cost = self._cost(page, is_persistent=False)
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
        cost = self._cost(page, is_persistent=True)
        if not cost or not self._has_room(cost):
            return -ENOMEM
        self._persistent[place] = page
        if self._packed is not None:
            self._frame_of[place] = self._packed.malloc(cost)
        self._account(1, cost)
        return 1

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        place = (pool_id, oid, index)
        is_persistent = self._is_persistent[pool_id]
        page = (self._persistent if is_persistent else self._ephemeral).get(place)
        if page is None:
            page = self._remote.get(place)
            if page is None:
                return _MISS
            self.remote_gets += 1
        if not is_persistent:
            self._drop(place)
        return 1, page

    def shrink(self, looked: int, resident: int) -> None:
        """Reclaim looked at so many of the guest's pages: drop two times that share of the file pages here.

        C: shrink_slab, with the default cost of two seeks for what is dropped.
        """
        self._to_shrink += 2 * len(self._ephemeral) * looked / max(1, resident)
        while self._to_shrink >= 1 and self._ephemeral:
            self._to_shrink -= 1
            self._drop(next(iter(self._ephemeral)))
            self.evicted += 1

    def remotify(self, ephemeral: int, persistent: int) -> None:
        """Hand so many pages of each kind on to the peer, the oldest first, as long as it has room.

        C: ramster_remotify_process.
        """
        for kind, store, count in ((0, self._ephemeral, ephemeral), (1, self._persistent, persistent)):
            for place, page in list(islice(store.items(), count)):
                cost = self._cost(page, is_persistent=kind == 1)
                if self._remote_bytes + cost > self._remote_limit:
                    return
                self._drop(place)
                self._remote[place] = page
                self._remote_bytes += cost
                self.remote_puts += 1

    def _drop(self, place: Place) -> bool:
        for kind, store in ((0, self._ephemeral), (1, self._persistent), (2, self._remote)):
            page = store.pop(place, None)
            if page is not None:
                cost = self._cost(page, is_persistent=self._is_persistent[place[0]])
                if kind == 2:
                    self._remote_bytes -= cost
                    return True
                if kind == 1 and self._packed is not None:
                    self._packed.free(self._frame_of.pop(place), cost)
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

# SPDX-License-Identifier: GPL-2.0-only
"""A guest's frames, and how they are taken back: which pages go, and what is written, swapped out and put into tmem.

Models    reclaim, writeback and swapping out of Linux 3.x as far as tmem sees them: what is put and flushed, and in
          which order.
Units     pages; times in nanoseconds of modelled time.  All counts are exact.
Left out  writeback before reclaim; without a `kswapd`, reclaim ahead of need.  There is no OOM killer:
          `out_of_memory` counts the allocations that would have called it, and the work goes on.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import Costs
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.handle import ANON, FS_SHIFT, INDEX_MASK, INODE_MASK, INODE_SHIFT
from hypervisor_model.guests.kswapd import Kswapd
from hypervisor_model.guests.lru import DIRTY, ONLY_COPY, WAS_ACTIVE, WRITTEN, PageLists
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.versions import Versions

SWAP_CLUSTER: Final = 32  # pages freed by one round of reclaim (SWAP_CLUSTER_MAX)


@mypyc_attr(allow_interpreted_subclasses=True)
class Frames:
    """The frames of one guest and what is in them.

    `totalram` belong to the guest now; `reserved` of them hold neither file nor anonymous pages (kernel, slab,
    watermarks).  With `put_active_only` only file pages are offered that were on the active list, or came from
    cleancache (Linux with Bob Liu's zcache of 2013: PageWasActive).
    """

    __slots__ = (
        "cleancache",
        "contents",
        "costs",
        "disk",
        "frontswap",
        "kswapd",
        "lists",
        "out_of_memory",
        "put_active_only",
        "reclaim_batch",
        "reserved",
        "starved",
        "swap",
        "swap_outs",
        "totalram",
        "versions",
        "wait_until_ns",
        "written_back",
    )

    def __init__(
        self,
        totalram: int,
        *,
        reserved: int,
        disk: Disk,
        contents: Contents,
        cleancache: Cleancache,
        frontswap: Frontswap | None,
        swap: SwapDevice,
        lists: PageLists,
        costs: Costs,
        reclaim_batch: int,
        put_active_only: bool,
        kswapd: Kswapd | None,
    ) -> None:
        self.totalram = totalram
        self.reserved = reserved
        self.disk = disk
        self.contents = contents
        self.cleancache = cleancache
        self.frontswap = frontswap
        self.swap = swap
        if frontswap is not None:
            frontswap.init(swap.slots)
        self.lists = lists
        self.costs = costs
        self.reclaim_batch = reclaim_batch
        self.put_active_only = put_active_only
        self.kswapd = kswapd
        self.wait_until_ns = 0
        self.swap_outs = self.written_back = self.out_of_memory = 0
        self.starved = False  # the last reclaim found no page that can go
        self.versions = Versions()

    @property
    def pages(self) -> dict[int, int]:
        """Every resident page and its flags."""
        return self.lists.pages

    @property
    def free(self) -> int:
        """Frames that hold nothing; below 0 while a balloon has yet to be met."""
        return self.totalram - self.reserved - len(self.lists.pages)

    @property
    def may_allocate(self) -> bool:
        """Is there a frame for who may neither wait nor touch the reserve?"""
        return self.kswapd is None or self.kswapd.may_allocate(self.free)

    def _make_room(self, wanted: int, now_ns: int) -> int:
        if self.kswapd is not None:
            return self.kswapd.make_room(self, wanted, now_ns)
        if self.totalram - self.reserved - len(self.lists.pages) >= wanted:
            return now_ns
        return self.reclaim(max(wanted, self.reclaim_batch), now_ns)

    def reclaim(self, count: int, now_ns: int) -> int:
        """Evict pages until `count` frames are free or nothing can go; returns when the CPU goes on."""
        goal = self.totalram - count
        pages = self.lists.pages
        stuck = 0
        # Once all were tried in vain, a few at a time are enough: those that could not go come round again.
        patience = SWAP_CLUSTER if self.starved else len(pages)
        swap_outs, write_backs = self.swap_outs, self.written_back
        while len(pages) > goal - self.reserved:  # a back end in the guest's own memory moves `reserved`
            try:
                spent_ns = self.evict()
            except KeyError:
                break
            if spent_ns >= 0:
                now_ns += spent_ns
                continue
            stuck += 1
            if stuck > patience:
                self.out_of_memory += 1
                self.starved = True
                break
        else:
            self.starved = False
        return self._write_out(now_ns, self.written_back - write_backs, self.swap_outs - swap_outs)

    def evict(self) -> int:
        """Let the page go whose turn it is; returns the CPU time of offering it to tmem, -1 if it has nowhere to go.

        What has to be written is counted, and not yet queued. Raises KeyError when there is no page.
        """
        key, flags = self.lists.pop_victim()
        if key >= ANON:
            spent_ns = self._swap_out(key, flags)
            if spent_ns < 0:
                self.lists.add(key, flags)  # no room for it anywhere: round it goes
            return spent_ns
        mount, oid, index = key >> FS_SHIFT & 31, key >> INODE_SHIFT & INODE_MASK, key & INDEX_MASK
        if flags:
            self._note_written(key, flags)
            if flags & WRITTEN:
                self.cleancache.invalidate_page(mount, oid, index)
                return 0
        if self.put_active_only and not flags & WAS_ACTIVE:
            return 0
        page = self.contents.file_page(key, self.versions.of(key))
        return self._put_cost_ns(self.cleancache.put_page(mount, oid, index, page))

    def _put_cost_ns(self, taken: bool) -> int:
        """A put that is refused is reckoned as a get that finds nothing."""
        costs = self.costs
        return (costs.put_ns if taken else costs.get_miss_ns) + costs.hypercall_ns

    def _note_written(self, key: int, flags: int) -> None:
        """A dirty file page is to be written: it has a new content on the disk from now on."""
        if flags & DIRTY:
            self.versions.wrote(key)
            self.written_back += 1

    def _write_out(self, now_ns: int, file_pages: int, swap_pages: int) -> int:
        """Queue what one round wrote; who has written much waits."""
        if file_pages or swap_pages:
            wait_until_ns = self.disk.write_out(now_ns, file_pages, swap_pages)
            if wait_until_ns > now_ns:
                self.wait_until_ns = wait_until_ns
            now_ns += self.costs.io_ns
        return now_ns

    def _swap_out(self, key: int, flags: int) -> int:
        """Evict an anonymous page; returns as `evict` does."""
        swap = self.swap
        slot = swap.slot_of.get(key, -1)
        if not flags & (DIRTY | ONLY_COPY) and slot >= 0:
            return 0  # its slot still has it
        if slot < 0:
            slot = swap.allocate(key)
            if slot < 0:
                return -1
        if self.frontswap is None:
            self.swap_outs += 1
            return 0
        taken = self.frontswap.store(swap.device, slot, self.contents.anon_page())
        if not taken:
            self.swap_outs += 1
        return self._put_cost_ns(taken)

    def make_dirty(self, key: int) -> None:
        """A resident page is written to; an anonymous one gives up its slot (C: reuse_swap_page)."""
        pages = self.lists.pages
        flags = pages[key]
        if flags & DIRTY:
            return
        pages[key] = flags | DIRTY
        if key >= ANON:
            self._free_slot(key)

    def _free_slot(self, key: int) -> None:
        slot = self.swap.release(key)
        if slot >= 0 and self.frontswap is not None:
            self.frontswap.invalidate_page(self.swap.device, slot)

    def set_totalram(self, target: int, now_ns: int = 0) -> int:
        """Grow, or shrink as far as pages can be evicted, to `target` frames; returns the change."""
        before = self.totalram
        self.totalram = target
        if self.free < 0:
            self.reclaim(0, now_ns)
            if self.free < 0:
                self.totalram = min(before, self.reserved + len(self.lists.pages))
        return self.totalram - before

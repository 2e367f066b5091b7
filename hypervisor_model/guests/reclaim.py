# SPDX-License-Identifier: GPL-2.0-only
"""A guest's frames, and how they are taken back: which pages go, and what is written, swapped out and put into tmem.

Models    reclaim, writeback and swapping out of Linux 3.x as far as tmem sees them: what is put and flushed, and in
          which order.
Units     pages; times in nanoseconds of modelled time.  All counts are exact.
Left out  kswapd, writeback before reclaim.  There is no OOM killer: `out_of_memory` counts the allocations that would
          have called it, and the work goes on.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import Costs
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.handle import ANON, FS_SHIFT, INDEX_MASK, INODE_MASK, INODE_SHIFT
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

    def _make_room(self, wanted: int, now_ns: int) -> int:
        if self.totalram - self.reserved - len(self.lists.pages) >= wanted:
            return now_ns
        return self.reclaim(max(wanted, self.reclaim_batch), now_ns)

    def reclaim(self, count: int, now_ns: int) -> int:
        """Evict pages until `count` frames are free or nothing can go; returns when the CPU goes on."""
        goal = self.totalram - count
        lists, contents, cleancache = self.lists, self.contents, self.cleancache
        pages = lists.pages
        versions = self.versions
        puts = stuck = 0
        # Once all were tried in vain, a few at a time are enough: those that could not go come round again.
        patience = SWAP_CLUSTER if self.starved else len(pages)
        swap_outs, write_backs = self.swap_outs, self.written_back
        frontswap = self.frontswap
        stores = 0 if frontswap is None else frontswap.succ_stores + frontswap.failed_stores
        while len(pages) > goal - self.reserved:  # a back end in the guest's own memory moves `reserved`
            try:
                key, flags = lists.pop_victim()
            except KeyError:
                break
            if key >= ANON:
                if self._swap_out(key, flags):
                    continue
                lists.add(key, flags)  # no room for it anywhere: round it goes
                stuck += 1
                if stuck > patience:
                    self.out_of_memory += 1
                    self.starved = True
                    break
                continue
            mount, oid, index = key >> FS_SHIFT & 31, key >> INODE_SHIFT & INODE_MASK, key & INDEX_MASK
            if flags:
                self._note_written(key, flags)
                if flags & WRITTEN:
                    cleancache.invalidate_page(mount, oid, index)
                    continue
            if self.put_active_only and not flags & WAS_ACTIVE:
                continue
            cleancache.put_page(mount, oid, index, contents.file_page(key, versions.of(key)))
            puts += 1
        else:
            self.starved = False
        if frontswap is not None:
            puts += frontswap.succ_stores + frontswap.failed_stores - stores
        now_ns += puts * (self.costs.put_ns + self.costs.hypercall_ns)
        return self._write_out(now_ns, self.written_back - write_backs, self.swap_outs - swap_outs)

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

    def _swap_out(self, key: int, flags: int) -> bool:
        """Evict an anonymous page; False when there is no slot for it."""
        swap = self.swap
        slot = swap.slot_of.get(key, -1)
        if not flags & (DIRTY | ONLY_COPY) and slot >= 0:
            return True  # its slot still has it
        if slot < 0:
            slot = swap.allocate(key)
            if slot < 0:
                return False
        if self.frontswap is None or not self.frontswap.store(swap.device, slot, self.contents.anon_page()):
            self.swap_outs += 1
        return True

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

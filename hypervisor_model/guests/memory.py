# SPDX-License-Identifier: GPL-2.0-only
"""A guest kernel's memory: page cache and anonymous memory in one pool of frames, and how pages come into it.

Models    page faults, readahead and swapping in of Linux 3.x as far as tmem sees them: what is got and flushed, and in
          which order; how pages go is `reclaim`.  Reclaim comes before the get (`get_first` turns that).
Units     pages; times in nanoseconds of modelled time.  All counts are exact.
Left out  the slab, huge pages, memory cgroups, NUMA; dirty pages wait for reclaim or for `sync`.
"""

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import PLAIN, Costs
from hypervisor_model.guests.disk import SWAP_AREA, Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.handle import ANON, EXECUTABLE, FS_SHIFT, INDEX_MASK, INODE_MASK, INODE_SHIFT
from hypervisor_model.guests.inodes import InodeCache
from hypervisor_model.guests.kswapd import Kswapd
from hypervisor_model.guests.lru import DIRTY, ONLY_COPY, WAS_ACTIVE, WRITTEN, OneList, PageLists
from hypervisor_model.guests.reclaim import SWAP_CLUSTER, Frames
from hypervisor_model.guests.swap import SwapDevice


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestMemory(Frames):
    """Frames, lists, front ends and counters of one guest.

    What takes time answers when the CPU may go on; a wait for the disk is in `wait_until_ns`.
    """

    __slots__ = (
        "committed",
        "file_faults",
        "file_reads",
        "get_first",
        "inodes",
        "major_faults",
        "readahead",
        "swap_ins",
        "swap_readahead",
        "unused_slots",
    )

    def __init__(
        self,
        totalram: int,
        *,
        reserved: int = 0,
        disk: Disk,
        contents: Contents,
        cleancache: Cleancache | None = None,
        frontswap: Frontswap | None = None,
        swap: SwapDevice | None = None,
        lists: PageLists | None = None,
        costs: Costs = PLAIN,
        reclaim_batch: int = SWAP_CLUSTER,
        readahead: int = 32,
        swap_readahead: int = 8,
        inode_limit: int = 0,
        get_first: bool = False,
        put_active_only: bool = False,
        kswapd: Kswapd | None = None,
    ) -> None:
        super().__init__(
            totalram,
            reserved=reserved,
            disk=disk,
            contents=contents,
            cleancache=Cleancache() if cleancache is None else cleancache,
            frontswap=frontswap,
            swap=SwapDevice(0) if swap is None else swap,
            lists=OneList() if lists is None else lists,
            costs=costs,
            reclaim_batch=reclaim_batch,
            put_active_only=put_active_only,
            kswapd=kswapd,
        )
        self.readahead, self.swap_readahead = readahead, swap_readahead
        self.inodes = InodeCache(inode_limit, totalram)
        self.get_first = get_first
        self.committed = 0  # Committed_AS: what processes were promised
        self.file_faults = self.file_reads = self.swap_ins = self.major_faults = self.unused_slots = 0

    # Faults

    def fault(self, key: int, write: bool, end: int, now_ns: int) -> int:
        """Bring in a page that is not resident; returns when the CPU goes on. `end`: one past the file's last key."""
        now_ns += self.costs.fault_ns
        if key >= ANON:
            return self._fault_anon(key, write, now_ns)
        self.file_faults += 1
        if write:
            now_ns = self._make_room(1, now_ns)
            self.lists.add(key, DIRTY | WRITTEN)
            return now_ns
        readahead = self.readahead
        if readahead > 1 and end > key:
            if key & EXECUTABLE:  # around the page, not from it on (C: do_sync_mmap_readahead)
                first = max(key & ~INDEX_MASK, key - (readahead >> 1))
                return self._fill(key, first, min(first + readahead, end), now_ns)
            if end > key + 1 and (not key & INDEX_MASK or key - 1 in self.lists.pages):
                return self._fill(key, key, min(key + readahead, end), now_ns)
        if self.get_first:
            return self._fill(key, key, key + 1, now_ns)
        # The same as _fill for one page, for speed.
        now_ns = self._make_room(1, now_ns)
        lists = self.lists
        lists.add(key, 0)
        lists.demanded(key)
        costs = self.costs
        mount, oid = key >> FS_SHIFT & 31, key >> INODE_SHIFT & INODE_MASK
        if self.cleancache.get_page(mount, oid, key & INDEX_MASK) is not None:
            if self.put_active_only:
                lists.pages[key] = WAS_ACTIVE
            return now_ns + costs.get_hit_ns + costs.hypercall_ns
        now_ns += costs.get_miss_ns + costs.hypercall_ns + costs.io_ns
        self.file_reads += 1
        self.major_faults += 1
        self.wait_until_ns = self.disk.read(now_ns, key, 1)
        return now_ns

    def _fill(self, demanded: int, first: int, stop: int, now_ns: int) -> int:
        """Read a window of a file through cleancache, and what it lacks from the disk in one request.

        Only a request that brings the `demanded` page is waited for.
        """
        if not self.get_first:
            now_ns = self._make_room(stop - first, now_ns)
        lists, cleancache = self.lists, self.cleancache
        pages = lists.pages
        mount, oid = first >> FS_SHIFT & 31, first >> INODE_SHIFT & INODE_MASK
        hits = missing = 0
        position = -1
        is_awaited = False
        hit_flags = WAS_ACTIVE if self.put_active_only else 0
        for key in range(first, stop):
            if key in pages:
                continue
            flags = 0
            if cleancache.get_page(mount, oid, key & INDEX_MASK) is not None:
                hits += 1
                flags = hit_flags
            else:
                missing += 1
                if position < 0:
                    position = key
                if key == demanded:
                    is_awaited = True
            if self.get_first:
                now_ns = self._make_room(1, now_ns)
            lists.add(key, flags)
        lists.demanded(demanded)
        costs = self.costs
        now_ns += hits * (costs.get_hit_ns + costs.hypercall_ns)
        if missing:
            now_ns += missing * (costs.get_miss_ns + costs.hypercall_ns) + costs.io_ns
            self.file_reads += missing
            done_ns = self.disk.read(now_ns, position, missing)
            if is_awaited:
                self.major_faults += 1
                self.wait_until_ns = done_ns
        return now_ns

    def _fault_anon(self, key: int, write: bool, now_ns: int) -> int:
        now_ns = self._make_room(1, now_ns)
        slot = self.swap.slot_of.get(key, -1)
        if slot < 0:
            self.lists.add(key, DIRTY)
            return now_ns
        if self.swap_readahead > 1:
            return self._swap_in_cluster(key, slot, write, now_ns)
        return self._swap_in_demanded(key, slot, write, now_ns)

    def _swap_in_demanded(self, key: int, slot: int, write: bool, now_ns: int) -> int:
        now_ns = self._swap_in(key, slot, now_ns, demanded=True)
        self.lists.touch(key)
        if write:  # before reading around makes room: this page may go again for it
            self.make_dirty(key)
        return now_ns

    def _swap_in_cluster(self, key: int, slot: int, write: bool, now_ns: int) -> int:
        """All pages of the slot's cluster in their order on the device: one sweep (C: swapin_readahead)."""
        key_of, pages = self.swap.key_of, self.lists.pages
        first = slot - slot % self.swap_readahead
        for near in range(first, min(first + self.swap_readahead, self.swap.slots)):
            if near == slot:
                now_ns = self._make_room(1, now_ns)
                now_ns = self._swap_in_demanded(key, slot, write, now_ns)
                continue
            near_key = key_of.get(near, -1)
            if near_key >= 0 and near_key not in pages:
                now_ns = self._make_room(1, now_ns)
                now_ns = self._swap_in(near_key, near, now_ns, demanded=False)
        return now_ns

    def _swap_in(self, key: int, slot: int, now_ns: int, *, demanded: bool) -> int:
        """Read one swapped page. Reclaim may have taken its slot meanwhile: then it is not there to read."""
        if self.swap.key_of.get(slot) != key or key in self.lists.pages:
            return now_ns
        costs = self.costs
        flags = 0
        if self.frontswap is not None and self.frontswap.load(self.swap.device, slot) is not None:
            now_ns += costs.get_hit_ns + costs.hypercall_ns
            if self.frontswap.exclusive_gets:
                flags = ONLY_COPY
        else:
            self.swap_ins += 1
            now_ns += costs.io_ns
            done_ns = self.disk.read(now_ns, SWAP_AREA + slot, 1)
            if demanded:
                self.major_faults += 1
                self.wait_until_ns = done_ns
        self.lists.add(key, flags)
        if self.swap.crowded:
            self.make_dirty(key)
        return now_ns

    # What processes do besides touching pages

    def open_file(self, first: int, pages: int, now_ns: int) -> int:
        """A file is opened; another inode may be pruned for it, and takes its pages along."""
        pruned = self.inodes.open(first, pages)
        return now_ns if pruned is None else self._prune(pruned[0], pruned[1], now_ns)

    def _prune(self, first: int, length: int, now_ns: int) -> int:
        """C: prune_icache_sb: the pages are dropped as in reclaim, then the inode's object is flushed."""
        mount, oid = first >> FS_SHIFT & 31, first >> INODE_SHIFT & INODE_MASK
        write_backs = self.written_back
        for key in range(first, first + length):
            flags = self.lists.discard(key)
            if flags is None:
                continue
            self._note_written(key, flags)
            if flags & WRITTEN:
                self.cleancache.invalidate_page(mount, oid, key & INDEX_MASK)
            elif flags & WAS_ACTIVE or not self.put_active_only:
                page = self.contents.file_page(key, self.versions.of(key))
                self.cleancache.put_page(mount, oid, key & INDEX_MASK, page)
        self.cleancache.invalidate_inode(mount, oid)
        return self._write_out(now_ns, self.written_back - write_backs, 0)

    def remove_file(self, first: int, length: int) -> None:
        """Unlink or truncate to nothing: every resident page is invalidated, then the inode."""
        mount, oid = first >> FS_SHIFT & 31, first >> INODE_SHIFT & INODE_MASK
        for key in range(first, first + length):
            if self.lists.discard(key) is not None:
                self.cleancache.invalidate_page(mount, oid, key & INDEX_MASK)
        self.versions.forget(first, length)
        self.inodes.remove(first)
        self.cleancache.invalidate_inode(mount, oid)

    def unmount(self, mount: int, now_ns: int) -> None:
        """Write back and drop a file system's pages, and its pool."""
        write_backs = self.written_back
        for key in [key for key in self.lists.pages if key < ANON and key >> FS_SHIFT == mount]:
            self._note_written(key, self.lists.discard(key) or 0)
        self._write_out(now_ns, self.written_back - write_backs, 0)
        self.cleancache.invalidate_fs(mount)

    def release_anon(self, first: int, pages: int) -> None:
        """A region of anonymous memory is unmapped, with its slots."""
        for key in range(first, first + pages):
            self.lists.discard(key)
            self._free_slot(key)

    def sync(self, now_ns: int) -> int:
        """Write every dirty file page; returns when the disk has them."""
        pages = self.lists.pages
        write_backs = self.written_back
        for key in [key for key, flags in pages.items() if flags & DIRTY and key < ANON]:
            self._note_written(key, pages[key])
            pages[key] &= ~DIRTY
        self._write_out(now_ns, self.written_back - write_backs, 0)
        return self.disk.free_at_ns

    # What the balloon and the self-shrinker do

    def unuse(self, device: int, count: int) -> int:
        """Swap in `count` pages that frontswap holds, and free their slots (C: try_to_unuse)."""
        assert self.frontswap is not None
        done = 0
        for slot, key in sorted(self.swap.key_of.items()):
            if done == count:
                break
            if not self.frontswap.holds(device, slot):
                continue
            if key not in self.lists.pages:
                self._make_room(1, 0)
                self._swap_in(key, slot, 0, demanded=False)
            if key in self.lists.pages:
                self.make_dirty(key)
                done += 1
        self.unused_slots += done
        return done

    def check(self) -> None:
        """Compare what must agree."""
        self.swap.check()
        assert self.free >= 0 or self.out_of_memory
        swapped = self.swap.slot_of
        for key, flags in self.lists.pages.items():
            assert key < ANON or not (flags & DIRTY and key in swapped), f"dirty page {key:#x} kept its slot"

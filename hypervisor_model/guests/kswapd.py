# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim ahead of need: kswapd, the watermarks that wake it, and pages that keep their frames until the disk has them.

Without it a guest takes back frames the moment it needs them, and they are free at once.  With it a guest can be short
of free frames for a while, and that is when allocations fail which may neither wait nor touch the reserve: those of a
tmem back end that lives in the guest's own memory.
Models    balance_pgdat, the slow path of __alloc_pages, get_request_wait and shrink_slab of Linux 3.x.
Units     pages; times in nanoseconds of modelled time.
Left out  zones, congestion_wait, the reads that share the disk's queue.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from hypervisor_model.guests.reclaim import Frames


@mypyc_attr(allow_interpreted_subclasses=True)
class Kswapd:
    """When a guest's frames are taken back, and by whom.

    Below `low` free frames kswapd wakes and evicts until there are `high`, a page at a time and at its own pace.  Who
    would leave fewer than `min_free` evicts a batch as well, and waits if that did not help.  No more than
    `queue_pages` wait to be written; whoever adds to them waits too.  `shrink(looked, resident)` is called for every
    page evicted: so many pages of so many were looked at for it.
    """

    __slots__ = (
        "_awake",
        "_clock_ns",
        "_in_batch",
        "_queue",
        "crowding",
        "high",
        "low",
        "min_free",
        "queue_pages",
        "shrink",
    )

    def __init__(self, *, min_free: int, queue_pages: int) -> None:
        self.min_free, self.low, self.high = min_free, min_free * 5 // 4, min_free * 3 // 2
        self.queue_pages = queue_pages
        self.shrink: Callable[[int, int], None] | None = None
        self.crowding = 1.0  # threads that want to run, kswapd included, for each CPU; 1 if there are fewer
        self._awake = False
        self._in_batch = False  # of direct reclaim, whose frames are free when all of it is done
        self._clock_ns = 0
        self._queue: deque[int] = deque()  # when each page that waits to be written will be

    def may_allocate(self, free: int) -> bool:
        """Is there a frame for who may neither wait nor touch the reserve? With so many `free`."""
        return free > self.min_free and not self._in_batch

    def make_room(self, frames: "Frames", wanted: int, now_ns: int) -> int:
        """`wanted` frames are about to be taken; returns when the CPU goes on, a wait is in `wait_until_ns`."""
        self._collect(frames, now_ns)
        self._catch_up(frames, now_ns)
        if not self._awake and frames.free - wanted < self.low:
            self._awake = True
            self._clock_ns = max(self._clock_ns, now_ns)
            self._catch_up(frames, now_ns)
        if frames.free - wanted < self.min_free:
            return self._reclaim_directly(frames, wanted, now_ns)
        return now_ns

    def _collect(self, frames: "Frames", now_ns: int) -> None:
        """Free the frames of the pages that the disk has by now."""
        queue = self._queue
        while queue and queue[0] <= now_ns:
            queue.popleft()
            frames.reserved -= 1

    def _catch_up(self, frames: "Frames", now_ns: int) -> None:
        """Let kswapd do what it has time for until now."""
        while self._awake and self._clock_ns <= now_ns:
            self._collect(frames, self._clock_ns)
            if frames.free >= self.high:
                self._awake = False
                return
            spent_ns = self._evict(frames, self._clock_ns)
            if spent_ns < 0:
                self._awake = False
                return
            self._clock_ns += int(spent_ns * self.crowding)
            if len(self._queue) > self.queue_pages:
                self._clock_ns = max(self._clock_ns, self._queue[-self.queue_pages])

    def _reclaim_directly(self, frames: "Frames", wanted: int, now_ns: int) -> int:
        """C: __alloc_pages_direct_reclaim."""
        queue = self._queue
        self._in_batch = True
        for _ in range(max(wanted, frames.reclaim_batch)):
            spent_ns = self._evict(frames, now_ns)
            if spent_ns < 0:
                break
            now_ns += spent_ns
        self._in_batch = False
        while frames.free < wanted and queue:  # nor is there any of the reserve
            now_ns = queue[0]
            self._collect(frames, now_ns)
        if len(queue) > self.queue_pages:
            frames.wait_until_ns = queue[-self.queue_pages]
        elif queue and frames.free - wanted < self.min_free:
            frames.wait_until_ns = queue[0]
        return now_ns

    def _evict(self, frames: "Frames", now_ns: int) -> int:
        """Evict a page; returns the CPU time of it, -1 if none can go."""
        lists = frames.lists
        looked, swap_outs, written_back = lists.looked, frames.swap_outs, frames.written_back
        try:
            spent_ns = frames.evict()
        except KeyError:
            spent_ns = -1
        if spent_ns < 0:
            frames.out_of_memory += 1
            return -1
        file_pages, swap_pages = frames.written_back - written_back, frames.swap_outs - swap_outs
        if file_pages or swap_pages:
            frames.disk.write_out(now_ns, file_pages, swap_pages)
            frames.reserved += 1
            self._queue.append(frames.disk.free_at_ns)
        looks = max(1, lists.looked - looked)
        if self.shrink is not None:
            self.shrink(looks, len(frames.pages))
        return spent_ns + looks * frames.costs.fault_ns  # finding a page's users is reckoned as a fault is

# SPDX-License-Identifier: GPL-2.0-only
"""A guest at work: threads on virtual CPUs over a guest's memory, with timers for its balloon.

The clock goes from event to event: a thread runs until it waits for the disk or its slice is over, then the CPU takes
the next ready one.  A unit of a workload may be any length; a slice bounds how far one thread gets ahead of others.
Units     nanoseconds of modelled time inside, microseconds towards a scenario; operations are tmem hypercalls.
Left out  priorities, affinity, the host's own scheduler: a virtual CPU is always on a physical one.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.lru import DIRTY
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.work import (
    Action,
    Await,
    Commit,
    Open,
    Release,
    Remove,
    Sleep,
    Sync,
    Touch,
    Unmount,
    Workload,
)

SLICE_NS: Final = 4_000_000


@mypyc_attr(allow_interpreted_subclasses=True)
class Thread:
    """One thread; what it has begun is in `actions`, `touch` and `position`."""

    __slots__ = ("actions", "finished_ns", "position", "running", "touch", "units", "wake_ns", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.actions: deque[Action] = deque()
        self.touch = Touch(())
        self.position = 0  # in touch.keys
        self.running = False  # then its event is the end of its slice, else the end of its wait
        self.wake_ns = 0
        self.units = 0
        self.finished_ns = -1


@mypyc_attr(allow_interpreted_subclasses=True)
class Guest:
    """Drives the threads of one guest; fulfils the scenario's GuestDriver."""

    __slots__ = (
        "_alive",
        "_debt",
        "_events",
        "_idle",
        "_order",
        "_ready",
        "_slice_ns",
        "_timers",
        "_until_ns",
        "accesses",
        "cpu_ns",
        "memory",
        "threads",
        "time_ns",
        "vcpus",
    )

    def __init__(
        self,
        memory: GuestMemory,
        workloads: Sequence[Workload],
        *,
        vcpus: int = 1,
        slice_ns: int = SLICE_NS,
    ) -> None:
        self.memory = memory
        self.threads = [Thread(workload) for workload in workloads]
        self.accesses = self.cpu_ns = self.time_ns = 0
        self.vcpus = vcpus
        self._slice_ns = slice_ns
        self._idle = vcpus
        self._ready: deque[int] = deque()
        self._timers: list[tuple[int, Callable[[int], None]]] = []  # period, what to do
        self._events: list[tuple[int, int, int]] = []  # time, order of entry, thread or ~timer
        self._order = 0
        self._alive = len(self.threads)
        self._until_ns = 0
        self._debt = 0  # operations already done beyond an earlier step's budget
        for number in range(len(self.threads)):
            self._at(0, number)

    def add_timer(self, period_ns: int, action: Callable[[int], None]) -> None:
        """Call `action(now_ns)` every `period_ns`, first after one period."""
        self._timers.append((period_ns, action))
        self._at(self.time_ns + period_ns, ~(len(self._timers) - 1))

    def _at(self, time_ns: int, what: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (time_ns, self._order, what))

    @property
    def operations(self) -> int:
        """Tmem hypercalls made so far, as the front ends count them."""
        cleancache, frontswap = self.memory.cleancache, self.memory.frontswap
        done = cleancache.puts + cleancache.succ_gets + cleancache.failed_gets + cleancache.invalidates
        if frontswap is not None:
            done += frontswap.succ_stores + frontswap.failed_stores + frontswap.loads + frontswap.invalidates
        return done

    @property
    def tmem_cpu_ns(self) -> int:
        """CPU time of those operations, as modelled."""
        cleancache, frontswap = self.memory.cleancache, self.memory.frontswap
        puts, hits, flushes = cleancache.puts, cleancache.succ_gets, cleancache.invalidates
        if frontswap is not None:
            puts += frontswap.succ_stores + frontswap.failed_stores
            hits += frontswap.loads
            flushes += frontswap.invalidates
        return self.memory.costs.tmem_ns(puts=puts, hits=hits, misses=cleancache.failed_gets, flushes=flushes)

    # GuestDriver

    @property
    def time_us(self) -> int:
        return self.time_ns // 1000

    @property
    def finished(self) -> bool:
        """Every thread is done; timers alone keep no guest alive."""
        return self._alive == 0

    @property
    def operations_total(self) -> int | None:
        return None

    @property
    def failure(self) -> str | None:
        """Why a thread ended before its time; None if all is well."""
        for thread in self.threads:
            if thread.finished_ns >= 0:
                failure: str | None = getattr(thread.workload, "failure", None)
                if failure is not None:
                    return failure
        return None

    def step(self, budget: int, until_us: int) -> int:
        """See GuestDriver. An event is not cut: what it does beyond the budget is taken off the next step's."""
        paid = min(budget, self._debt)
        self._debt -= paid
        if paid == budget:
            return paid
        before = self.operations
        self.run(until_us * 1000, before + budget - paid)
        done = self.operations - before
        counted = min(done, budget - paid)
        self._debt = done - counted
        return paid + counted

    def linger(self, until_us: int) -> int:
        """See Lingering. The timers of a guest whose threads are done; its clock stands still."""
        before = self.operations
        events = self._events
        while events and events[0][0] < until_us * 1000:
            time_ns, _, what = heapq.heappop(events)
            if what < 0:
                period_ns, action = self._timers[~what]
                action(time_ns)
                self._at(time_ns + period_ns, what)
        return self.operations - before

    def report(self) -> Mapping[str, str | int | float | bool | None]:
        """Counts are exact; everything in ns, us or percent of time is modelled."""
        memory, disk = self.memory, self.memory.disk
        cleancache, frontswap = memory.cleancache, memory.frontswap
        gets = cleancache.succ_gets + cleancache.failed_gets
        swap = (
            (0, 0, 0, 0)
            if frontswap is None
            else (frontswap.succ_stores, frontswap.failed_stores, frontswap.loads, frontswap.invalidates)
        )
        return {
            "time_us": self.time_us,
            "cpu_us": self.cpu_ns // 1000,
            "tmem_cpu_us": self.tmem_cpu_ns // 1000,
            "accesses": self.accesses,
            "units": sum(thread.units for thread in self.threads),
            "totalram": memory.totalram,
            "resident": len(memory.pages),
            "committed": memory.committed,
            "cleancache_puts": cleancache.puts,
            "cleancache_succ_gets": cleancache.succ_gets,
            "cleancache_failed_gets": cleancache.failed_gets,
            "cleancache_invalidates": cleancache.invalidates,
            "cleancache_hit_percent": round(100 * cleancache.succ_gets / gets, 1) if gets else None,
            "frontswap_succ_stores": swap[0],
            "frontswap_failed_stores": swap[1],
            "frontswap_loads": swap[2],
            "frontswap_invalidates": swap[3],
            "file_pages_read": memory.file_reads,
            "file_pages_written": memory.written_back,
            "swap_ins": memory.swap_ins,
            "swap_outs": memory.swap_outs,
            "major_faults": memory.major_faults,
            "disk_reads": disk.reads,
            "disk_writes": disk.writes,
            "disk_busy_us": disk.busy_ns // 1000,
            "out_of_memory": memory.out_of_memory,
            **({} if self.failure is None else {"failure": self.failure}),
        }

    def run(self, until_ns: int, operations: int | None = None) -> None:
        """Work until that time, until so many operations were done in all, or until every thread is done."""
        events = self._events
        self._until_ns = until_ns
        while self._alive and events:
            time_ns, _, what = events[0]
            if time_ns >= until_ns:
                self.time_ns = max(self.time_ns, until_ns)
                return
            heapq.heappop(events)
            self.time_ns = time_ns
            if what < 0:
                period_ns, action = self._timers[~what]
                action(time_ns)
                self._at(time_ns + period_ns, what)
            else:
                self._thread_event(what, time_ns)
            if operations is not None and self.operations >= operations:
                return

    def _thread_event(self, number: int, now_ns: int) -> None:
        """The thread's slice is over, or what it waited for has come."""
        thread = self.threads[number]
        if thread.running:
            thread.running = False
            self._idle += 1
            if thread.finished_ns >= 0:
                self._alive -= 1
            elif thread.wake_ns > now_ns:
                self._at(thread.wake_ns, number)
            else:
                self._ready.append(number)
        else:
            self._ready.append(number)
        while self._idle and self._ready:
            number = self._ready.popleft()
            thread = self.threads[number]
            thread.running = True
            self._idle -= 1
            kswapd = self.memory.kswapd
            if kswapd is not None:
                kswapd.crowding = max(1.0, (len(self._ready) + self.vcpus - self._idle + 1) / self.vcpus)
            self._at(self._run_slice(thread, now_ns), number)

    def _run_slice(self, thread: Thread, now_ns: int) -> int:
        """Let the thread work until it waits or its slice is over; returns when that is. This is the hot loop."""
        memory = self.memory
        lists = memory.lists
        pages = lists.pages
        limit_ns = now_ns + self._slice_ns
        self.cpu_ns -= now_ns
        # Nothing else happens before this: a wait that ends earlier needs no event.
        alone_until_ns = (
            0 if self._ready else min(self._until_ns, self._events[0][0] if self._events else 1 << 62)
        )
        memory.wait_until_ns = thread.wake_ns = 0
        while now_ns < limit_ns:
            touch = thread.touch
            listed, first, length = touch.listed, touch.first, len(touch)
            cpu_ns, write, end = touch.cpu_ns, touch.write, touch.end
            for position in range(thread.position, length):
                key = first + position if listed is None else listed[position]
                now_ns += cpu_ns
                if key in pages:
                    lists.touch(key)
                    if write and not pages[key] & DIRTY:
                        memory.make_dirty(key)
                else:
                    now_ns = memory.fault(key, write, end, now_ns)
                    if memory.wait_until_ns > now_ns:
                        wake_ns = memory.wait_until_ns
                        if wake_ns >= alone_until_ns:
                            thread.position = position + 1
                            thread.wake_ns = wake_ns
                            break
                        self.cpu_ns -= wake_ns - now_ns
                        limit_ns += wake_ns - now_ns
                        now_ns = wake_ns
                if now_ns >= limit_ns:
                    thread.position = position + 1
                    break
            else:
                thread.position = length
                now_ns = self._next_action(thread, now_ns)
                if thread.wake_ns <= now_ns and thread.finished_ns < 0:
                    continue
            break
        self.cpu_ns += now_ns
        return now_ns

    def _next_action(self, thread: Thread, now_ns: int) -> int:
        """Begin the thread's next action; returns when the CPU goes on."""
        if not thread.actions:
            thread.actions.extend(thread.workload.unit())
            thread.units += 1
            if not thread.actions:
                thread.units -= 1
                thread.finished_ns = now_ns
                return now_ns
        memory = self.memory
        action = thread.actions.popleft()
        if isinstance(action, Touch):
            thread.touch = action
            thread.position = 0
            self.accesses += len(action)
        elif isinstance(action, Open):
            now_ns = memory.open_file(action.first, action.pages, now_ns)
        elif isinstance(action, Commit):
            memory.committed += action.pages
        elif isinstance(action, Release):
            memory.release_anon(action.first, action.pages)
            memory.committed -= action.pages
        elif isinstance(action, Remove):
            memory.remove_file(action.first, action.pages)
        elif isinstance(action, Sleep):
            thread.wake_ns = now_ns + action.ns
        elif isinstance(action, Await):
            thread.wake_ns = action.ns
        elif isinstance(action, Sync):
            thread.wake_ns = memory.sync(now_ns)
        elif isinstance(action, Unmount):
            memory.unmount(action.mount, now_ns)
        return now_ns


def run_together(guests: Sequence[Guest], *, until_ns: int, slice_ns: int = SLICE_NS) -> None:
    """Run guests of one host side by side, the one whose clock is furthest behind first."""
    while True:
        behind = min(
            (guest for guest in guests if not guest.finished and guest.time_ns < until_ns),
            key=lambda guest: guest.time_ns,
            default=None,
        )
        if behind is None:
            return
        behind.run(min(until_ns, behind.time_ns + slice_ns))

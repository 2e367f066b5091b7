# SPDX-License-Identifier: GPL-2.0-only
"""The textbook's access patterns: zipf, scan and loop, a process that grows, and nothing at all.

Units     pages; nanoseconds of modelled CPU time for each page touched.
"""

import random
from collections.abc import Sequence

from hypervisor_model.guests.handle import anon_key, file_key
from hypervisor_model.guests.work import Action, Commit, Release, Sleep, Touch, Workload
from hypervisor_model.guests.workloads.popularity import Popularity

BATCH = 1024


class InTurn:
    """One workload after the other, in one thread."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._left = list(workloads)

    def unit(self) -> list[Action]:
        while self._left:
            actions = self._left[0].unit()
            if actions:
                return actions
            del self._left[0]
        return []


class Zipf:
    """Page of rank r of a file is touched in proportion to 1 / r**skew; ranks are spread over the file.

    `image_seed`: see Popularity.
    """

    def __init__(
        self,
        seed: str,
        *,
        pages: int,
        accesses: int | None,
        skew: float = 1.0,
        write_share: float = 0.0,
        image_seed: str | None = None,
        mount: int = 0,
        inode: int = 1,
        cpu_ns: int = 1_000,
    ) -> None:
        self._popularity = Popularity(random.Random(seed), file_key(mount, inode), pages, skew, image_seed)
        self._left = accesses
        self._write_share = write_share
        self._cpu_ns = cpu_ns

    def unit(self) -> list[Action]:
        count = BATCH if self._left is None else min(BATCH, self._left)
        if count == 0:
            return []
        if self._left is not None:
            self._left -= count
        keys = self._popularity.draw(count)
        writes = round(count * self._write_share)
        actions: list[Action] = [Touch(keys[writes:], self._cpu_ns)]
        if writes:
            actions.append(Touch(keys[:writes], self._cpu_ns, write=True))
        return actions


class Scan:
    """A file from its first page to its last, `passes` times (None: for ever). Twice and more is a loop."""

    def __init__(
        self, *, pages: int, passes: int | None = 1, mount: int = 0, inode: int = 1, cpu_ns: int = 1_000
    ) -> None:
        first = file_key(mount, inode)
        self._touch = Touch(range(first, first + pages), cpu_ns, end=first + pages)
        self._left = passes

    def unit(self) -> list[Action]:
        if self._left is not None:
            if self._left == 0:
                return []
            self._left -= 1
        return [self._touch]


class Usemem:
    """A process that grows to `pages` in steps, writes all it has `passes` times at each, sleeps and goes away.

    `delay_ns` staggers several of them; `lifetimes` is how often it comes back.
    """

    def __init__(
        self,
        *,
        region: int,
        pages: int,
        steps: int = 8,
        passes: int = 2,
        delay_ns: int = 0,
        hold_ns: int = 0,
        lifetimes: int = 1,
        cpu_ns: int = 1_000,
        write: bool = True,
    ) -> None:
        self._first = anon_key(region)
        self._pages, self._steps, self._passes = pages, steps, passes
        self._delay_ns, self._hold_ns, self._cpu_ns = delay_ns, hold_ns, cpu_ns
        self._lifetimes = lifetimes
        self._write = write
        self._step = 0

    def unit(self) -> list[Action]:
        if self._lifetimes == 0:
            return []
        self._step += 1
        actions: list[Action] = []
        if self._step == 1 and self._delay_ns:
            actions.append(Sleep(self._delay_ns))
        before = self._pages * (self._step - 1) // self._steps
        size = self._pages * self._step // self._steps
        actions.append(Commit(size - before))
        actions.append(Touch(range(self._first + before, self._first + size), self._cpu_ns, write=True))
        for _ in range(self._passes - 1):
            actions.append(Touch(range(self._first, self._first + size), self._cpu_ns, write=self._write))
        if self._step == self._steps:
            self._step = 0
            self._lifetimes -= 1
            actions += [Sleep(self._hold_ns), Release(self._first, self._pages)]
        return actions


class Idle:
    """A guest that was busy once and now only ticks: it holds `committed` pages and touches a few each second."""

    def __init__(self, *, region: int, committed: int, touched: int = 64, seconds: int | None = None) -> None:
        self._first = anon_key(region)
        self._committed, self._touched, self._left = committed, touched, seconds
        self._booted = False

    def unit(self) -> list[Action]:
        if not self._booted:
            self._booted = True
            return [
                Commit(self._committed),
                Touch(range(self._first, self._first + self._committed), write=True),
            ]
        if self._left is not None:
            if self._left == 0:
                return []
            self._left -= 1
        return [Touch(range(self._first, self._first + self._touched)), Sleep(1_000_000_000)]

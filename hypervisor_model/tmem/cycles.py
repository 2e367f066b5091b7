# SPDX-License-Identifier: GPL-2.0-only
"""Cycles spent in the operations: the `T=` line of 4.3 and `Tc` of its clients.

Models    the *_CYC_COUNTER macros of tmem_xen.h under TMEM_PERF. Without a clock every operation takes 0 cycles,
          and such are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

UNMEASURED_MIN: Final = 0x7FFFFFFF
_LONGEST: Final = 1_000_000_000
TAGS: Final = ("G", "P", "g", "p", "F", "O", "C", "c", "d")
"""Succeeded get and put, failed get and put, flush, flush of an object, copy, compress, decompress."""


class CycleCounter:
    """One kind of operation: how often, how long in all, longest, shortest."""

    __slots__ = ("count", "max_cycles", "min_cycles", "sum_cycles")

    def __init__(self) -> None:
        self.count = 0
        self.sum_cycles = 0
        self.max_cycles = 0
        self.min_cycles = UNMEASURED_MIN

    def add(self, cycles: int) -> bool:
        """Count a duration; False if it is one that C leaves out."""
        if not 0 < cycles < _LONGEST:
            return False
        self.count += 1
        self.sum_cycles += cycles
        self.min_cycles = min(self.min_cycles, cycles)
        self.max_cycles = max(self.max_cycles, cycles)
        return True


class CycleCounters:
    """The counters by tag, and the clock that they need."""

    __slots__ = ("by_tag", "clock")

    def __init__(self, clock: Callable[[], int] | None) -> None:
        self.clock = clock
        self.by_tag = {tag: CycleCounter() for tag in TAGS}

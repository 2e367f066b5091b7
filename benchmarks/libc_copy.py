# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick: one 4 KiB memcpy of libc's into memory that no cache holds.

The destination has 80 MB and is walked from end to end, the source is one of 64 frames. memcpy is called through
ctypes by `map`, which costs about as much as the copy itself; the same calls with a length of one byte are timed in the
same turn and subtracted.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import deque
from itertools import repeat

from benchmarks.timing import cpu_ns

PAGE_BYTES = 4096
DESTINATION_PAGES = 20_000
FRAMES = 64


class LibcCopy:
    """Copies when told to, and adds up what that took."""

    def __init__(self) -> None:
        self._memcpy = ctypes.PyDLL(None).memcpy
        self._memcpy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self._memcpy.restype = None
        self._memory = [mmap.mmap(-1, pages * PAGE_BYTES) for pages in (DESTINATION_PAGES, FRAMES)]
        for memory in self._memory:
            for at in range(0, len(memory), PAGE_BYTES):
                memory[at : at + PAGE_BYTES] = bytes((1 + at // PAGE_BYTES % 255,)) * PAGE_BYTES
        to, source = (ctypes.addressof(ctypes.c_char.from_buffer(memory)) for memory in self._memory)
        self._to = [to + page * PAGE_BYTES for page in range(DESTINATION_PAGES)]
        self._from = [source + page % FRAMES * PAGE_BYTES for page in range(DESTINATION_PAGES)]
        self._next = 0
        self._copies = self._ns = 0

    def turn(self, copies: int) -> None:
        """Copy so many pages."""
        first = self._next if self._next + copies <= DESTINATION_PAGES else 0
        self._next = first + copies
        to, source = self._to[first : self._next], self._from[first : self._next]
        start = cpu_ns()
        deque(map(self._memcpy, to, source, repeat(PAGE_BYTES)), maxlen=0)
        whole = cpu_ns()
        deque(map(self._memcpy, repeat(self._to[0]), source, repeat(1)), maxlen=0)
        self._ns += whole - start - (cpu_ns() - whole)
        self._copies += copies

    def take_mean_ns(self) -> float:
        """Nanoseconds per copy since this was last asked."""
        mean = self._ns / self._copies
        self._copies = self._ns = 0
        return mean

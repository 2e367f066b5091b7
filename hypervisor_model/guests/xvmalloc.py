# SPDX-License-Identifier: GPL-2.0-only
"""Pieces of frames for compressed pages, none across two frames: how the zcache of 2011 and 2012 packed swap pages.

Models    xv_malloc and xv_free of drivers/staging/zram/xvmalloc.c: best fit; an emptied frame is given back.
Units     bytes; a frame has PAGE_SIZE of them.
Left out  where in a frame a piece lies: what is free in one is taken for a single piece.
"""

from hypervisor_model.public.xen import PAGE_SIZE


class XvPool:
    """`frames` are in use."""

    def __init__(self) -> None:
        self.frames = 0
        self._next = 0
        self._free: dict[int, int] = {}  # frame -> bytes that are free in it
        self._with: dict[int, dict[int, None]] = {}  # so many free bytes -> the frames, oldest first

    def malloc(self, size: int) -> int:
        """Take so many bytes, at most PAGE_SIZE; returns the frame they are in."""
        fitting = min((free for free in self._with if free >= size), default=None)
        if fitting is None:
            frame, fitting = self._next, PAGE_SIZE
            self._next += 1
            self.frames += 1
        else:
            frame = next(reversed(self._with[fitting]))
            self._forget(frame)
        self._note(frame, fitting - size)
        return frame

    def free(self, frame: int, size: int) -> None:
        """Give them back."""
        free = self._forget(frame) + size
        if free == PAGE_SIZE:
            self.frames -= 1
        else:
            self._note(frame, free)

    def _note(self, frame: int, free: int) -> None:
        self._free[frame] = free
        self._with.setdefault(free, {})[frame] = None

    def _forget(self, frame: int) -> int:
        free = self._free.pop(frame)
        frames = self._with[free]
        del frames[frame]
        if not frames:
            del self._with[free]
        return free

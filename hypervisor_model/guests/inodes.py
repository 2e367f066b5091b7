# SPDX-License-Identifier: GPL-2.0-only
"""Which files a kernel remembers, and whose turn it is to be forgotten.

Models    the inode cache under pressure.  Which inode goes is chance: the shrinkers of dentries and inodes scan a share
          of their lists each time, so that of files read in a loop some survive, where an LRU would keep none.
Units     pages; a file is named by the key of its page 0.
"""

import random

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class InodeCache:
    """At most `limit` inodes; 0: any number, and none is kept book of."""

    __slots__ = ("_dice", "_lengths", "_limit", "_order")

    def __init__(self, limit: int, seed: int) -> None:
        self._limit = limit
        self._lengths: dict[int, int] = {}  # pages of those that are remembered
        self._order: list[int] = []  # the same files, in no order, and some that were removed
        self._dice = random.Random(seed)

    def open(self, first: int, pages: int) -> tuple[int, int] | None:
        """A file is opened; returns the one that was pruned for it, if any, and that one's pages."""
        if not self._limit or first in self._lengths:
            return None
        pruned = None
        if len(self._order) >= self._limit:
            place = int(self._dice.random() * len(self._order))
            oldest, self._order[place] = self._order[place], first
            length = self._lengths.pop(oldest, 0)
            if length:  # else it was removed meanwhile
                pruned = oldest, length
        else:
            self._order.append(first)
        self._lengths[first] = pages
        return pruned

    def remove(self, first: int) -> None:
        """A file is gone; its place stays until chance finds it."""
        self._lengths.pop(first, None)

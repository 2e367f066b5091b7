# SPDX-License-Identifier: GPL-2.0-only
"""What a process does, as data: runs of page accesses, and the calls between them.

A `Workload` hands out one *unit* of work at a time (a compilation, a transaction, a pass over a file) as a list of
these actions.  It keeps its state in attributes, never in a generator, so that a running guest can be checkpointed.
Units     pages, and nanoseconds of modelled CPU time for each page touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Touch:
    """Use pages in this order: read or, with `write`, change them.

    `end` is one past the file's last key: how far readahead may go (0: none).  A range of keys is kept as its two
    ends, because a checkpoint holds plain data only.
    """

    __slots__ = ("_stop", "cpu_ns", "end", "first", "listed", "write")

    def __init__(self, keys: Sequence[int], cpu_ns: int = 1_000, write: bool = False, end: int = 0) -> None:
        self.listed: list[int] | None = None  # the keys, or, if None, all from `first` on
        self.first = self._stop = 0
        if isinstance(keys, range) and keys.step == 1:
            self.first, self._stop = keys.start, max(keys.start, keys.stop)
        else:
            self.listed = list(keys)
        self.cpu_ns = cpu_ns
        self.write = write
        self.end = end

    def __len__(self) -> int:
        return self._stop - self.first if self.listed is None else len(self.listed)

    @property
    def keys(self) -> Sequence[int]:
        return range(self.first, self._stop) if self.listed is None else self.listed


@dataclass(slots=True)
class Open:
    """A file of `pages` is opened."""

    first: int
    pages: int


@dataclass(slots=True)
class Remove:
    """A file is unlinked, or truncated to nothing."""

    first: int
    pages: int


@dataclass(slots=True)
class Release:
    """A region of anonymous memory goes, and what was committed to it."""

    first: int
    pages: int


@dataclass(slots=True)
class Commit:
    """The process is promised so many pages (Committed_AS)."""

    pages: int


@dataclass(slots=True)
class Unmount:
    """A file system goes."""

    mount: int


@dataclass(slots=True)
class Sync:
    """Write dirty file pages and wait."""


@dataclass(slots=True)
class Sleep:
    """Do nothing."""

    ns: int


@dataclass(slots=True)
class Await:
    """Do nothing until so long after the guest booted; no wait where that is past."""

    ns: int


Action = Touch | Open | Remove | Release | Commit | Unmount | Sync | Sleep | Await


class Workload(Protocol):
    """What one thread of a guest does."""

    def unit(self) -> list[Action]:
        """The next unit of work; [] when there is no more, ever."""

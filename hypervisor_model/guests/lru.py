# SPDX-License-Identifier: GPL-2.0-only
"""In which order a guest's pages leave memory.

`OneList` is one exact LRU of file and anonymous pages: what the exact evaluations reason about.  `TwoLists` is the
shape of Linux's reclaim: what was used once goes before what was used again, and files go before anonymous pages while
that is enough.
Units     pages.  `pages` maps a key to its flags and holds every resident page.
Left out  the shadow entries of 3.15 and later, page-table scans: a use is seen when it happens; files that are mapped
          but not run.

OrderedDict was chosen by measurement over a clock of lazy stamps and over plain dicts (0.25, 0.36 and more than
1 us for an access of which 40 % miss).
"""

from collections import OrderedDict
from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.handle import ANON, EXECUTABLE

DIRTY: Final = 1  # differs from the disk (file) or from the swap slot (anonymous)
WRITTEN: Final = 2  # a file page that was never read: cleancache is told to forget, not to keep
INACTIVE_RATIO: Final = 3  # active anonymous pages for each inactive one, at 1 GB (C: inactive_anon_is_low)
WAS_ACTIVE: Final = 4  # a file page that was on the active list since it came in
ONLY_COPY: Final = 8  # an anonymous page out of an exclusive get: it has its slot, and nothing is in there


@mypyc_attr(allow_interpreted_subclasses=True)
class PageLists:
    """What `GuestMemory` needs of an order of pages. A class and no protocol, for the speed of compiled calls."""

    __slots__ = ("looked", "pages")

    def __init__(self, pages: dict[int, int]) -> None:
        self.pages = pages  # every resident page and its flags
        self.looked = 0  # pages that reclaim looked at, for an order that spares some

    def touch(self, key: int) -> None:
        """A resident page is used."""
        raise NotImplementedError

    def add(self, key: int, flags: int) -> None:
        """A page comes in."""
        raise NotImplementedError

    def demanded(self, key: int) -> None:
        """The page that just came in was asked for, not read ahead."""

    def pop_victim(self) -> tuple[int, int]:
        """The page to evict and its flags, no longer resident. Raises KeyError when there is none."""
        raise NotImplementedError

    def discard(self, key: int) -> int | None:
        """Forget a page; returns its flags, None when it is not resident."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class OneList(PageLists):
    """An exact LRU."""

    __slots__ = ("_order",)

    def __init__(self) -> None:
        self._order: OrderedDict[int, int] = OrderedDict()
        super().__init__(self._order)

    def touch(self, key: int) -> None:
        self._order.move_to_end(key)

    def add(self, key: int, flags: int) -> None:
        self._order[key] = flags

    def pop_victim(self) -> tuple[int, int]:
        return self._order.popitem(False)  # not by name: that costs a tuple of names in compiled code

    def discard(self, key: int) -> int | None:
        return self._order.pop(key, None)


@mypyc_attr(allow_interpreted_subclasses=True)
class Pressure:
    """How many pages of one kind were looked at lately, and how many of those were worth keeping (C: reclaim_stat)."""

    __slots__ = ("rotated", "scanned")

    def __init__(self) -> None:
        self.scanned = self.rotated = 0

    def look(self, kept: bool) -> None:
        self.scanned += 1
        if kept:
            self.rotated += 1

    def weight(self, size: int, priority: int) -> int:
        """How much of the reclaim this kind should bear, in 256ths; old looks count half."""
        if self.scanned > size >> 2:
            self.scanned >>= 1
            self.rotated >>= 1
        return (priority * (self.scanned + 1) << 8) // (self.rotated + 1)


@mypyc_attr(allow_interpreted_subclasses=True)
class TwoLists(PageLists):
    """An active and an inactive list each for files and for anonymous pages, as in Linux 3.x.

    A file page enters the inactive list and is promoted when used again; one of an executable is promoted, and kept on
    the active list, when reclaim comes to it and finds it was used.  An anonymous page enters the active list, or the
    inactive one if it comes from swap.  Both kinds bear the pressure by `swappiness` and by how many of their pages
    proved worth keeping; with `files_first` (Linux 3.8 and later) only once most file pages are active.  With no more
    than `least_files` file pages anonymous ones go.
    """

    __slots__ = (
        "_active",
        "_active_anon",
        "_anon_due",
        "_anon_pressure",
        "_file_pressure",
        "_files_first",
        "_inactive",
        "_inactive_anon",
        "_least_files",
        "_swappiness",
    )

    def __init__(self, swappiness: int = 60, least_files: int = 0, *, files_first: bool = True) -> None:
        super().__init__({})
        self._files_first = files_first
        # Each maps a key to whether it was used since it came to this list.
        self._inactive: OrderedDict[int, bool] = OrderedDict()
        self._active: OrderedDict[int, bool] = OrderedDict()
        self._inactive_anon: OrderedDict[int, bool] = OrderedDict()
        self._active_anon: OrderedDict[int, bool] = OrderedDict()
        self._file_pressure, self._anon_pressure = Pressure(), Pressure()
        self._swappiness = swappiness
        self._least_files = least_files
        self._anon_due = 0

    def touch(self, key: int) -> None:
        """C: mark_page_accessed, and the accessed bits of page tables."""
        if key >= ANON:
            anon = self._active_anon
            if key not in anon:
                anon = self._inactive_anon
            anon[key] = True
        elif key in self._active:
            self._active[key] = True
        elif self._inactive[key] and not key & EXECUTABLE:
            del self._inactive[key]
            self._active[key] = False
            self.pages[key] |= WAS_ACTIVE
            self._file_pressure.look(True)
        else:
            self._inactive[key] = True

    def add(self, key: int, flags: int) -> None:
        self.pages[key] = flags
        if key < ANON:
            self._inactive[key] = False
            self._file_pressure.look(False)
        elif flags & DIRTY:  # new; one from swap is clean
            self._active_anon[key] = False
            self._anon_pressure.look(True)
        else:
            self._inactive_anon[key] = False
            self._anon_pressure.look(False)

    def demanded(self, key: int) -> None:
        if key < ANON and key in self._inactive:
            self._inactive[key] = True

    def pop_victim(self) -> tuple[int, int]:
        """Both kinds bear so much looking at, not so many evictions: where all is in use the other kind goes."""
        key = -1
        while key < 0:
            self.looked += 1
            key = self._look_at_anon() if self._is_anon_due() else self._look_at_file()
        return key, self.pages.pop(key)

    def _is_anon_due(self) -> bool:
        """C: get_scan_count."""
        files = len(self._inactive) + len(self._active)
        anon = len(self._inactive_anon) + len(self._active_anon)
        if files + anon == 0:
            raise KeyError("no page to evict")
        if anon == 0 or files == 0:
            return files == 0
        if files <= self._least_files:
            return True
        if self._files_first and len(self._inactive) >= len(self._active):
            return False
        anon_share = anon * self._anon_pressure.weight(anon, self._swappiness)
        total = anon_share + files * self._file_pressure.weight(files, 200 - self._swappiness)
        self._anon_due += (anon_share << 16) // total
        if self._anon_due < 1 << 16:
            return False
        self._anon_due -= 1 << 16
        return True

    def _look_at_file(self) -> int:
        """Take the first inactive page; -1 if it is of an executable and in use: it becomes active.

        A page that cools off takes along that it was used: the next use promotes it again
        (C: shrink_active_list, page_check_references).
        """
        active, inactive, pressure = self._active, self._inactive, self._file_pressure
        while len(active) > len(inactive):
            cooled, used = active.popitem(False)
            kept = used and cooled & EXECUTABLE != 0
            (active if kept else inactive)[cooled] = used and not kept
            pressure.look(kept)
        key, used = (inactive or active).popitem(False)
        kept = used and key & EXECUTABLE != 0
        pressure.look(kept)
        if not kept:
            return key
        active[key] = False
        self.pages[key] |= WAS_ACTIVE
        return -1

    def _look_at_anon(self) -> int:
        """Take the first inactive page; -1 if it was used since: it becomes active (C: shrink_inactive_list)."""
        active, inactive, pressure = self._active_anon, self._inactive_anon, self._anon_pressure
        while len(inactive) * INACTIVE_RATIO < len(active):
            cooled, used = active.popitem(False)
            inactive[cooled] = False
            pressure.look(used)
        key, used = inactive.popitem(False)
        pressure.look(used)
        if not used:
            return key
        active[key] = False
        return -1

    def discard(self, key: int) -> int | None:
        flags = self.pages.pop(key, None)
        if flags is not None:
            first, second = (
                (self._active_anon, self._inactive_anon) if key >= ANON else (self._inactive, self._active)
            )
            if first.pop(key, None) is None:
                second.pop(key, None)
        return flags

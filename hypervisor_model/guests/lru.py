# SPDX-License-Identifier: GPL-2.0-only
"""In which order a guest's pages leave memory.

`OneList` is one exact LRU of file and anonymous pages: what the exact evaluations reason about.  `TwoLists` is the
shape of Linux's reclaim: file pages enter an inactive list and are promoted when used again; anonymous pages have a
list of their own, and `swappiness` says how much of the reclaim they bear.
Units     pages.  `pages` maps a key to its flags and holds every resident page.
Left out  the shadow entries of 3.15 and later, page-table scans: a use is seen when it happens.

OrderedDict was chosen by measurement over a clock of lazy stamps and over plain dicts (0.25, 0.36 and more than
1 us for an access of which 40 % miss).
"""

from collections import OrderedDict
from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.handle import ANON

DIRTY: Final = 1  # differs from the disk (file) or from the swap slot (anonymous)
WRITTEN: Final = 2  # a file page that was never read: cleancache is told to forget, not to keep


@mypyc_attr(allow_interpreted_subclasses=True)
class PageLists:
    """What `GuestMemory` needs of an order of pages. A class and no protocol, for the speed of compiled calls."""

    __slots__ = ("pages",)

    def __init__(self, pages: dict[int, int]) -> None:
        self.pages = pages  # every resident page and its flags

    def touch(self, key: int) -> None:
        """A resident page is used."""
        raise NotImplementedError

    def add(self, key: int, flags: int) -> None:
        """A page comes in."""
        raise NotImplementedError

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
class TwoLists(PageLists):
    """Inactive and active file pages, and anonymous pages."""

    __slots__ = ("_active", "_anon", "_anon_due", "_inactive", "_swappiness")

    def __init__(self, swappiness: int = 60) -> None:
        super().__init__({})
        self._inactive: OrderedDict[int, bool] = OrderedDict()  # key -> was it used since it came in
        self._active: OrderedDict[int, bool] = OrderedDict()
        self._anon: OrderedDict[int, bool] = OrderedDict()
        self._swappiness = swappiness
        self._anon_due = 0

    def touch(self, key: int) -> None:
        """C: mark_page_accessed."""
        if key >= ANON:
            self._anon.move_to_end(key)
        elif key in self._active:
            self._active.move_to_end(key)
        elif self._inactive[key]:
            del self._inactive[key]
            self._active[key] = True
        else:
            self._inactive[key] = True

    def add(self, key: int, flags: int) -> None:
        self.pages[key] = flags
        if key >= ANON:
            self._anon[key] = False
        else:
            self._inactive[key] = False

    def pop_victim(self) -> tuple[int, int]:
        """C: get_scan_count: each kind bears pressure by its size, times swappiness or 200 - swappiness."""
        files = len(self._inactive) + len(self._active)
        anon = len(self._anon) * self._swappiness
        total = anon + files * (200 - self._swappiness)
        if total == 0:
            raise KeyError("no page to evict")
        self._anon_due += anon
        if self._anon and (self._anon_due >= total or not files):
            self._anon_due = max(0, self._anon_due - total)
            key, _ = self._anon.popitem(False)
        else:
            if len(self._active) > len(self._inactive):
                cooled, _ = self._active.popitem(False)
                self._inactive[cooled] = False
            key, _ = (self._inactive or self._active).popitem(False)
        return key, self.pages.pop(key)

    def discard(self, key: int) -> int | None:
        flags = self.pages.pop(key, None)
        if flags is not None:
            for order in (self._anon,) if key >= ANON else (self._inactive, self._active):
                order.pop(key, None)
        return flags

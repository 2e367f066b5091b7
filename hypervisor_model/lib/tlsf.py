# SPDX-License-Identifier: GPL-2.0-only
"""A two-level segregated fit pool that grows by pages, block for block as Xen's.

Models    xmalloc_tlsf.c (the same in every release with tmem): xmem_pool_alloc, xmem_pool_free,
          ADD_REGION, MAPPING_SEARCH, MAPPING_INSERT, FIND_SUITABLE_BLOCK.
Units     16-byte units. A page is 256 of them: a header, 254 for blocks, the header of an empty last block.
Left out  addresses and contents: a block knows its size and its neighbours, which is all that decides when
          the pool takes a page and when it gives one back.

What lives in the pool *is* a block: the caller makes an object of a `Block` subclass and has it placed. All
operations are O(1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

UNIT_BYTES: Final = 16
PAGE_UNITS: Final = 256
REGION_UNITS: Final = PAGE_UNITS - 2  # the only block of an untouched page, without its header
CONTROL_BYTES: Final = 6352  # struct xmem_pool, rounded up
MAX_ALLOC_BYTES: Final = (
    REGION_UNITS * UNIT_BYTES
)  # what xmem_pool_maxalloc reports; 4033.. can't be had (QUIRK)

_LISTS_PER_LEVEL: Final = 32
_SMALL_UNITS: Final = 8  # below 128 bytes: one list for each 4 bytes
_FIRST_LEVEL_SHIFT: Final = 6
_LEVELS: Final = 8
_NO_LIST: Final = _LEVELS * _LISTS_PER_LEVEL


def _list_of(size_bytes: int) -> int:
    """Number of the free list on which a block of this size goes (C: MAPPING_INSERT; fl * 32 + sl)."""
    if size_bytes < _SMALL_UNITS * UNIT_BYTES:
        return size_bytes // 4
    top = size_bytes.bit_length() - 1
    return (top - _FIRST_LEVEL_SHIFT) * _LISTS_PER_LEVEL + (size_bytes >> (top - 5)) - _LISTS_PER_LEVEL


def _rounded(size_bytes: int) -> int:
    """The request rounded up to its list's granularity (C: MAPPING_SEARCH)."""
    if size_bytes < _SMALL_UNITS * UNIT_BYTES:
        return size_bytes
    granule = (1 << (size_bytes.bit_length() - 1 - 5)) - 1
    return (size_bytes + granule) & ~granule


# By size in units: what MAPPING_SEARCH makes of a request, and the list that a block goes on. A block fits a request
# if it has as many units as that: the list searched first begins with this very size.
_REQUEST_UNITS: Final = [(_rounded(u * UNIT_BYTES) + 15) // UNIT_BYTES for u in range(PAGE_UNITS)]
_LIST_OF_UNITS: Final = [_list_of(u * UNIT_BYTES) for u in range(PAGE_UNITS + 1)]


def units_of(size_bytes: int) -> int:
    """The payload units that a request is rounded up to (C: MAPPING_SEARCH); 1 at least."""
    return _REQUEST_UNITS[(size_bytes + UNIT_BYTES - 1) // UNIT_BYTES or 1]


@mypyc_attr(allow_interpreted_subclasses=True)
class Block:
    """A block in use: `units` of 16 bytes besides its header, between its neighbours in the page."""

    __slots__ = ("before", "behind", "units")
    units: int
    before: Block | None  # None: first in its page
    behind: Block


class FreeBlock(Block):
    """A block on a free list."""

    __slots__ = ("list_next", "list_prev")
    list_prev: FreeBlock | None
    list_next: FreeBlock | None


@mypyc_attr(allow_interpreted_subclasses=True)
class PageEnd(Block):
    """The empty last block of a page. It remembers what the page came from."""

    __slots__ = ("page",)

    def __init__(self, page: object) -> None:
        self.page = page
        self.units = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class TlsfPool:
    """The pool. `get_page` returns a token for a fresh page, or None; `put_page` takes the token back.

    The free block that was put on its list last is kept off it, in `_open`, until another takes its place: blocks
    carved off it one after another, or merged with it, then cost no list operations. It counts as the head of the
    list that its size belongs to.
    """

    __slots__ = (
        "_ceiling",
        "_first_level",
        "_get_page",
        "_heads",
        "_none",
        "_open",
        "_primed",
        "_put_page",
        "_second_level",
        "pages",
    )

    def __init__(self, get_page: Callable[[], object | None], put_page: Callable[[object], None]) -> None:
        self._get_page = get_page
        self._put_page = put_page
        self._primed = False  # C: init_region != NULL; stays set when that page has gone back
        self._none = FreeBlock()  # stands for an open block where there is none; nothing fits in it
        self._none.units = -1
        self._open = self._none
        self._ceiling = 0  # units that no block on a list exceeds; there may be none as large
        self._first_level = 0
        self._second_level = [0] * _LEVELS
        self._heads: list[FreeBlock | None] = [None] * (_LEVELS * _LISTS_PER_LEVEL)
        self.pages = 0

    @property
    def used_units(self) -> int:
        """Blocks in use with their headers, and one for each page's end. O(free blocks)."""
        free_units = self._open.units + 1
        for free in self._heads:
            while free is not None:
                free_units += free.units + 1
                free = free.list_next
        return self.pages * PAGE_UNITS - free_units

    @property
    def used_bytes(self) -> int:
        """The same in bytes (C: xmem_pool_get_used_size)."""
        return self.used_units * UNIT_BYTES

    @property
    def total_bytes(self) -> int:
        """Pages held and the control structure (C: xmem_pool_get_total_size)."""
        return CONTROL_BYTES + self.pages * PAGE_UNITS * UNIT_BYTES

    def place(self, block: Block, units: int) -> bool:
        """Find room for `block` of so many units, as `units_of` has them (C: xmem_pool_alloc).

        False: there is no room, and no page to be had.
        """
        free = self._open
        rest = free.units - units
        # An open block of just this size is the first of the first list that C would look at.
        if rest and (rest < 0 or self._ceiling >= units):
            if not self._find(units):
                return False
            free = self._open
            rest = free.units - units
        before = free.before
        block.before = before
        if before is not None:
            before.behind = block
        if rest >= 2:  # a header and at least one unit
            block.units = units
            block.behind = free
            free.before = block
            free.units = rest - 1
        else:
            block.units = free.units
            behind = free.behind
            block.behind = behind
            behind.before = block
            self._open = self._none
        return True

    def release(self, block: Block) -> None:
        """Free `block`, merged with free neighbours; an empty page goes back (C: xmem_pool_free)."""
        free = self._open
        before = block.before
        behind = block.behind
        if free is before and type(behind) is not FreeBlock:
            # Blocks freed in the order in which they were placed.
            free.units += block.units + 1
            free.behind = behind
            behind.before = free
            if free.before is None and type(behind) is PageEnd:
                self._give_back(behind)
            return
        units = block.units
        if type(before) is FreeBlock:
            free = before
            if free is not self._open:
                self._unlink(free)
                self._open_up(free)
            units += free.units + 1
            if type(behind) is FreeBlock:
                if behind is self._open:
                    self._open = self._none
                else:
                    self._unlink(behind)
                units += behind.units + 1
                behind = behind.behind
                self._open_up(free)
            before = free.before
        elif type(behind) is FreeBlock:
            free = behind
            if free is not self._open:
                self._unlink(free)
                self._open_up(free)
            units += free.units + 1
            behind = free.behind
            free.before = before
            if before is not None:
                before.behind = free
        else:
            free = FreeBlock()
            free.before = before
            if before is not None:
                before.behind = free
            self._open_up(free)
        free.units = units
        free.behind = behind
        behind.before = free
        if before is None and type(behind) is PageEnd:
            self._give_back(behind)

    def _give_back(self, end: PageEnd) -> None:
        """A page with nothing in it but the open block."""
        self._open = self._none
        self.pages -= 1
        self._put_page(end.page)

    def _find(self, units: int) -> bool:
        """Make the block that so many units come from the open one. False: there is no memory."""
        if not self._primed:
            page = self._get_page()
            if page is None:
                return False
            self._add_page(page)
            self._primed = True
        wanted = _LIST_OF_UNITS[units]
        while True:
            free = self._open
            number = _NO_LIST if free.units < units else _LIST_OF_UNITS[free.units]
            listed = self._lowest_list(wanted)
            if listed == _NO_LIST and self._ceiling >= units:
                self._ceiling = units - 1
            if listed < number:
                head = self._heads[listed]
                assert head is not None
                self._unlink(head)
                self._open_up(head)
                return True
            if number < _NO_LIST:
                return True
            if units > REGION_UNITS:
                return False  # QUIRK xmem_pool_alloc: rounds 4033..4064 up to 4096, which no page has
            # Fetching a page can evict, and eviction can free blocks of this pool: search again afterwards.
            page = self._get_page()
            if page is None:
                return False
            self._add_page(page)

    def _lowest_list(self, wanted: int) -> int:
        """The first list from `wanted` on that is not empty (C: FIND_SUITABLE_BLOCK)."""
        level = wanted >> 5
        lists = self._second_level[level] >> (wanted & 31)
        if lists:
            return wanted + (lists & -lists).bit_length() - 1
        levels = self._first_level >> (level + 1)
        if not levels:
            return _NO_LIST
        level += (levels & -levels).bit_length()
        lists = self._second_level[level]
        return level * _LISTS_PER_LEVEL + (lists & -lists).bit_length() - 1

    def _add_page(self, page: object) -> None:
        """C: ADD_REGION."""
        free = FreeBlock()
        end = PageEnd(page)
        free.units = REGION_UNITS
        free.before = None
        free.behind = end
        end.before = free
        self._open_up(free)
        self.pages += 1

    def _open_up(self, free: FreeBlock) -> None:
        """`free`, on no list, is now the one put on its list last; the one before really goes on its own."""
        former = self._open
        self._open = free
        if former is self._none or former is free:
            return
        units = former.units
        if units > self._ceiling:
            self._ceiling = units
        number = _LIST_OF_UNITS[units]
        head = self._heads[number]
        former.list_prev = None
        former.list_next = head
        if head is not None:
            head.list_prev = former
        else:
            level = number >> 5
            self._second_level[level] |= 1 << (number & 31)
            self._first_level |= 1 << level
        self._heads[number] = former

    def _unlink(self, free: FreeBlock) -> None:
        """Take `free` off its list (C: EXTRACT_BLOCK)."""
        ahead = free.list_prev
        follower = free.list_next
        if follower is not None:
            follower.list_prev = ahead
        if ahead is not None:
            ahead.list_next = follower
            return
        number = _LIST_OF_UNITS[free.units]
        self._heads[number] = follower
        if follower is None:
            level = number >> 5
            lists = self._second_level[level] & ~(1 << (number & 31))
            self._second_level[level] = lists
            if not lists:
                self._first_level &= ~(1 << level)

    def check(self) -> None:
        """Recount what can be reached from the free lists; O(blocks of pages with a free block)."""
        seen: set[int] = set()
        if self._open is not self._none:
            seen.add(id(self._check_page(self._open)))
        for number, head in enumerate(self._heads):
            marked = bool(self._second_level[number >> 5] >> (number & 31) & 1)
            assert marked == (head is not None), number
            free, ahead = head, None
            while free is not None:
                assert free is not self._open, "the open block is on a list"
                assert free.list_prev is ahead, number
                assert _LIST_OF_UNITS[free.units] == number, (free.units, number)
                seen.add(id(self._check_page(free)))
                ahead, free = free, free.list_next
        for level in range(_LEVELS):
            assert bool(self._first_level >> level & 1) == bool(self._second_level[level]), level
        assert len(seen) <= self.pages, (len(seen), self.pages)
        assert self.pages <= self.used_units <= self.pages * PAGE_UNITS, (self.used_units, self.pages)

    def _check_page(self, free: FreeBlock) -> Block:
        """The links and the sizes of the page around `free`; returns its end."""
        assert not isinstance(free.before, FreeBlock), "two free neighbours"
        assert not isinstance(free.behind, FreeBlock), "two free neighbours"
        first: Block = free
        while first.before is not None:
            assert first.before.behind is first
            first = first.before
        units = 0
        here = first
        while not isinstance(here, PageEnd):
            assert here.units > 0
            units += here.units + 1
            assert here.behind.before is here
            here = here.behind
        assert units == PAGE_UNITS - 1, units
        return here

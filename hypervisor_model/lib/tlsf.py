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


# By size in units: what MAPPING_SEARCH makes of a request, and the lists of search and insertion.
_REQUEST_UNITS: Final = [(_rounded(u * UNIT_BYTES) + 15) // UNIT_BYTES for u in range(PAGE_UNITS)]
_SEARCH_LIST: Final = [_list_of(_rounded(u * UNIT_BYTES)) for u in range(PAGE_UNITS)]
_INSERT_LIST: Final = [_list_of(u * UNIT_BYTES) for u in range(PAGE_UNITS)]


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


class PageEnd(Block):
    """The empty last block of a page. It remembers what the page came from."""

    __slots__ = ("page",)

    def __init__(self, page: object) -> None:
        self.page = page
        self.units = 0


class TlsfPool:
    """The pool. `get_page` returns a token for a fresh page, or None; `put_page` takes the token back."""

    __slots__ = (
        "_first_level",
        "_get_page",
        "_heads",
        "_primed",
        "_put_page",
        "_second_level",
        "pages",
        "used_units",
    )

    def __init__(self, get_page: Callable[[], object | None], put_page: Callable[[object], None]) -> None:
        self._get_page = get_page
        self._put_page = put_page
        self._primed = False  # C: init_region != NULL; stays set when that page has gone back
        self._first_level = 0
        self._second_level = [0] * _LEVELS
        self._heads: list[FreeBlock | None] = [None] * (_LEVELS * _LISTS_PER_LEVEL)
        self.used_units = 0
        self.pages = 0

    @property
    def used_bytes(self) -> int:
        """Blocks in use with their headers, and 16 bytes for each page (C: xmem_pool_get_used_size)."""
        return self.used_units * UNIT_BYTES

    @property
    def total_bytes(self) -> int:
        """Pages held and the control structure (C: xmem_pool_get_total_size)."""
        return CONTROL_BYTES + self.pages * PAGE_UNITS * UNIT_BYTES

    def place(self, block: Block, size_bytes: int) -> bool:
        """Find room for `block` (C: xmem_pool_alloc). False: no room, and no page to be had."""
        if not self._primed:
            page = self._get_page()
            if page is None:
                return False
            self._add_page(page)
            self._primed = True
        units = (size_bytes + 15) >> 4 or 1
        while True:
            wanted = _SEARCH_LIST[units]
            level = wanted >> 5
            offset = wanted & 31
            lists = self._second_level[level] >> offset
            if lists:
                number = wanted + (lists & -lists).bit_length() - 1
                break
            levels = self._first_level >> (level + 1)
            if levels:
                level += (levels & -levels).bit_length()
                lists = self._second_level[level]
                number = level * 32 + (lists & -lists).bit_length() - 1
                break
            if _REQUEST_UNITS[units] > REGION_UNITS:
                return False  # QUIRK xmem_pool_alloc: rounds 4033..4064 up to 4096, which no page has
            # Fetching a page can evict, and eviction can free blocks of this pool: search again afterwards.
            page = self._get_page()
            if page is None:
                return False
            self._add_page(page)
        free = self._heads[number]
        assert free is not None
        units = _REQUEST_UNITS[units]
        rest = free.units - units
        before = free.before
        block.before = before
        if before is not None:
            before.behind = block
        if rest >= 2:  # a header and at least one unit
            block.units = units
            block.behind = free
            free.before = block
            rest -= 1
            free.units = rest
            target = _INSERT_LIST[rest]
            if target != number:  # otherwise it is the head of the right list already
                self._pop(free, number)
                self._push(free, target)
        else:
            self._pop(free, number)
            units = free.units
            block.units = units
            block.behind = free.behind
            free.behind.before = block
        self.used_units += units + 1
        return True

    def release(self, block: Block) -> None:
        """Free `block`, merged with free neighbours; an empty page goes back (C: xmem_pool_free)."""
        units = block.units
        self.used_units -= units + 1
        before = block.before
        behind = block.behind
        if isinstance(behind, FreeBlock):
            units += behind.units + 1
            if isinstance(before, FreeBlock):
                self._unlink(behind)
                behind = behind.behind
                self._regrow(before, before.units + units + 1, behind)
                return
            behind.before = before
            if before is not None:
                before.behind = behind
            self._regrow(behind, units, behind.behind)
        elif isinstance(before, FreeBlock):
            self._regrow(before, before.units + units + 1, behind)
        else:
            free = FreeBlock()
            free.units = units
            free.before = before
            free.behind = behind
            behind.before = free
            if before is not None:
                before.behind = free
            elif isinstance(behind, PageEnd):
                self._drop_page(behind)
                return
            self._push(free, _INSERT_LIST[units])

    def _regrow(self, free: FreeBlock, units: int, behind: Block) -> None:
        """`free`, still on the list of its old size, now has `units` and ends before `behind`."""
        free.behind = behind
        behind.before = free
        if free.before is None and isinstance(behind, PageEnd):
            self._unlink(free)
            self._drop_page(behind)
            return
        target = _INSERT_LIST[units]
        if self._heads[target] is not free:  # as its own head on the right list it stays where it is
            self._unlink(free)
            free.units = units
            self._push(free, target)
        else:
            free.units = units

    def _drop_page(self, end: PageEnd) -> None:
        self.pages -= 1
        self.used_units -= 1
        self._put_page(end.page)

    def _add_page(self, page: object) -> None:
        """C: ADD_REGION."""
        free = FreeBlock()
        end = PageEnd(page)
        free.units = REGION_UNITS
        free.before = None
        free.behind = end
        end.before = free
        self._push(free, _INSERT_LIST[REGION_UNITS])
        self.used_units += 1
        self.pages += 1

    def _push(self, free: FreeBlock, number: int) -> None:
        """Put `free` at the head of a list (C: INSERT_BLOCK)."""
        head = self._heads[number]
        free.list_prev = None
        free.list_next = head
        if head is not None:
            head.list_prev = free
        else:
            level = number >> 5
            self._second_level[level] |= 1 << (number & 31)
            self._first_level |= 1 << level
        self._heads[number] = free

    def _pop(self, free: FreeBlock, number: int) -> None:
        """Take the head `free` off its list (C: EXTRACT_BLOCK_HDR)."""
        head = free.list_next
        self._heads[number] = head
        if head is not None:
            head.list_prev = None
        else:
            self._mark_empty(number)

    def _unlink(self, free: FreeBlock) -> None:
        """Take `free` off the list of its present size (C: EXTRACT_BLOCK)."""
        ahead = free.list_prev
        follower = free.list_next
        if follower is not None:
            follower.list_prev = ahead
        if ahead is not None:
            ahead.list_next = follower
            return
        number = _INSERT_LIST[free.units]
        self._heads[number] = follower
        if follower is None:
            self._mark_empty(number)

    def _mark_empty(self, number: int) -> None:
        level = number >> 5
        lists = self._second_level[level] & ~(1 << (number & 31))
        self._second_level[level] = lists
        if not lists:
            self._first_level &= ~(1 << level)

    def check(self) -> None:
        """Recount what can be reached from the free lists; O(blocks of pages with a free block)."""
        seen = 0
        ends: set[int] = set()
        for number, head in enumerate(self._heads):
            marked = bool(self._second_level[number >> 5] >> (number & 31) & 1)
            assert marked == (head is not None), number
            free, ahead = head, None
            while free is not None:
                assert free.list_prev is ahead, number
                assert _INSERT_LIST[free.units] == number, (free.units, number)
                assert not isinstance(free.before, FreeBlock), "two free neighbours"
                assert not isinstance(free.behind, FreeBlock), "two free neighbours"
                end = self._check_page(free)
                if id(end) not in ends:
                    ends.add(id(end))
                    seen += 1
                ahead, free = free, free.list_next
        for level in range(_LEVELS):
            assert bool(self._first_level >> level & 1) == bool(self._second_level[level]), level
        assert seen <= self.pages, (seen, self.pages)
        assert self.pages <= self.used_units <= self.pages * (PAGE_UNITS - 1), (self.used_units, self.pages)

    def _check_page(self, block: Block) -> Block:
        """The links and the sizes of the page around `block`; returns its end."""
        first = block
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

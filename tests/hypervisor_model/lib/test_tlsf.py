# SPDX-License-Identifier: GPL-2.0-only
"""The TLSF pool against the rules of xmalloc_tlsf.c, written down here a second time and as plainly as possible."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hypervisor_model.lib.tlsf import CONTROL_BYTES, MAX_ALLOC_BYTES, Block, TlsfPool, units_of

PAGE_BYTES = 4096
HEADER = 16


class PlainPool:
    """Best fit by classes over real addresses: each page a list of [offset, size, free], each class a stack.

    Sizes are bytes without headers; a page is 4064 bytes behind its first header, and a last header of 16.
    """

    def __init__(self, pages_allowed: int) -> None:
        self.pages: dict[int, list[list[int]]] = {}
        self.stacks: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.next_page = 0
        self.allowed = pages_allowed
        self.primed = False

    @staticmethod
    def list_of(size: int) -> tuple[int, int]:
        if size < 128:
            return 0, size // 4
        level = size.bit_length() - 1
        return level - 6, (size - (1 << level)) // (1 << (level - 5))

    def fetch(self) -> bool:
        if len(self.pages) >= self.allowed:
            return False
        number = self.next_page
        self.next_page += 1
        self.pages[number] = [[0, 4064, 1]]
        self.stacks.setdefault(self.list_of(4064), []).append((number, 0))
        return True

    def alloc(self, size: int) -> tuple[int, int] | None:
        if not self.primed:
            if not self.fetch():
                return None
            self.primed = True
        size = max(16, -(-size // 16) * 16)
        if size >= 128:
            granule = 1 << (size.bit_length() - 1 - 5)
            size = -(-size // granule) * granule
        while True:
            wanted = self.list_of(size)
            fitting = sorted(key for key, stack in self.stacks.items() if stack and key >= wanted)
            if fitting:
                break
            if size > 4064 or not self.fetch():
                return None
        number, offset = self.stacks[fitting[0]].pop()
        page = self.pages[number]
        at = next(i for i, block in enumerate(page) if block[0] == offset)
        rest = page[at][1] - size
        if rest >= 32:
            page[at] = [offset, size, 0]
            page.insert(at + 1, [offset + size + HEADER, rest - HEADER, 1])
            self.stacks.setdefault(self.list_of(rest - HEADER), []).append((number, offset + size + HEADER))
        else:
            page[at][2] = 0
        return number, offset

    def free(self, where: tuple[int, int]) -> None:
        number, offset = where
        page = self.pages[number]
        at = next(i for i, block in enumerate(page) if block[0] == offset)
        for neighbour in (at + 1, at - 1):
            if 0 <= neighbour < len(page) and page[neighbour][2]:
                self.stacks[self.list_of(page[neighbour][1])].remove((number, page[neighbour][0]))
        if at + 1 < len(page) and page[at + 1][2]:
            page[at][1] += page[at + 1][1] + HEADER
            del page[at + 1]
        if at > 0 and page[at - 1][2]:
            page[at - 1][1] += page[at][1] + HEADER
            del page[at]
            at -= 1
        page[at][2] = 1
        if len(page) == 1:
            del self.pages[number]
        else:
            self.stacks.setdefault(self.list_of(page[at][1]), []).append((number, page[at][0]))

    @property
    def used(self) -> int:
        blocks = [block for page in self.pages.values() for block in page if not block[2]]
        return sum(size + HEADER for _, size, _ in blocks) + HEADER * len(self.pages)


class Pages:
    """A supply of pages with a limit."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.out = 0

    def get(self) -> object | None:
        if self.out >= self.allowed:
            return None
        self.out += 1
        return self

    def put(self, page: object) -> None:
        assert page is self
        self.out -= 1


# Round the edges: header sizes, list granularities, what tmem allocates, what just fits and what can't be met.
sizes = st.sampled_from(
    [0, 1, 16, 17, 56, 72, 88, 96, 112, 120, 128, 129, 528, 1000, 1025, 2047, 2049, 3000, 4032, 4033, 4063]
)


class TlsfAgrees(RuleBasedStateMachine):
    @initialize(allowed=st.integers(0, 6))
    def boot(self, allowed: int) -> None:
        self.pages = Pages(allowed)
        self.pool = TlsfPool(self.pages.get, self.pages.put)
        self.plain = PlainPool(allowed)
        self.held: list[tuple[Block, tuple[int, int]]] = []

    @rule(size=sizes)
    def alloc(self, size: int) -> None:
        block = Block()
        placed = self.pool.place(block, units_of(size))
        where = self.plain.alloc(size)
        assert placed == (where is not None)
        if where is not None:
            self.held.append((block, where))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        block, where = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.release(block)
        self.plain.free(where)

    @precondition(lambda self: self.held)
    @rule()
    def free_all_but_one(self) -> None:
        while len(self.held) > 1:
            block, where = self.held.pop(0)
            self.pool.release(block)
            self.plain.free(where)

    @invariant()
    def same_bytes(self) -> None:
        self.pool.check()
        assert self.pool.used_bytes == self.plain.used
        assert self.pool.pages == self.pages.out == len(self.plain.pages)
        for block, (number, offset) in self.held:
            size = next(b[1] for b in self.plain.pages[number] if b[0] == offset)
            assert block.units * 16 == size


TestTlsfAgrees = TlsfAgrees.TestCase
TestTlsfAgrees.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def a_pool(allowed: int = 1000) -> tuple[TlsfPool, Pages]:
    pages = Pages(allowed)
    return TlsfPool(pages.get, pages.put), pages


def test_nothing_is_fetched_before_the_first_allocation() -> None:
    pool, pages = a_pool()
    assert (pages.out, pool.used_bytes, pool.total_bytes) == (0, 0, CONTROL_BYTES)


@pytest.mark.parametrize(
    ("size", "cost"), [(88, 112), (72, 96), (120, 144), (128, 144), (528, 544), (56, 80), (24, 48)]
)
def test_the_structs_of_tmem_cost_what_they_cost_in_xen(size: int, cost: int) -> None:
    pool, _ = a_pool()
    block = Block()
    assert pool.place(block, units_of(size))
    assert pool.used_bytes == cost + 16


def test_a_request_that_rounds_up_to_a_page_fails_and_takes_only_the_first_page() -> None:
    """QUIRK xmem_pool_alloc: 4033 to 4063 bytes round up to 4096, which no page has."""
    pool, pages = a_pool()
    for size in (4033, 4063):
        assert not pool.place(Block(), units_of(size))
    assert pages.out == 1
    assert pool.place(Block(), units_of(4032))
    assert MAX_ALLOC_BYTES == 4064


def test_the_last_block_of_a_page_takes_the_page_back() -> None:
    pool, pages = a_pool()
    blocks = [Block() for _ in range(100)]
    assert all(pool.place(block, units_of(88)) for block in blocks)
    assert pages.out == 3
    for block in blocks:
        pool.release(block)
    assert (pages.out, pool.used_bytes) == (0, 0)


def test_blocks_freed_while_a_page_is_fetched_are_found() -> None:
    """The fetched page stays all the same: eviction for it may free blocks of the very same pool."""
    first = Block()
    fetched: list[int] = []

    def get() -> object | None:
        fetched.append(1)
        if len(fetched) == 2:
            pool.release(first)
        return fetched

    pool = TlsfPool(get, lambda page: None)
    assert pool.place(first, units_of(2000))
    assert pool.place(Block(), units_of(1500))
    again = Block()
    assert pool.place(again, units_of(2000))
    assert pool.pages == 2
    assert again.before is None
    pool.check()

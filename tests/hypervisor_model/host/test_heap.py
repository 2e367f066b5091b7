# SPDX-License-Identifier: GPL-2.0-only
"""The page heap: who gets the last pages, and who is billed."""

from __future__ import annotations

import pytest

from hypervisor_model.host.domain import Domain
from hypervisor_model.host.guest_memory import GuestMemory
from hypervisor_model.host.heap import Heap


def a_domain(max_pages: int, tot_pages: int = 0) -> Domain:
    return Domain(
        1, name=None, max_pages=max_pages, tot_pages=tot_pages, memory=GuestMemory(), privileged=False
    )


class Giver:
    """A reclaimer that says what it was asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[tuple[int, bool]] = []

    def relinquish_page(self, order: int, from_tmem: bool) -> bool:
        self.asked.append((order, from_tmem))
        return self.answer


def test_order_0_below_the_midsize_reserve_is_tmems_to_give() -> None:
    heap = Heap(1280)
    giver = Giver(True)
    heap.reclaimer = giver
    assert heap.alloc_data_page()
    heap.avail = heap.midsize
    assert heap.alloc_heap_pages(0, from_tmem=False)
    assert giver.asked == [(0, False)]
    assert heap.avail == heap.midsize


def test_what_tmem_does_not_give_is_not_taken_from_the_reserve() -> None:
    heap = Heap(1280)
    heap.reclaimer = Giver(False)
    assert heap.alloc_data_page()
    heap.avail = heap.midsize
    assert not heap.alloc_heap_pages(0, from_tmem=True)
    assert heap.avail == heap.midsize


@pytest.mark.parametrize("order", [1, 4, 8])
def test_midsize_orders_may_use_the_reserve(order: int) -> None:
    heap = Heap(128 * 1024)
    giver = Giver(False)
    heap.reclaimer = giver
    assert heap.alloc_data_page()
    heap.avail = heap.midsize
    assert heap.alloc_heap_pages(order, from_tmem=False)
    assert heap.avail == heap.midsize - (1 << order)
    assert giver.asked == []


def test_without_anything_freeable_the_reserve_is_for_all() -> None:
    heap = Heap(1280)
    heap.reclaimer = Giver(False)
    heap.avail = 1
    assert heap.alloc_heap_pages(0, from_tmem=False)
    assert not heap.alloc_heap_pages(0, from_tmem=False)


def test_below_the_reserve_free_memory_looks_plentiful() -> None:
    """QUIRK total_free_pages: the difference is unsigned."""
    heap = Heap(1280)
    heap.avail = heap.midsize - 1
    assert not heap.memory_is_short()
    heap.avail = heap.midsize + 255
    assert heap.memory_is_short()
    heap.avail = heap.midsize + 256
    assert not heap.memory_is_short()
    honest = Heap(1280, reserve_underflows=False)
    honest.avail = honest.midsize - 1
    assert honest.memory_is_short()


def test_a_domain_at_its_limit_gets_no_page_and_the_heap_loses_none() -> None:
    heap = Heap(100)
    domain = a_domain(max_pages=2, tot_pages=1)
    assert heap.alloc_page_for(domain)
    assert not heap.alloc_page_for(domain)
    assert (domain.tot_pages, heap.avail) == (2, 99)


def test_listed_pages_are_donated_first_and_stolen_back() -> None:
    heap = Heap(100)
    assert heap.alloc_data_page()
    heap.data_pages -= 1
    assert heap.tmem_list_pages == 1
    domain = a_domain(max_pages=5)
    assert heap.alloc_page_for(domain)
    assert (heap.tmem_list_pages, heap.avail, domain.tot_pages) == (0, 99, 1)
    heap.free_page_of(domain)
    assert (heap.tmem_list_pages, domain.tot_pages) == (1, 0)
    heap.release_list()
    assert (heap.avail, heap.scrubbed) == (100, 1)


def test_a_dying_domain_is_given_nothing() -> None:
    heap = Heap(100)
    domain = a_domain(max_pages=5)
    domain.dying = True
    assert not heap.alloc_page_for(domain)
    assert (heap.avail, domain.tot_pages) == (100, 0)

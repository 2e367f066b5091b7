# SPDX-License-Identifier: GPL-2.0-only
"""A domain gives frames back and asks for some: what the heap, the bill and tmem say to that."""

import pytest

from hypervisor_model.hypervisor import Hypervisor

PAGE = bytes(4096)


def a_host(frames: int = 2048, *, max_pages: int = 500, tot_pages: int = 400) -> Hypervisor:
    hypervisor = Hypervisor(frames=frames, exact=False)
    hypervisor.create_domain(1, max_pages=max_pages, tot_pages=tot_pages)
    return hypervisor


def owned(hypervisor: Hypervisor) -> tuple[int, int]:
    domain = hypervisor.domain(1).domain
    return domain.tot_pages, domain.own_pages


def test_what_is_given_back_is_the_hosts_and_can_be_had_again() -> None:
    hypervisor = a_host()
    assert hypervisor.decrease_reservation(1, 150) == 150
    assert hypervisor.heap.avail == 2198
    assert owned(hypervisor) == (250, 250)
    assert hypervisor.increase_reservation(1, 100) == 100
    assert hypervisor.heap.avail == 2098
    assert owned(hypervisor) == (350, 350)


def test_no_domain_grows_beyond_its_limit_which_tmems_persistent_pages_count_to() -> None:
    hypervisor = a_host()
    guest = hypervisor.domain(1)
    pool = guest.new_pool(persistent=True)
    assert [guest.put(pool, 1, index, PAGE) for index in range(30)] == [1] * 30
    assert hypervisor.increase_reservation(1, 200) == 70
    assert owned(hypervisor) == (500, 470)
    assert hypervisor.increase_reservation(1, 1) == 0
    hypervisor.check()


def test_persistent_pages_are_not_the_domains_to_give() -> None:
    hypervisor = a_host()
    guest = hypervisor.domain(1)
    pool = guest.new_pool(persistent=True)
    assert guest.put(pool, 1, 1, PAGE) == 1
    assert hypervisor.decrease_reservation(1, 1000) == 400
    assert owned(hypervisor) == (1, 0)
    hypervisor.check()


def test_tmem_gives_way_for_a_domain_that_grows_and_the_host_refuses_when_there_is_no_more() -> None:
    hypervisor = a_host(frames=1024, max_pages=4000)
    guest = hypervisor.domain(1)
    pool = guest.new_pool()
    for index in range(700):
        assert guest.put(pool, 1, index, PAGE) == 1
    assert hypervisor.increase_reservation(1, 900) == 900
    assert hypervisor.tmem.evicted_pgs
    assert hypervisor.tmem.page_count < 700
    assert hypervisor.increase_reservation(1, 900) == 124
    assert owned(hypervisor) == (1424, 1424)
    assert hypervisor.tmem.page_count == 0
    hypervisor.check()


def test_it_is_the_domain_that_asks_whose_quota_eviction_looks_at() -> None:
    hypervisor = a_host()
    other = hypervisor.create_domain(2)
    other.new_pool()
    hypervisor.increase_reservation(1, 1)
    assert hypervisor.tmem.current is hypervisor.domain(1).domain


@pytest.mark.parametrize("pages", [0, -5])
def test_no_pages_or_less_are_none(pages: int) -> None:
    hypervisor = a_host()
    assert hypervisor.decrease_reservation(1, pages) == 0
    assert hypervisor.increase_reservation(1, pages) == 0
    assert owned(hypervisor) == (400, 400)


def test_a_dying_domain_is_given_nothing() -> None:
    hypervisor = a_host()
    hypervisor.domain(1).domain.dying = True
    assert hypervisor.increase_reservation(1, 5) == 0


def test_a_domain_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        a_host().decrease_reservation(7, 1)
    with pytest.raises(KeyError):
        a_host().increase_reservation(7, 1)

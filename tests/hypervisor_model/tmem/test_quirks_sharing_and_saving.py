# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of Xen in shared pools and in saving, and what a host does that follows tmem's documents."""

from __future__ import annotations

import pytest

from hypervisor_model.public.tmem import TMEMC_SAVE_GET_NEXT_INV
from hypervisor_model.public.xen import EEMPTY, EINVAL, ENODEV, ENOSPC, EPERM
from hypervisor_model.tmem.evict import evict
from tests.hypervisor_model.tmem.machine import Machine, both_releases, both_ways, page, soft_page

UUID = (7, 8)


def machine_with_a_shared_pool(release: str, quirks: str) -> Machine:
    """Domains 1, the owner, and 2 have the pool in slot 0; each has put a page, the owner object 1, the other 2."""
    machine = Machine(release, quirks=quirks)
    machine.hv.tmem.global_shared_auth = True
    for domid in (1, 2):
        guest = machine.guest(domid)
        assert guest.new_pool(shared=True, uuid=UUID) == 0
    # The last user of an object is the pool's owner if it was put, and who got it if it was got.
    for domid in (1, 2):
        assert machine.hv.domain(domid).put(0, domid, 0, page(domid)) == 1
    assert machine.hv.domain(2).get(0, 2, 0) == (1, page(2))
    return machine


@both_releases
@both_ways
def test_a_sharer_that_leaves(release: str, quirks: str) -> None:
    """QUIRK pool_destroy_objs: after a sharer has left no page of the pool can be evicted. Documented: all can."""
    machine = machine_with_a_shared_pool(release, quirks)
    machine.hv.domain(2).destroy_pool(0)
    assert machine.counter("Pc") == 1  # the page of the one that left is gone
    machine.flush(1 << 20)
    assert machine.counter("Pc") == (1 if quirks == "xen" else 0)
    machine.hv.check()


@both_releases
@both_ways
def test_an_owner_that_leaves(release: str, quirks: str) -> None:
    """QUIRK shared_pool_reassign: *all* its ephemeral pages move to the next owner's list. Documented: the pool's."""
    machine = machine_with_a_shared_pool(release, quirks)
    owner = machine.hv.domain(1)
    assert owner.new_pool() == 1
    assert owner.put(1, 5, 0, page(5)) == 1
    owner.destroy_pool(0)
    on_list = []
    head = machine.client(2).ephemeral_head
    here = head.list_next
    while here is not head:
        on_list.append(here.obj.oid)
        here = here.list_next
    # The page of the private pool has the younger place of the two; the whole list goes to the old end of the other.
    assert on_list == ([2, 5] if quirks == "xen" else [2])
    # What is counted is the pool's pages, in either mode.
    assert (machine.client(1).eph_count, machine.client(2).eph_count) == (1, 1)
    machine.hv.check()


@both_releases
def test_who_is_billed_for_a_page_that_came_with_a_list(release: str) -> None:
    """4.12 bills the caller whose list a page is evicted from, 4.3 the owner of its pool."""
    machine = machine_with_a_shared_pool(release, "xen")
    owner, heir = machine.hv.domain(1), machine.hv.domain(2)
    owner.new_pool()
    owner.put(1, 5, 0, page(5))
    private = heir.new_pool()
    owner.destroy_pool(0)
    for index in (0, 1):
        heir.put(private, 6, index, page(6))
    machine.hv.set_weight(1, 1)
    machine.hv.set_weight(2, 100)
    tmem = machine.hv.tmem
    tmem.current = heir.domain
    assert [evict(tmem), evict(tmem)] == [True, True]
    assert owner.get(1, 5, 0) == (-EEMPTY, None)
    counts = machine.client(1).eph_count, machine.client(2).eph_count
    assert counts == ((0, 2) if release == "4.3" else (1, 1))
    machine.hv.check()


@both_releases
@both_ways
def test_destroying_a_pool_during_a_live_save(release: str, quirks: str) -> None:
    """QUIRK pool_flush: a pool can't be destroyed in a live save, but its client has lost it all the same."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    guest.put(0, 1, 0, page(1))
    machine.save_begin(live=True)
    assert guest.destroy_pool(0) == 1
    assert guest.get(0, 1, 0) == (-ENODEV, None)
    assert machine.counter("Pc") == 1
    machine.hv.check()


@both_releases
@both_ways
def test_a_save_begun_twice(release: str, quirks: str) -> None:
    """QUIRK tmemc_save_subop: SAVE_BEGIN twice leaves the client frozen after SAVE_END. Documented: as it was."""
    machine = Machine(release, quirks=quirks)
    machine.guest().new_pool(persistent=True)
    machine.save_begin()
    machine.save_begin()
    machine.save_end()
    assert machine.client().frozen is (quirks == "xen")


def machine_to_save(release: str, quirks: str, pages: int) -> tuple[Machine, dict[int, bytes]]:
    """Pages that compress, because 4.12 can't save others."""
    machine = Machine(release, quirks=quirks, options="tmem_compress=1")
    guest = machine.guest()
    guest.new_pool(persistent=True)
    kept = {index: soft_page(index) for index in range(pages)}
    for index, contents in kept.items():
        assert guest.put(0, 1, index, contents) == 1
    machine.save_begin()
    return machine, kept


@both_releases
@both_ways
@pytest.mark.parametrize("pages", [2, 5])
def test_the_pages_of_a_save(release: str, quirks: str, pages: int) -> None:
    """QUIRK tmemc_save_get_next_page: it leaves the first out, and in a second save all. Documented: none, ever."""
    machine, kept = machine_to_save(release, quirks, pages)
    saved = machine.saved_pages()
    if quirks == "xen":
        del kept[0]
    assert saved == kept
    machine.save_end()
    machine.save_begin()
    assert machine.saved_pages() == ({} if quirks == "xen" else kept)


@both_releases
@both_ways
def test_the_only_page_of_a_save(release: str, quirks: str) -> None:
    """QUIRK tmemc_save_get_next_page: in a pool of one it says 0 before it gives the page. Documented: it gives it."""
    machine, _ = machine_to_save(release, quirks, 1)
    results = [machine.next_page()[0] for _ in range(3)]
    assert results == ([0, 1, -EPERM] if quirks == "xen" else [1, -EPERM, -EPERM])


@both_releases
@both_ways
def test_saving_a_page_that_is_not_compressed(release: str, quirks: str) -> None:
    """QUIRK tmem_copy_to_client: since 4.6 only compressed pages can be saved. Documented: all."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    for index in range(2):
        guest.put(0, 1, index, page(index))
    machine.save_begin()
    rc, index, contents = machine.next_page()
    if (release, quirks) == ("4.12", "xen"):
        assert rc == -EINVAL
    else:
        assert (rc, contents) == (1, page(index))


@both_releases
@both_ways
def test_restoring_a_page_that_is_not_compressed(release: str, quirks: str) -> None:
    """QUIRK tmem_copy_from_client: since 4.6 only pages that compress can be restored. Documented: all."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    works = (release, quirks) != ("4.12", "xen")
    assert machine.restore_put(3, page(3)) == (1 if works else -EINVAL)
    assert guest.get(0, 1, 3) == ((1, page(3)) if works else (-EEMPTY, None))
    machine.hv.check()


@both_releases
@both_ways
def test_restoring_a_page_without_a_buffer(release: str, quirks: str) -> None:
    """QUIRK tmem_copy_from_client: without a buffer it restores the caller's frame 0. Documented: it faults."""
    machine = Machine(release, quirks=quirks, options="tmem_compress=1")
    machine.hv.domain(0).memory.write_frame(0, soft_page(9))
    guest = machine.guest()
    guest.new_pool(persistent=True)
    rc = machine.restore_put(3, None)
    if quirks == "xen":
        assert rc == 1
        assert guest.get(0, 1, 3) == (1, soft_page(9))
    else:
        assert rc == -14
        assert guest.get(0, 1, 3) == (-EEMPTY, None)
    machine.hv.check()


@both_releases
@both_ways
def test_duplicate_puts_to_a_client_that_moves(release: str, quirks: str) -> None:
    """During a live save they are refused with -ENOSPC, the old page goes, and its handle is reported."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    guest.put(0, 1, 4, page(1))
    machine.save_begin(live=True)
    assert guest.put(0, 1, 4, page(2)) == -ENOSPC
    assert guest.get(0, 1, 4) == (-EEMPTY, None)
    assert machine.next_invalidated() == (1, 0, 1, 4)
    assert machine.next_invalidated()[0] == 0
    assert machine.control(TMEMC_SAVE_GET_NEXT_INV, 1, 0) == 0
    machine.save_end()
    machine.hv.check()


@both_releases
@both_ways
def test_duplicate_puts_to_a_frozen_client(release: str, quirks: str) -> None:
    """They are taken: refusing them would leave the guest with an old page."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    guest.put(0, 1, 4, page(1))
    machine.hv.set_frozen(1, True)
    assert guest.put(0, 1, 4, page(2)) == 1
    assert guest.get(0, 1, 4) == (1, page(2))


def test_restoring_a_domain_that_is_not_there() -> None:
    """4.3 answers -EPERM, 4.12 -ENOMEM; neither leaves anything behind."""
    for release, answer in (("4.3", -EPERM), ("4.12", -12)):
        machine = Machine(release)
        assert machine.control(30, 77) == answer
        assert machine.hv.tmem.clients == []
        machine.hv.check()

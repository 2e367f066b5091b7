# SPDX-License-Identifier: GPL-2.0-only
"""Sequences that corrupt memory, hang or crash Xen: here they do the safe thing that comes closest to what was meant.

Each docstring says what happens in C. After each, a recount finds everything in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.xen import EEMPTY, EFAULT, ENODEV, ENOENT, EPERM, HYPERCALL_TMEM_OP
from hypervisor_model.tmem.fill import Part
from hypervisor_model.tmem.guest_ops import Guest
from tests.hypervisor_model.tmem.machine import ALL, Machine, both_releases, both_ways, page, soft_page

UUID = (7, 8)
UNMAPPED, READ_ONLY = 2, 3


@contextmanager
def recounted(release: str, quirks: str = "xen", **boot: Any) -> Iterator[Machine]:
    """A machine that is in order at the end, and also when all its guests have gone."""
    machine = Machine(release, quirks=quirks, **boot)
    machine.hv.tmem.global_shared_auth = True
    yield machine
    machine.hv.check()
    for domid in reversed(machine.hv.domain_ids()):  # domain 0 has paid for others, so it goes last
        assert machine.hv.destroy_domain(domid) == 0, domid
        machine.hv.check()


def sharer(machine: Machine, domid: int, *, persistent: bool = False) -> Guest:
    """A guest whose slot 0 is the shared pool."""
    guest = machine.guest(domid)
    assert guest.new_pool(shared=True, persistent=persistent, uuid=UUID) == 0
    return guest


@both_releases
@pytest.mark.parametrize("gfn", [UNMAPPED, READ_ONLY, 999])
def test_a_get_into_a_frame_that_cannot_be_written(release: str, gfn: int) -> None:
    """C takes the page out of its object and leaves it on the lists; evicting it later crashes the host."""
    with recounted(release) as machine:
        guest = machine.guest(gfns=4, unmapped=[UNMAPPED], read_only=[READ_ONLY])
        guest.new_pool()
        guest.put(0, 1, 0, page(1))
        argument = tmem.TMEM_OP_GEN.pack(tmem.TMEM_GET_PAGE, 0, tmem.oid_to_bytes(1), 0, 0, 0, 0, gfn)
        assert machine.hv.hypercall(1, HYPERCALL_TMEM_OP, argument) == -EFAULT
        machine.hv.check()
        assert guest.get(0, 1, 0) == (1, page(1))
        assert guest.put(0, 1, 0, page(1)) == 1
        machine.flush(1 << 20)
        assert guest.get(0, 1, 0) == (-EEMPTY, None)


@both_releases
@both_ways
def test_a_new_owner_that_dies_with_pages_of_the_old_one_on_its_list(release: str, quirks: str) -> None:
    """C frees the client whose list they are on: they point to freed memory."""
    with recounted(release, quirks) as machine:
        old, _ = sharer(machine, 1), sharer(machine, 2)
        assert old.new_pool() == 1
        assert old.put(1, 5, 0, page(5)) == 1
        assert old.put(1, 5, 1, page(6)) == 1
        old.destroy_pool(0)
        assert machine.hv.destroy_domain(2) == 0
        machine.hv.check()
        assert old.get(1, 5, 1) == (1, page(6))
        machine.flush(1 << 20)
        assert machine.counter("Pc") == 0


@both_releases
@both_ways
def test_the_page_saved_last_is_flushed_during_the_save(release: str, quirks: str) -> None:
    """C leaves the cursor on freed memory, and the next SAVE_GET_NEXT_PAGE follows it."""
    with recounted(release, quirks, options="tmem_compress=1") as machine:
        guest = machine.guest()
        guest.new_pool(persistent=True)
        for index in range(5):
            guest.put(0, 1, index, soft_page(index))
        machine.save_begin(live=True)
        machine.thaw()
        rc, first, _ = machine.next_page()
        assert rc == 1
        assert guest.flush_page(0, 1, first) == 1
        rc, second, contents = machine.next_page()
        assert (rc, second, contents) == (1, first + 1, soft_page(first + 1))
        assert machine.next_invalidated() == (1, 0, 1, first)
        machine.save_end()


@both_releases
@both_ways
def test_the_page_saved_last_is_flushed_after_the_save(release: str, quirks: str) -> None:
    """C starts the next save from a cursor in freed memory."""
    with recounted(release, quirks, options="tmem_compress=1") as machine:
        guest = machine.guest()
        guest.new_pool(persistent=True)
        for index in range(3):
            guest.put(0, 1, index, soft_page(index))
        machine.save_begin()
        assert 2 in machine.saved_pages()
        machine.save_end()
        assert guest.flush_page(0, 1, 2) == 1
        guest.put(0, 1, 9, soft_page(9))
        machine.save_begin()
        assert machine.saved_pages()[9] == soft_page(9)
        machine.save_end()


@both_releases
@both_ways
def test_a_save_is_ended_twice(release: str, quirks: str) -> None:
    """C leaves what it freed on the list: the second SAVE_END frees it again, SAVE_GET_NEXT_INV reads it."""
    with recounted(release, quirks) as machine:
        guest = machine.guest()
        guest.new_pool(persistent=True)
        guest.put(0, 1, 0, page(1))
        machine.save_begin(live=True)
        machine.thaw()
        guest.flush_page(0, 1, 0)
        assert machine.next_invalidated()[0] == 1
        assert [machine.save_end(), machine.save_end()] == [0, 0]
        assert machine.next_invalidated()[0] == 0


@both_releases
@both_ways
def test_a_domain_dies_during_its_live_save(release: str, quirks: str) -> None:
    """C keeps the pools, which point to the client that is gone."""
    with recounted(release, quirks) as machine:
        guest = machine.guest(max_pages=100, tot_pages=10)
        for pool_id, persistent in enumerate([True, False]):
            assert guest.new_pool(persistent=persistent) == pool_id
            for index in range(3):
                assert guest.put(pool_id, 1, index, page(index)) == 1
        machine.save_begin(live=True)
        machine.thaw()
        guest.flush_page(0, 1, 0)
        assert machine.hv.destroy_domain(1) == 0
        assert machine.counter("Pc") == 0
        assert machine.save_end() == (-EPERM if release == "4.3" else -ENOENT)


@both_releases
@both_ways
@pytest.mark.parametrize("others", [0, 1])
def test_a_client_that_joins_a_shared_pool_twice(release: str, quirks: str, others: int) -> None:
    """C takes the head off its own list when the client leaves once, and the counts never return to 0."""
    with recounted(release, quirks) as machine:
        guest = sharer(machine, 1)
        for number in range(others):
            sharer(machine, 2 + number)
        assert guest.new_pool(shared=True, uuid=UUID) == 1
        assert guest.put(0, 1, 0, page(1)) == 1
        assert guest.destroy_pool(0) == 1
        machine.hv.check()
        assert guest.put(1, 2, 0, page(2)) == 1
        assert guest.get(1, 2, 0) == (1, page(2))
        assert guest.destroy_pool(1) == 1
        machine.hv.check()
        if not others:
            assert machine.counter("Pc") == 0
            assert machine.hv.tmem.shared_pools == [None] * 16


def test_a_pool_is_restored_for_the_caller_before_it_is_a_client() -> None:
    """Client id 0xffff means the caller's own, which C takes for granted: a NULL pointer."""
    with recounted("4.3") as machine:
        machine.guest()
        argument = tmem.TMEM_OP_CREAT.pack(tmem.TMEM_RESTORE_NEW, 0, 0, 0, 1 << 24, ALL).ljust(56, b"\0")
        assert machine.hv.hypercall(1, HYPERCALL_TMEM_OP, argument) == -EPERM
        machine.hv.domain(1).new_pool()
        assert machine.hv.hypercall(1, HYPERCALL_TMEM_OP, argument) == 1


def test_a_page_is_restored_under_pressure() -> None:
    """C holds the lock that eviction takes, and waits for itself."""
    with recounted("4.3", frames=60) as machine:
        guest, hog = machine.guest(1), machine.guest(2)
        guest.new_pool(persistent=True)
        hog.new_pool()
        fill(machine, hog)
        evicted = machine.counter("Et")
        assert machine.restore_put(0, page(1)) == 1
        assert machine.counter("Et") > evicted
        assert guest.get(0, 1, 0) == (1, page(1))


def fill(machine: Machine, hog: Guest) -> None:
    """Ephemeral pages until the heap is empty. Written in part, because that does not evict beforehand."""
    for oid in range(100):
        if machine.hv.heap.avail or machine.hv.heap.tmem_list_pages:
            hog.write(0, oid, 0, page(oid), Part(0, 0, 4096))


def test_a_shared_pool_is_made_under_pressure() -> None:
    """As above. Here it is made, from what eviction gives."""
    with recounted("4.3", frames=60) as machine:
        guest, hog = machine.guest(1), machine.guest(2)
        hog.new_pool()
        fill(machine, hog)
        for number in range(16):
            assert guest.new_pool(shared=True, uuid=(number, 1)) == number
        machine.hv.check()
        assert guest.put(0, 1, 0, page(1)) == 1


@both_ways
@pytest.mark.parametrize("first_to_go", [1, 2])
def test_a_pool_both_shared_and_persistent(quirks: str, first_to_go: int) -> None:
    """C frees the entry of the share list into an allocator it does not come from. 4.12 refuses such pools."""
    with recounted("4.3", quirks) as machine:
        for domid in (1, 2):
            sharer(machine, domid, persistent=True)
        for domid in (1, 2):
            guest = machine.hv.domain(domid)
            for index in range(3):
                assert guest.put(0, domid, index, page(index)) == 1
        assert machine.hv.domain(first_to_go).destroy_pool(0) == 1
        machine.hv.check()
        other = machine.hv.domain(3 - first_to_go)
        assert other.put(0, 7, 0, page(7)) == 1
        assert other.get(0, 7, 0) == (1, page(7))
        assert machine.hv.destroy_domain(3 - first_to_go) == 0
        machine.hv.check()


def test_the_last_page_of_an_object_is_evicted() -> None:
    """C unlocks the lock of a content tree that there is none of, outside of the array."""
    with recounted("4.3") as machine:
        guest = machine.guest()
        guest.new_pool()
        guest.put(0, 1, 0, page(1))
        machine.flush(4)
        assert (machine.counter("Et"), machine.counter("Oc")) == (1, 0)


def test_a_shared_pool_too_many() -> None:
    """C returns from 4.12's new pool with the client pointing to the pool it has just freed."""
    with recounted("4.12") as machine:
        first, second = machine.guest(1), machine.guest(2)
        for number in range(16):
            assert first.new_pool(shared=True, uuid=(number, 1)) == number
        assert second.new_pool(shared=True, uuid=(99, 1)) == -EPERM
        assert second.put(0, 1, 0, page(1)) == -ENODEV
        assert second.new_pool(shared=True, uuid=(3, 1)) == 0


@both_releases
@both_ways
def test_a_join_without_memory(release: str, quirks: str) -> None:
    """As above, for want of the share list's entry. 4.3 does not look whether joining worked."""
    with recounted(release, quirks, frames=4) as machine:
        guest = machine.guest()
        machine.hv.alloc_host_pages(4)
        answer = guest.new_pool(shared=True, uuid=UUID)
        assert answer == (0 if release == "4.3" else -EPERM)
        machine.hv.check()
        guest.destroy_pool(0)
        machine.hv.free_host_pages(4)


@both_releases
@both_ways
@pytest.mark.parametrize("evicted", [False, True])
def test_a_pool_is_destroyed_during_a_live_save(release: str, quirks: str, evicted: bool) -> None:
    """C, in 4.12, frees the pool's descriptors into the wrong allocator later on.

    What it held can't be reached any more. Its ephemeral pages can still be evicted, and go at the latest with their
    domain; its persistent pages are lost for good, unless the host does as documented.
    """
    with recounted(release, quirks) as machine:
        guest = machine.guest()
        for pool_id, persistent in enumerate([True, False]):
            assert guest.new_pool(persistent=persistent) == pool_id
            assert guest.put(pool_id, 1, 0, page(1)) == 1
        machine.save_begin(live=True)
        machine.thaw()
        assert [guest.destroy_pool(pool_id) for pool_id in (0, 1)] == [1, 1]
        machine.hv.check()
        machine.save_end()
        machine.hv.check()
        if evicted:
            machine.flush(1 << 20)
            assert machine.counter("Ec") == 0
        assert machine.hv.destroy_domain(1) == (2 if quirks == "xen" else 0)  # a page, and its descriptor's
        assert (machine.counter("Ec"), machine.counter("Pc")) == (0, 1 if quirks == "xen" else 0)


@pytest.mark.parametrize(
    "subop",
    [
        tmem.TMEMC_SAVE_GET_CLIENT_WEIGHT,
        tmem.TMEMC_SAVE_GET_CLIENT_CAP,
        tmem.TMEMC_SAVE_GET_CLIENT_FLAGS,
        tmem.TMEMC_SAVE_GET_POOL_FLAGS,
        tmem.TMEMC_SAVE_GET_POOL_NPAGES,
        tmem.TMEMC_SAVE_GET_POOL_UUID,
    ],
)
def test_questions_about_a_domain_without_client(subop: int) -> None:
    """Xen 4.0 crashed."""
    with recounted("4.3") as machine:
        machine.guest()
        assert machine.control(subop, 1) == machine.control(subop, 999) == -EPERM


@both_releases
def test_all_clients_are_listed_after_a_sharer_was_destroyed(release: str) -> None:
    """Xen 4.5 crashed."""
    with recounted(release) as machine:
        sharer(machine, 1)
        sharer(machine, 2)
        machine.hv.destroy_domain(1)
        assert "SC:2" in machine.listing()
        assert "CI:1" not in machine.listing()


def test_pools_of_a_client_that_died() -> None:
    """They are nobody's: -EINVAL, not a look at freed memory."""
    with recounted("4.12") as machine:
        machine.guest().new_pool()
        machine.hv.destroy_domain(1)
        assert machine.control(sysctl.TMEM_OP_GET_POOLS, 1, 32, buffer=bytearray(32)) == -22

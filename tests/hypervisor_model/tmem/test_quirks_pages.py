# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of Xen in put, get, flush and eviction, and what a host does that follows tmem's documents.

A test of a quirk begins its docstring with the mark that the model's source bears.
"""

from __future__ import annotations

import random

import pytest

from hypervisor_model.public.tmem import TMEMC_FREEZE
from hypervisor_model.public.xen import EEMPTY, EFAULT, EFROZEN, ENOMEM, PAGE_SIZE
from hypervisor_model.tmem.fill import Part
from tests.hypervisor_model.tmem.machine import Machine, both_releases, both_ways, page, soft_page

WHOLE = Part(0, 0, PAGE_SIZE)


def page_that_compresses_to(machine: Machine, sizes: range) -> bytes:
    """Random bytes behind a run of zeros that is just long enough."""
    noise = random.Random(1).randbytes(PAGE_SIZE)
    candidates = (bytes(run) + noise[run:] for run in range(200))
    return next(found for found in candidates if len(machine.hv.codec.compress(found)) in sizes)


@both_releases
@both_ways
def test_a_page_that_compresses_by_very_little_is_refused(release: str, quirks: str) -> None:
    """QUIRK xmem_pool_alloc: sizes of 4033 and more can't be had, and the put fails. Documented: stored as it is."""
    machine = Machine(release, options="tmem_compress=1", quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    hard = page_that_compresses_to(machine, range(4033, 4064))
    if quirks == "xen":
        assert guest.put(pool_id, 1, 0, hard) == -ENOMEM
        assert machine.counter("cm", "C=CI:1") == 1
    else:
        assert guest.put(pool_id, 1, 0, hard) == 1
        assert machine.counter("cn", "C=CI:1") == 1
        assert guest.get(pool_id, 1, 0) == (1, hard)
    machine.hv.check()


@both_ways
def test_a_put_without_memory_for_its_content_reports_success(quirks: str) -> None:
    """QUIRK do_tmem_put: without memory to share its content a page goes, and the answer is 1. Documented: -ENOMEM."""
    machine = Machine(options="tmem_dedup=1", frames=19, quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    # All in one object, which is held during a put, so that nothing can be evicted for the next.
    results = [guest.write(pool_id, 1, index, b"x" + page(index)[1:], WHOLE) for index in range(20)]
    assert results == [1] * 17 + ([1] * 3 if quirks == "xen" else [-ENOMEM] * 3)
    assert machine.counter("Pc") == 17
    assert guest.get(pool_id, 1, 17) == (0, None)
    machine.hv.check()


@both_releases
def test_a_frozen_client_is_refused_new_pages(release: str) -> None:
    """QUIRK do_tmem_put: of new pages for a frozen client 4.12 counts in `px` only those of objects that are there."""
    machine = Machine(release)
    guest = machine.guest()
    pool_id = guest.new_pool()
    assert guest.put(pool_id, 1, 0, page(0)) == 1
    machine.control(TMEMC_FREEZE, 1)
    assert guest.put(pool_id, 2, 0, page(0)) == -EFROZEN
    assert machine.counter("px", "P=CI:1") == (1 if release == "4.3" else 0)
    assert guest.put(pool_id, 1, 1, page(0)) == -EFROZEN
    assert machine.counter("px", "P=CI:1") == (2 if release == "4.3" else 1)


@both_releases
@both_ways
def test_restoring_over_a_page_takes_another_in_its_place(release: str, quirks: str) -> None:
    """QUIRK do_tmem_dup_put: a page restored over another is the caller's frame 0. Documented: the buffer."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    machine.hv.domain(0).memory.write_frame(0, page(7))
    pool_id = guest.new_pool(persistent=True)
    assert guest.put(pool_id, 1, 0, page(1)) == 1
    assert machine.restore_put(0, page(2)) == 1
    assert guest.get(pool_id, 1, 0) == (1, page(7 if quirks == "xen" else 2))


def test_a_partial_write_shows_nothing_of_what_was_in_the_frame() -> None:
    """QUIRK tmh_copy_from_client: in C what a partial write leaves is another domain's data; here it is zero."""
    machine = Machine()
    writer, former = machine.guest(1), machine.guest(2)
    pool_id, old_pool_id = writer.new_pool(), former.new_pool()
    former.put(old_pool_id, 1, 0, page(1))
    former.flush_page(old_pool_id, 1, 0)
    assert writer.write(pool_id, 1, 0, page(2), Part(8, 16, 4)) == 1
    rc, got = writer.get(pool_id, 1, 0)
    assert (rc, got) == (1, bytes(8) + page(2)[16:20] + bytes(4084))


@both_ways
def test_a_partial_write_that_is_compressed_stores_the_whole_frame(quirks: str) -> None:
    """QUIRK tmh_compress_from_client: it takes the whole page whatever part the guest wrote."""
    machine = Machine(options="tmem_compress=1", quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    assert guest.write(pool_id, 1, 0, soft_page(3), Part(8, 16, 4)) == 1
    assert guest.get(pool_id, 1, 0) == (1, soft_page(3))


@pytest.mark.parametrize(
    ("options", "part_alone"), [("", True), ("tmem_compress=1", False), ("tmem_dedup=1", False)]
)
def test_a_partial_read_may_give_the_whole_page(options: str, part_alone: bool) -> None:
    """QUIRK do_tmem_get: reading a part of a compressed or deduplicated page gives all of it."""
    machine = Machine(options=options)
    guest = machine.guest()
    pool_id = guest.new_pool(persistent=False)
    guest.put(pool_id, 1, 0, soft_page(1))
    part = Part(0, 0, 16)
    assert guest.read(pool_id, 1, 0, part) == (1, soft_page(1), part if part_alone else None)


@both_releases
@both_ways
@pytest.mark.parametrize("whole_object", [False, True])
def test_a_frozen_clients_flush_is_done(release: str, quirks: str, whole_object: bool) -> None:
    """QUIRK do_tmem_flush_page, do_tmem_flush_object: a frozen client's is done, and says -EFROZEN. Documented: 1."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    guest.put(pool_id, 1, 0, page(1))
    machine.control(TMEMC_FREEZE, 1)
    rc = guest.flush_object(pool_id, 1) if whole_object else guest.flush_page(pool_id, 1, 0)
    assert rc == (-EFROZEN if quirks == "xen" else 1)
    assert guest.get(pool_id, 1, 0) == (-EEMPTY, None)


@both_releases
@both_ways
def test_a_put_that_fails_during_a_live_save(release: str, quirks: str) -> None:
    """QUIRK pgp_delist: what fails in a live save 4.3 calls invalidated; 4.12 loses its descriptor. Documented: no."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool(persistent=True)
    guest.put(pool_id, 1, 0, page(1))
    machine.save_begin(live=True)
    machine.thaw()
    (_, before_bytes, _) = _pages_and_bytes(machine)
    assert guest.put(pool_id, 1, 5, None) == -EFAULT
    (_, after_bytes, _) = _pages_and_bytes(machine)
    reported = machine.next_invalidated()
    assert reported[0] == (1 if (release, quirks) == ("4.3", "xen") else 0)
    if reported[0]:
        assert reported == (1, pool_id, 1, 5)
    assert (after_bytes > before_bytes) is (quirks == "xen")
    machine.save_end()
    machine.hv.check()


def _pages_and_bytes(machine: Machine) -> tuple[int, int, int]:
    """The domain's pages, and the bytes used and held by its own allocator."""
    client = machine.client()
    return client.domain.tot_pages, client.persistent_pool.used_bytes, client.persistent_pool.total_bytes


@both_ways
def test_evicting_a_compressed_page_that_is_shared(quirks: str) -> None:
    """QUIRK tmem_evict: with deduplication it never lowers `cp` and `cb`. Documented: it does."""
    machine = Machine(options="tmem_dedup=1 tmem_compress=1", quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    for index in range(3):
        guest.put(pool_id, 1, index, soft_page(index))
    before = machine.counter("cp", "C=CI:1"), machine.counter("cb", "C=CI:1")
    machine.flush(1 << 20)
    assert machine.counter("Pc") == 0
    after = machine.counter("cp", "C=CI:1"), machine.counter("cb", "C=CI:1")
    assert before[0] == 3
    assert after == (before if quirks == "xen" else (0, 0))
    machine.hv.check()


@both_releases
@both_ways
def test_whose_page_goes_when_memory_is_short(release: str, quirks: str) -> None:
    """QUIRK client_over_quota: it is true of a client *below* its share. Documented: above it."""
    machine = Machine(release, quirks=quirks)
    small, large = machine.guest(1), machine.guest(2)
    for guest in (small, large):
        assert guest.new_pool() == 0
        machine.hv.set_weight(guest.domid, 100)
    for index in range(30):
        assert large.put(0, 1, index, page(0)) == 1
    for index in range(10):
        assert small.put(0, 1, index, page(0)) == 1
    leave_less_than_a_mebibyte(machine)
    assert small.put(0, 1, 10, page(0)) == 1
    assert machine.counter("Et") == 1
    # The caller is below its share. In Xen it gives its own oldest page; documented, the oldest of all goes.
    assert machine.client(1).eph_count == (10 if quirks == "xen" else 11)
    assert machine.client(2).eph_count == (30 if quirks == "xen" else 29)
    assert small.get(0, 1, 0)[0] == (0 if quirks == "xen" else 1)
    machine.hv.check()


@both_releases
@both_ways
def test_a_client_that_holds_exactly_its_share_is_not_over_quota(release: str, quirks: str) -> None:
    machine = Machine(release, quirks=quirks)
    for domid in (1, 2):
        guest = machine.guest(domid)
        assert guest.new_pool() == 0
        assert guest.put(0, 1, 0, page(domid)) == 1
        machine.hv.set_weight(domid, 7)
    leave_less_than_a_mebibyte(machine)
    assert machine.hv.domain(2).put(0, 1, 1, page(3)) == 1
    assert (machine.client(1).eph_count, machine.client(2).eph_count) == (0, 2)


def leave_less_than_a_mebibyte(machine: Machine) -> None:
    """So that the next put evicts a page first."""
    heap = machine.hv.heap
    machine.hv.alloc_host_pages(heap.avail + heap.tmem_list_pages - heap.midsize - 255)
    assert heap.memory_is_short()


@both_ways
def test_each_put_of_a_page_of_zeros_loses_its_frame(quirks: str) -> None:
    """QUIRK pcd_associate: with tze the frame of an all-zero page is neither kept nor freed. Documented: freed."""
    machine = Machine(options="tmem_dedup=1 tmem_tze=1", quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    for index in range(3):
        guest.put(pool_id, 1, index, bytes(PAGE_SIZE))
    guest.flush_object(pool_id, 1)
    assert machine.counter("Fc") == (3 if quirks == "xen" else 0)
    machine.hv.check()


@both_ways
def test_trimmed_pages_that_are_equal(quirks: str) -> None:
    """QUIRK pcd_associate: a trimmed content is taken for a compressed one and never matches. Documented: it does."""
    machine = Machine(options="tmem_dedup=1 tmem_tze=1", quirks=quirks)
    guest = machine.guest()
    pool_id = guest.new_pool()
    trimmed = b"trim" * 100 + bytes(3696)
    for index in range(3):
        assert guest.put(pool_id, 1, index, trimmed) == 1
    assert machine.counter("Sc") == (3 if quirks == "xen" else 1)
    assert machine.counter("Gd") == (0 if quirks == "xen" else 2)
    assert guest.get(pool_id, 1, 1) == (1, trimmed)
    machine.hv.check()


@both_ways
def test_who_pays_for_the_descriptors_of_restored_pages(quirks: str) -> None:
    """QUIRK tmh_persistent_pool_page_get: dom0 pays for descriptors of restored pages. Documented: the client."""
    machine = Machine(quirks=quirks)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    assert machine.restore_put(0, page(1)) == 1
    pages = machine.hv.domain(0).domain.tot_pages, guest.domain.tot_pages
    assert pages == ((1, 1) if quirks == "xen" else (0, 2))
    machine.hv.check()


def test_below_the_reserve_memory_looks_plentiful() -> None:
    """QUIRK total_free_pages: below the mid-size reserve memory looks plentiful. Documented: short."""
    evicted = {}
    for quirks in ("xen", "documented"):
        machine = Machine(frames=1280, quirks=quirks)
        guest = machine.guest()
        pool_id = guest.new_pool()
        for index in range(10):
            guest.put(pool_id, 1, index, page(0))
        # Orders 1 to 8 may use the reserve for mid-size allocations, which is 10 pages here.
        machine.hv.alloc_host_pages(2000, order=2)
        assert machine.hv.heap.avail < machine.hv.heap.midsize
        guest.put(pool_id, 1, 0, page(1))
        evicted[quirks] = machine.counter("Et")
    assert evicted["xen"] < evicted["documented"]


@both_releases
def test_a_domain_that_dies_gets_no_client(release: str) -> None:
    """QUIRK client_create: in 4.12 a dying domain gets a client that nothing points to; here it gets none."""
    machine = Machine(release)
    guest = machine.guest()
    assert guest.new_pool() == 0
    machine.hv.destroy_domain(1)
    assert guest.new_pool() == -ENOMEM
    assert guest.put(0, 1, 0, page(0)) == -ENOMEM
    assert machine.hv.tmem.clients == []
    machine.hv.check()

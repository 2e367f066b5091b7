# SPDX-License-Identifier: GPL-2.0-only
"""Saving, restoring and moving the persistent pages of a domain."""

from __future__ import annotations

import pytest

from hypervisor_model.public import tmem
from hypervisor_model.public.xen import EEXIST, EFAULT, EFROZEN, EINVAL, ENOENT, ENOMEM, EPERM
from tests.hypervisor_model.tmem.machine import (
    HANDLE_BYTES,
    Machine,
    both_releases,
    both_ways,
    page,
    soft_page,
)


def machine_with_pages(release: str, pages: int = 4, **boot: str) -> Machine:
    """Domain 1's pool 0 is persistent and holds compressed pages of object 1."""
    machine = Machine(release, options="tmem_compress=1", quirks=boot.get("quirks", "xen"))
    guest = machine.guest()
    guest.new_pool(persistent=True)
    for index in range(pages):
        assert guest.put(0, 1, index, soft_page(index)) == 1
    return machine


@pytest.mark.parametrize(
    ("release", "begun", "nobody", "ended"), [("4.3", 1, 0, -EPERM), ("4.12", 0, -ENOENT, -ENOENT)]
)
def test_beginning_and_ending(release: str, begun: int, nobody: int, ended: int) -> None:
    machine = machine_with_pages(release)
    machine.guest(2)
    assert machine.save_begin(77) == machine.save_begin(2) == nobody
    assert machine.save_end(77) == machine.save_end(2) == ended
    assert machine.save_begin() == begun
    assert machine.client().frozen
    assert machine.save_end() == 0
    assert not machine.client().frozen
    machine.hv.domain(1).destroy_pool(0)
    assert machine.save_begin() == nobody  # a client without pools


@both_releases
def test_a_client_that_was_frozen_stays_frozen(release: str) -> None:
    machine = machine_with_pages(release)
    machine.hv.set_frozen(1, True)
    machine.save_begin()
    machine.save_end()
    assert machine.client().frozen


@both_releases
def test_the_handle_names_the_page(release: str) -> None:
    machine = machine_with_pages(release, 0)
    guest = machine.hv.domain(1)
    guest.new_pool(persistent=True)
    oid = (3 << 128) + (2 << 64) + 1
    for index in (0, 77):
        guest.put(1, oid, index, soft_page(index))
    machine.save_begin()
    buffer = bytearray(HANDLE_BYTES + 4096)
    rc = machine.control(tmem.TMEMC_SAVE_GET_NEXT_PAGE, 1, len(buffer), pool_id=1, buffer=buffer)
    assert rc == 1
    assert buffer == tmem.TMEM_HANDLE.pack(1, 77, tmem.oid_to_bytes(oid)) + soft_page(77)


@both_releases
@pytest.mark.parametrize(("length", "answer"), [(0, -ENOMEM), (4096, -ENOMEM), (4127, -ENOMEM), (4128, 1)])
def test_the_room_that_a_page_needs(release: str, length: int, answer: int) -> None:
    machine = machine_with_pages(release)
    machine.save_begin()
    buffer = bytearray(8192)
    assert machine.control(tmem.TMEMC_SAVE_GET_NEXT_PAGE, 1, length, buffer=buffer) == answer


@both_releases
def test_a_page_into_a_buffer_that_is_not_there(release: str) -> None:
    machine = machine_with_pages(release)
    machine.save_begin()
    assert machine.control(tmem.TMEMC_SAVE_GET_NEXT_PAGE, 1, 4128) == -EFAULT
    machine.hv.check()


@both_releases
def test_ephemeral_pools_are_not_saved(release: str) -> None:
    machine = machine_with_pages(release)
    machine.hv.domain(1).new_pool()
    machine.hv.domain(1).put(1, 1, 0, soft_page(1))
    machine.save_begin()
    assert machine.next_page(pool_id=1)[0] == -EPERM


@both_releases
def test_invalidated_pages_are_told_once_round(release: str) -> None:
    """After the last one 0 comes, and then the first again."""
    machine = machine_with_pages(release)
    machine.save_begin(live=True)
    machine.thaw()
    guest = machine.hv.domain(1)
    assert machine.next_invalidated()[0] == 0
    for index in (2, 0):
        guest.flush_page(0, 1, index)
    told = [machine.next_invalidated() for _ in range(4)]
    assert told == [(1, 0, 1, 2), (1, 0, 1, 0), (0, 0, 0, 0), (1, 0, 1, 2)]
    guest.flush_page(0, 1, 3)
    assert machine.next_invalidated()[3] == 0
    assert machine.next_invalidated()[3] == 3
    machine.save_end()
    machine.hv.check()


@both_releases
def test_the_next_save_tells_its_own_invalidated_pages_from_the_start(release: str) -> None:
    machine = machine_with_pages(release)
    guest = machine.hv.domain(1)
    for gone in (1, 2):
        machine.save_begin(live=True)
        machine.thaw()
        guest.flush_page(0, 1, gone)
        assert machine.next_invalidated() == (1, 0, 1, gone)
        machine.save_end()
    machine.hv.check()


@both_releases
def test_without_a_live_save_nothing_is_noted(release: str) -> None:
    machine = machine_with_pages(release)
    machine.save_begin()
    machine.thaw()
    machine.hv.domain(1).flush_page(0, 1, 1)
    assert machine.next_invalidated()[0] == 0


@both_releases
def test_new_pages_are_taken_during_a_live_save(release: str) -> None:
    machine = machine_with_pages(release)
    machine.save_begin(live=True)
    guest = machine.hv.domain(1)
    assert guest.put(0, 1, 9, soft_page(9)) == -EFROZEN
    machine.thaw()
    assert guest.put(0, 1, 9, soft_page(9)) == 1


@pytest.mark.parametrize(
    ("release", "made", "again", "nobody"), [("4.3", 1, -EPERM, -EPERM), ("4.12", 0, -EEXIST, -ENOMEM)]
)
def test_restoring_begins_with_a_client(release: str, made: int, again: int, nobody: int) -> None:
    machine = Machine(release)
    machine.guest()
    assert machine.control(tmem.TMEMC_RESTORE_BEGIN, 1) == made
    assert machine.client().cli_id == 1
    assert machine.control(tmem.TMEMC_RESTORE_BEGIN, 1) == again
    assert machine.control(tmem.TMEMC_RESTORE_BEGIN, 77) == nobody


@both_releases
@both_ways
def test_a_domain_moves(release: str, quirks: str) -> None:
    """All of its pages arrive, as documented; in Xen all but the first of each pool."""
    source = machine_with_pages(release, 5, quirks=quirks)
    target = Machine(release, options="tmem_compress=1", quirks=quirks)
    guest = target.guest()
    target.control(tmem.TMEMC_RESTORE_BEGIN, 1)
    guest.new_pool(persistent=True)
    source.save_begin(live=True)
    source.thaw()
    for index, contents in source.saved_pages().items():
        assert target.restore_put(index, contents) == 1
    source.hv.domain(1).flush_page(0, 1, 3)
    while (invalidated := source.next_invalidated())[0] == 1:
        rc = target.control(tmem.TMEMC_RESTORE_FLUSH_PAGE, 1, 0, invalidated[3], oid=invalidated[2])
        assert rc == 1
    source.save_end()
    arrived = [index for index in range(5) if guest.get(0, 1, index) == (1, soft_page(index))]
    assert arrived == ([1, 2, 4] if quirks == "xen" else [0, 1, 2, 4])
    target.hv.check()


@pytest.mark.parametrize(("length", "answer"), [(4096, 1), (100, 1), (0, 1), (4097, -EINVAL)])
def test_4_3_restores_a_part_and_the_rest_is_zero(length: int, answer: int) -> None:
    machine = Machine("4.3")
    guest = machine.guest()
    guest.new_pool(persistent=True)
    assert machine.restore_put(0, page(1), length=length) == answer
    if answer == 1:
        assert guest.get(0, 1, 0) == (1, page(1)[:length] + bytes(4096 - length))


def test_4_12_restores_whole_pages_alone() -> None:
    machine = machine_with_pages("4.12")
    for length in (0, 100, 4095, 4097):
        assert machine.restore_put(0, soft_page(9), length=length) == -EINVAL


@both_releases
def test_a_frozen_client_is_given_no_pages(release: str) -> None:
    machine = machine_with_pages(release)
    machine.hv.set_frozen(1, True)
    assert machine.restore_put(9, soft_page(9)) == -EFROZEN


def test_what_4_3_tells_of_a_client_and_its_pools() -> None:
    machine = machine_with_pages("4.3")
    machine.hv.domain(1).new_pool()
    assert machine.control(tmem.TMEMC_SAVE_GET_VERSION, 1) == 1
    assert machine.control(tmem.TMEMC_SAVE_GET_MAXPOOLS, 1) == 16
    assert machine.control(tmem.TMEMC_SAVE_GET_CLIENT_FLAGS, 1) == 1
    machine.hv.set_frozen(1, True)
    machine.save_begin()
    assert machine.control(tmem.TMEMC_SAVE_GET_CLIENT_FLAGS, 1) == 3
    flags = [machine.control(tmem.TMEMC_SAVE_GET_POOL_FLAGS, 1, pool_id=pool_id) for pool_id in (0, 1, 2)]
    assert flags == [0x01000001, 0x01000000, -EPERM]
    assert machine.control(tmem.TMEMC_SAVE_GET_POOL_NPAGES, 1) == 4

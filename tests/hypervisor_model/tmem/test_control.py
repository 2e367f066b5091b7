# SPDX-License-Identifier: GPL-2.0-only
"""What dom0 asks for: freezing, settings, client info, pools by table, flushing; and who loses pages to whom."""

from __future__ import annotations

import pytest

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.xen import (
    E2BIG,
    EEMPTY,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOMEM,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from hypervisor_model.tmem.fill import Part
from tests.hypervisor_model.tmem.machine import ALL, Machine, both_releases, page, soft_page

POOL = 1 << 24
INFO_BYTES = sysctl.TMEM_POOL_INFO.size


def machine_with_clients(release: str, count: int = 2, *, frames: int = 4000, options: str = "") -> Machine:
    """Each client has a private ephemeral pool."""
    machine = Machine(release, frames=frames, options=options)
    for domid in range(1, count + 1):
        assert machine.guest(domid).new_pool() == 0
    return machine


@both_releases
@pytest.mark.parametrize(("cli_id", "frozen"), [(1, [True, False]), (2, [False, True]), (ALL, [True, True])])
def test_freeze_and_thaw(release: str, cli_id: int, frozen: list[bool]) -> None:
    machine = machine_with_clients(release)
    assert machine.control(tmem.TMEMC_FREEZE, cli_id) == 0
    assert [machine.client(domid).frozen for domid in (1, 2)] == frozen
    assert machine.control(tmem.TMEMC_THAW, cli_id) == 0
    assert [machine.client(domid).frozen for domid in (1, 2)] == [False, False]


@both_releases
def test_freezing_all_of_nobody_works(release: str) -> None:
    assert Machine(release).control(tmem.TMEMC_FREEZE) == 0


@pytest.mark.parametrize(
    ("command", "tag"),
    [(tmem.TMEMC_SET_WEIGHT, "ww"), (tmem.TMEMC_SET_CAP, "ca"), (tmem.TMEMC_SET_COMPRESS, "co")],
)
@pytest.mark.parametrize(("cli_id", "set_ones"), [(2, [0, 1]), (ALL, [1, 1])])
def test_settings_of_4_3(command: int, tag: str, cli_id: int, set_ones: list[int]) -> None:
    machine = machine_with_clients("4.3")
    assert machine.control(command, cli_id, 1) == 0
    assert [machine.counter(tag, f"C=CI:{domid}") for domid in (1, 2)] == set_ones
    assert machine.control(command, 77, 1) == -EPERM


def test_the_total_of_weights_follows_them() -> None:
    machine = machine_with_clients("4.3", 3)
    for domid, weight in ((1, 10), (2, 20), (1, 5), (3, 0)):
        machine.control(tmem.TMEMC_SET_WEIGHT, domid, weight)
    assert machine.hv.tmem.client_weight_total == 25
    machine.control(tmem.TMEMC_SET_WEIGHT, ALL, 4)
    assert machine.hv.tmem.client_weight_total == 12


def test_client_info_is_read_and_written_as_a_whole() -> None:
    machine = machine_with_clients("4.12")
    info = bytearray(sysctl.TMEM_CLIENT.pack(1, 16, 99, 2 | 1, 7))
    assert machine.control(sysctl.TMEM_OP_SET_CLIENT_INFO, 1, buffer=info) == 0
    assert (machine.client().weight, machine.client().compress, machine.client().frozen) == (7, True, False)
    machine.hv.set_frozen(1, True)
    machine.save_begin(1, live=True)
    got = bytearray(sysctl.TMEM_CLIENT.size)
    assert machine.control(sysctl.TMEM_OP_GET_CLIENT_INFO, 1, buffer=got) == 0
    assert sysctl.TMEM_CLIENT.unpack(got) == (1, 16, 1, 1 | 2 | 4, 7)
    assert machine.control(sysctl.TMEM_OP_SET_CLIENT_INFO, ALL, buffer=info) == 0
    assert machine.client(2).weight == 7
    assert machine.hv.tmem.client_weight_total == 14


@pytest.mark.parametrize(
    ("info", "answer"),
    [((2, 16, 0, 0, 5), -EOPNOTSUPP), ((0, 16, 0, 0, 5), -EOPNOTSUPP), ((1, 17, 0, 0, 5), -ERANGE)],
)
def test_client_info_that_is_refused(info: tuple[int, ...], answer: int) -> None:
    machine = machine_with_clients("4.12")
    packed = bytearray(sysctl.TMEM_CLIENT.pack(*info))
    assert machine.control(sysctl.TMEM_OP_SET_CLIENT_INFO, 1, buffer=packed) == answer
    assert machine.control(sysctl.TMEM_OP_SET_CLIENT_INFO, 77, buffer=packed) == -ENOENT
    assert machine.client().weight == 0
    assert Machine("4.12").control(sysctl.TMEM_OP_SET_CLIENT_INFO, ALL, buffer=packed) == -ENOENT


def entries(*pools: tuple[int, int, int, int, int]) -> bytearray:
    return bytearray(b"".join(sysctl.TMEM_POOL_INFO.pack(*pool) for pool in pools))


TABLES = [sysctl.TMEM_OP_GET_POOLS, sysctl.TMEM_OP_SET_POOLS, sysctl.TMEM_OP_SET_AUTH]


@pytest.mark.parametrize("command", TABLES)
@pytest.mark.parametrize(
    ("length", "answer"),
    [(1, -EINVAL), (31, -EINVAL), (33, -EINVAL), (17 * INFO_BYTES, -E2BIG), (0xFFFFFFE0, -E2BIG)],
)
def test_lengths_of_tables_of_pools_that_are_refused(command: int, length: int, answer: int) -> None:
    machine = machine_with_clients("4.12")
    assert machine.control(command, 1, length, buffer=bytearray(1024)) == answer


def test_pools_are_described_in_order_of_their_slots() -> None:
    machine = machine_with_clients("4.12")
    machine.hv.tmem.global_shared_auth = True
    guest = machine.hv.domain(1)
    guest.new_pool(persistent=True)
    guest.new_pool(shared=True, uuid=(5, 6))
    guest.put(1, 1, 0, page(1))
    guest.destroy_pool(0)
    buffer = bytearray(16 * INFO_BYTES)
    assert machine.control(sysctl.TMEM_OP_GET_POOLS, 1, len(buffer), buffer=buffer) == 2
    found = [sysctl.TMEM_POOL_INFO.unpack_from(buffer, at) for at in (0, INFO_BYTES)]
    assert found == [(POOL | 1, 1, 1, 0, 0), (POOL | 2, 2, 0, 5, 6)]
    assert machine.control(sysctl.TMEM_OP_GET_POOLS, 1, INFO_BYTES, buffer=bytearray(INFO_BYTES)) == 1
    assert (
        machine.control(sysctl.TMEM_OP_GET_POOLS, 1, 2 * INFO_BYTES, buffer=bytearray(INFO_BYTES)) == -EFAULT
    )
    for nobody in (77, ALL):
        assert machine.control(sysctl.TMEM_OP_GET_POOLS, nobody, len(buffer), buffer=buffer) == -EINVAL


def test_all_16_pools_can_be_made_and_described_at_once() -> None:
    machine = Machine("4.12")
    machine.guest()
    pools = entries(*((POOL | slot & 1, slot, 0, 0, 0) for slot in range(16)))
    assert machine.control(sysctl.TMEM_OP_SET_POOLS, 1, len(pools), buffer=pools) == 15
    got = bytearray(len(pools))
    assert machine.control(sysctl.TMEM_OP_GET_POOLS, 1, len(got), buffer=got) == 16
    assert got == pools


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        ((POOL, 3, 1, 0, 0), -EINVAL),  # it cannot be made with pages in it
        ((POOL, 0, 0, 0, 0), -EPERM),  # taken
        ((POOL, 16, 0, 0, 0), -EPERM),
        ((POOL, 0xFFFFFFFF, 0, 0, 0), -EPERM),
        ((0, 3, 0, 0, 0), -EPERM),  # no version
        ((POOL | 3, 3, 0, 1, 1), -EPERM),  # shared and persistent
    ],
)
def test_a_bad_entry_stops_and_what_was_made_stays(
    entry: tuple[int, int, int, int, int], answer: int
) -> None:
    machine = machine_with_clients("4.12")
    pools = entries((POOL, 7, 0, 0, 0), entry, (POOL, 8, 0, 0, 0))
    assert machine.control(sysctl.TMEM_OP_SET_POOLS, 1, len(pools), buffer=pools) == answer
    assert [slot for slot, pool in enumerate(machine.client().pools) if pool] == [0, 7]


@pytest.mark.parametrize("command", TABLES[1:])
def test_tables_make_the_client_of_a_domain_and_of_nobody_else(command: int) -> None:
    machine = Machine("4.12")
    machine.guest()
    pools = entries((POOL, 0, 0, 1, 1))
    assert machine.control(command, 77, len(pools), buffer=pools) == -ENOMEM
    assert machine.control(command, 1, len(pools), buffer=pools) >= 0
    assert [client.cli_id for client in machine.hv.tmem.clients] == [1]


# Memory.


@both_releases
def test_flush_gives_back_what_it_says(release: str) -> None:
    machine = machine_with_clients(release, 1)
    guest = machine.hv.domain(1)
    for index in range(20):
        guest.put(0, 1, index, page(index))
    free = machine.hv.heap.avail
    assert machine.flush(0) == 0
    assert machine.flush(4) == 4
    assert machine.flush(5) == 8  # rounded up to pages
    assert machine.hv.heap.avail == free + 3
    assert machine.counter("Et") == 3
    left = machine.flush(1 << 20)
    assert machine.counter("Pc") == 0
    assert machine.hv.heap.avail == 4000
    assert left == (4000 - free - 3) * 4
    assert machine.flush(1 << 20) == 0
    assert machine.flush(4, 1) == -EPERM
    machine.hv.check()


@both_releases
def test_flush_takes_the_oldest_pages_first(release: str) -> None:
    machine = machine_with_clients(release)
    order = [(domid, index) for index in range(3) for domid in (1, 2)]
    for domid, index in order:
        machine.hv.domain(domid).put(0, 1, index, page(index))
    machine.flush(4 * 4)
    left = [(domid, index) for domid, index in order if machine.hv.domain(domid).get(0, 1, index)[0] == 1]
    assert left == order[4:]


@both_releases
def test_persistent_pages_are_never_flushed(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    guest.put(0, 1, 0, page(1))
    assert machine.flush(1 << 20) == 0
    assert guest.get(0, 1, 0) == (1, page(1))


@both_releases
def test_freeable_counts_whole_mebibytes_of_what_can_be_had(release: str) -> None:
    machine = machine_with_clients(release, 1)
    guest = machine.hv.domain(1)
    for index in range(300):
        guest.put(0, 1, index, page(0))
    assert machine.control(tmem.TMEMC_QUERY_FREEABLE_MB) == machine.hv.heap.freeable // 256 == 1
    assert machine.hv.heap.freeable >= 300
    machine.flush(1 << 20)
    assert machine.control(tmem.TMEMC_QUERY_FREEABLE_MB) == 0


@both_releases
@pytest.mark.parametrize("order", [0, 9])
def test_the_hypervisor_takes_pages_back_for_itself(release: str, order: int) -> None:
    machine = machine_with_clients(release, 1, frames=900)
    guest = machine.hv.domain(1)
    for index in range(300):
        guest.put(0, 1, index, page(0))
    taken = machine.hv.alloc_host_pages(900, order)
    machine.hv.check()
    if order:
        assert taken == 1
        assert machine.counter("Et") == 0
    else:
        assert taken == 900
        assert machine.counter("Pc") == 0
        assert machine.counter("Rt") >= 300
    machine.hv.free_host_pages(10_000)
    machine.hv.check()


@both_releases
def test_a_large_allocation_is_counted_as_an_attempt_and_gets_nothing(release: str) -> None:
    machine = machine_with_clients(release, 1)
    guest = machine.hv.domain(1)
    for index in range(600):
        guest.put(0, 1, index, page(0))
    heap = machine.hv.heap
    machine.hv.alloc_host_pages(heap.avail - heap.midsize)
    assert machine.hv.alloc_host_pages(1, order=9) == 0
    assert {tag: machine.counter(tag) for tag in ("Ra", "Rt", "Et")} == {"Ra": 1, "Rt": 0, "Et": 0}


@both_releases
def test_an_allocation_gives_up_after_ten_evictions_that_yield_nothing(release: str) -> None:
    """Compressed pages share frames: evicting ten empties none."""
    machine = machine_with_clients(release, 1, frames=800, options="tmem_compress=1")
    guest = machine.hv.domain(1)
    for index in range(300):
        assert guest.put(0, 1, index, soft_page(index)) == 1
    heap = machine.hv.heap
    assert machine.hv.alloc_host_pages(heap.avail - heap.midsize) > 700
    assert machine.hv.alloc_host_pages(1) == 0
    assert (machine.counter("Et"), machine.counter("Rx")) == (10, 10)
    assert any(machine.hv.alloc_host_pages(1) for _ in range(5))  # the frame is empty after some more
    machine.hv.check()


def test_a_shared_content_has_a_second_chance() -> None:
    machine = machine_with_clients("4.3", 1, options="tmem_dedup=1")
    guest = machine.hv.domain(1)
    for index, number in enumerate((1, 1, 2, 3)):
        guest.put(0, 1, index, page(number))
    machine.flush(4)
    there = [guest.get(0, 1, index)[0] for index in range(4)]
    assert there == [1, 1, 0, 1]  # the two that share went to the young end, the next oldest was taken


@pytest.mark.parametrize(("first_byte", "evicted", "stored"), [(b"x", 0, False), (b"y", 1, True)])
def test_no_content_is_evicted_to_make_room_for_one_that_begins_alike(
    first_byte: bytes, evicted: int, stored: bool
) -> None:
    """They are in the same tree, which is locked meanwhile."""
    whole = Part(0, 0, 4096)
    machine = machine_with_clients("4.3", 2, frames=15, options="tmem_dedup=1")
    guest = machine.hv.domain(1)
    for index in range(2):
        guest.write(0, 2, index, b"x" + page(900 + index)[1:], whole)
    for index in range(20):
        if machine.hv.heap.avail + machine.hv.heap.tmem_list_pages:
            guest.write(0, 1, index, first_byte + page(index)[1:], whole)
    # Now a frame, and room for a descriptor, but not for a content's: that has gone to an entry of a share list.
    guest.flush_page(0, 1, 3)
    machine.hv.domain(2).new_pool(shared=True, uuid=(0, 1))
    assert guest.write(0, 2, 9, b"x" + page(950)[1:], whole) == 1
    assert machine.counter("Et") == evicted
    assert guest.get(0, 2, 9)[0] == int(stored)
    machine.hv.check()


@both_releases
def test_a_put_without_memory_at_all(release: str) -> None:
    """4.12 answers -ENOMEM before the put is counted; 4.3 tries."""
    machine = machine_with_clients(release, 1, frames=100)
    machine.hv.alloc_host_pages(100)
    guest = machine.hv.domain(1)
    assert guest.put(0, 1, 0, page(1)) == -ENOMEM
    assert machine.counter("pt", "P=CI:1") == (1 if release == "4.3" else 0)
    assert guest.get(0, 1, 0) == (-EEMPTY, None)
    machine.hv.check()

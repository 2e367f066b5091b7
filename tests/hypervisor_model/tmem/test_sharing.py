# SPDX-License-Identifier: GPL-2.0-only
"""Pools that several domains share: who may join, whose pages they are, and what goes when one leaves."""

from __future__ import annotations

import pytest

from hypervisor_model.public.tmem import TMEM_AUTH, TMEM_OP_BYTES, TMEM_OP_CREAT
from hypervisor_model.public.xen import EINVAL, ENOMEM, EPERM, HYPERCALL_TMEM_OP
from hypervisor_model.tmem.client import NO_UUID
from hypervisor_model.tmem.obj import destruction_order, oid_hash
from hypervisor_model.tmem.shared import authorise
from tests.hypervisor_model.tmem.machine import ALL, Machine, both_releases, both_ways, page

UUID = (7, 8)


def machine_of_sharers(release: str, count: int = 2, **boot: str) -> Machine:
    """Each has the pool in slot 0."""
    machine = Machine(release, quirks=boot.get("quirks", "xen"))
    machine.hv.tmem.global_shared_auth = True
    for domid in range(1, count + 1):
        assert machine.guest(domid).new_pool(shared=True, uuid=UUID) == 0
    return machine


@both_releases
def test_what_one_puts_the_other_gets_and_it_stays(release: str) -> None:
    machine = machine_of_sharers(release)
    first, second = machine.hv.domain(1), machine.hv.domain(2)
    assert first.put(0, 1, 0, page(1)) == 1
    assert second.get(0, 1, 0) == second.get(0, 1, 0) == first.get(0, 1, 0) == (1, page(1))
    assert second.put(0, 1, 0, page(2)) == 1
    assert first.get(0, 1, 0) == (1, page(2))
    assert second.flush_page(0, 1, 0) == 1
    assert first.put(0, 1, 1, page(3)) == 1
    assert first.get(0, 1, 0) == (0, None)
    machine.hv.check()


@both_releases
def test_pages_belong_to_the_owner_whoever_put_them(release: str) -> None:
    machine = machine_of_sharers(release)
    machine.hv.domain(2).put(0, 1, 0, page(1))
    assert (machine.client(1).eph_count, machine.client(2).eph_count) == (1, 0)


@both_releases
def test_a_get_makes_a_page_young(release: str) -> None:
    machine = machine_of_sharers(release)
    guest = machine.hv.domain(1)
    for index in range(3):
        guest.put(0, 1, index, page(index))
    guest.get(0, 1, 0)
    machine.flush(4)
    assert [guest.get(0, 1, index)[0] for index in range(3)] == [1, 0, 1]


@both_releases
@both_ways
def test_who_leaves_takes_the_objects_that_it_used_last(release: str, quirks: str) -> None:
    machine = machine_of_sharers(release, quirks=quirks)
    owner, other = machine.hv.domain(1), machine.hv.domain(2)
    for oid in (1, 2, 3):
        owner.put(0, oid, 0, page(oid))
    other.get(0, 2, 0)
    other.destroy_pool(0)
    assert [owner.get(0, oid, 0)[0] for oid in (1, 2, 3)] == [1, 0, 1]
    machine.hv.check()


@both_releases
def test_a_put_makes_the_owner_the_last_user(release: str) -> None:
    """Also that of a sharer: C takes the client of the pool, not the caller."""
    machine = machine_of_sharers(release)
    owner, other = machine.hv.domain(1), machine.hv.domain(2)
    other.put(0, 1, 0, page(1))
    other.destroy_pool(0)
    assert owner.get(0, 1, 0) == (1, page(1))


@both_releases
@both_ways
def test_the_next_sharer_becomes_the_owner(release: str, quirks: str) -> None:
    machine = machine_of_sharers(release, 3, quirks=quirks)
    first, second, third = (machine.hv.domain(domid) for domid in (1, 2, 3))
    first.put(0, 1, 0, page(1))
    third.get(0, 1, 0)
    assert first.destroy_pool(0) == 1
    assert second.get(0, 1, 0) == (1, page(1))
    assert [machine.client(domid).eph_count for domid in (1, 2, 3)] == [0, 1, 0]
    assert "SC:2,SC:3," in machine.listing()
    machine.hv.check()
    machine.hv.destroy_domain(2)
    machine.hv.check()
    machine.hv.destroy_domain(3)
    assert machine.counter("Pc") == 0
    assert machine.hv.tmem.shared_pools == [None] * 16
    machine.hv.check()


@both_releases
def test_there_are_16_shared_pools_in_all(release: str) -> None:
    machine = machine_of_sharers(release, 0)
    first, second = machine.guest(1), machine.guest(2)
    assert [first.new_pool(shared=True, uuid=(n, 0)) for n in range(10)] == list(range(10))
    assert [second.new_pool(shared=True, uuid=(n, 1)) for n in range(7)] == [*range(6), -EPERM]
    assert second.new_pool(shared=True, uuid=(3, 0)) == 6
    first.destroy_pool(9)
    assert second.new_pool(shared=True, uuid=(99, 1)) == 7
    machine.hv.check()


def shared_pools(machine: Machine, domid: int) -> list[bool]:
    return [pool.shared for pool in machine.client(domid).pools if pool is not None]


@pytest.mark.parametrize(
    ("release", "options", "required"),
    [
        ("4.3", "", False),
        ("4.3", "tmem_shared_auth=1", True),
        ("4.12", "", True),
        ("4.12", "tmem_shared_auth=0", True),
    ],
)
def test_who_may_not_share_gets_a_private_pool(release: str, options: str, required: bool) -> None:
    machine = Machine(release, options=options)
    guest = machine.guest()
    assert guest.new_pool(shared=True, uuid=UUID) == 0
    assert shared_pools(machine, 1) == [not required]
    assert authorise(machine.hv.tmem, machine.client(), 1, UUID, 1) == 1
    assert guest.new_pool(shared=True, uuid=UUID) == 1
    assert guest.new_pool(shared=True, uuid=(9, 9)) == 2
    assert shared_pools(machine, 1) == ([False, True, False] if required else [True, True, True])


@both_releases
def test_the_uuid_of_all_ones_means_none(release: str) -> None:
    machine = machine_of_sharers(release, 0)
    machine.guest().new_pool(shared=True, uuid=NO_UUID)
    assert shared_pools(machine, 1) == [False]


@both_releases
def test_a_client_has_room_for_16_uuids(release: str) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    client, tmem = machine.client(), machine.hv.tmem
    assert [authorise(tmem, client, 1, (n, 1), 1) for n in range(17)] == [1] * 16 + [-ENOMEM]
    assert authorise(tmem, client, 1, (99, 1), 0) == 0
    assert authorise(tmem, client, 1, (5, 1), 0) == 1
    assert authorise(tmem, client, 1, (99, 1), 1) == 1
    assert authorise(tmem, None, 77, (1, 1), 1) == -EINVAL


@pytest.mark.parametrize("allow", [0, 1])
def test_4_3_authorises_all_clients_at_once(allow: int) -> None:
    machine = Machine("4.3", options="tmem_shared_auth=1")
    guest = machine.guest()
    argument = TMEM_OP_CREAT.pack(TMEM_AUTH, 0, *UUID, allow, ALL).ljust(TMEM_OP_BYTES, b"\0")
    assert machine.hv.hypercall(0, HYPERCALL_TMEM_OP, argument) == 1
    guest.new_pool(shared=True, uuid=UUID)
    assert shared_pools(machine, 1) == [bool(allow)]


@both_releases
def test_objects_are_destroyed_bucket_by_bucket_and_the_larger_first(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    buckets: dict[int, list[int]] = {}
    for oid in range(600):
        buckets.setdefault(oid_hash(oid), []).append(oid)
        guest.put(0, oid, 0, page(0))
    pool = machine.client().pools[0]
    assert pool is not None
    expected = [oid for bucket in sorted(buckets) for oid in reversed(buckets[bucket])]
    assert any(len(oids) > 1 for oids in buckets.values())
    assert [obj.oid for obj in destruction_order(pool)] == expected


def test_the_words_of_an_object_id_are_mixed_before_hashing() -> None:
    assert oid_hash(5) == oid_hash(5 << 64) == oid_hash(5 << 128)
    assert oid_hash((1 << 128) + (1 << 64)) == oid_hash(0)
    assert len({oid_hash(oid) for oid in range(1000)}) > 200

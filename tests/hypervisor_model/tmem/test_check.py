# SPDX-License-Identifier: GPL-2.0-only
"""The recount notices: each counter that lies, each list or tree that does not hold what it should, is found."""

from __future__ import annotations

from typing import Any

import pytest

from hypervisor_model.tmem.pool import Pool
from tests.hypervisor_model.tmem.machine import Machine, both_releases, page, soft_page


def machine_with_something_of_everything(release: str) -> Machine:
    machine = Machine(release, options="tmem_dedup=1 tmem_compress=1")
    machine.hv.tmem.global_shared_auth = True
    guest = machine.guest()
    guest.new_pool()
    guest.new_pool(persistent=True)
    guest.new_pool(shared=True, uuid=(1, 2))
    for pool_id in range(3):
        for index in (0, 1, 64):
            assert guest.put(pool_id, 5, index, soft_page(index)) == 1
            assert guest.put(pool_id, 6, index, page(index)) == 1
    machine.hv.check()
    return machine


def pool_of(machine: Machine, pool_id: int) -> Pool:
    pool = machine.client().pools[pool_id]
    assert pool is not None
    return pool


@both_releases
@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize(
    "counter",
    [
        "tmem.pgp_count",
        "tmem.obj_count",
        "tmem.rtree_node_count",
        "tmem.persistent_frames",
        "tmem.in_flight",
        "heap.data_pages",
        "heap.mempool_pages",
        "client.eph_count",
        "pool.pgp_count",
        "pool.obj_count",
        "pool.objnode_count",
    ],
)
def test_a_counter_that_lies(release: str, counter: str, by: int) -> None:
    machine = machine_with_something_of_everything(release)
    owner, name = counter.split(".")
    owners: dict[str, Any] = {
        "tmem": machine.hv.tmem,
        "heap": machine.hv.heap,
        "client": machine.client(),
        "pool": pool_of(machine, 1),
    }
    setattr(owners[owner], name, getattr(owners[owner], name) + by)
    with pytest.raises(AssertionError):
        machine.hv.check()


@pytest.mark.parametrize("name", ["pcd_count", "persistent_pgps"])
def test_other_counters_that_lie(name: str) -> None:
    machine = machine_with_something_of_everything("4.3")
    setattr(machine.hv.tmem, name, getattr(machine.hv.tmem, name) - 1)
    with pytest.raises(AssertionError):
        machine.hv.check()


@both_releases
@pytest.mark.parametrize("pool_id", [0, 1, 2])
def test_a_page_that_is_on_no_list(release: str, pool_id: int) -> None:
    machine = machine_with_something_of_everything(release)
    pgp = pool_of(machine, pool_id).objs[5].lookup(1)
    assert pgp is not None
    pgp.list_prev.list_next = pgp.list_next
    pgp.list_next.list_prev = pgp.list_prev
    with pytest.raises(AssertionError):
        machine.hv.check()


@both_releases
@pytest.mark.parametrize("pool_id", [0, 1, 2])
def test_a_page_that_is_in_no_object(release: str, pool_id: int) -> None:
    machine = machine_with_something_of_everything(release)
    pool_of(machine, pool_id).objs[5].delete(1)
    with pytest.raises(AssertionError):
        machine.hv.check()


@both_releases
def test_an_object_that_is_empty(release: str) -> None:
    machine = machine_with_something_of_everything(release)
    pool = pool_of(machine, 1)
    pool.objs[5].destroy(lambda pgp: None)
    with pytest.raises(AssertionError):
        machine.hv.check()


@both_releases
def test_a_page_that_has_lost_its_data(release: str) -> None:
    machine = machine_with_something_of_everything(release)
    pgp = pool_of(machine, 1).objs[5].lookup(0)
    assert pgp is not None
    pgp.data = None
    with pytest.raises(AssertionError):
        machine.hv.check()


@both_releases
def test_bytes_that_were_freed_and_are_still_in_use(release: str) -> None:
    machine = machine_with_something_of_everything(release)
    pool = pool_of(machine, 1)
    pgp = pool.objs[6].lookup(1)
    assert pgp is not None
    pool.mempool.release(pgp)
    with pytest.raises(AssertionError):
        machine.hv.check()


def test_a_content_counted_once_too_often() -> None:
    machine = machine_with_something_of_everything("4.3")
    content = next(iter(machine.hv.tmem.contents.compressed.values()))
    content.ref_count += 1
    with pytest.raises(AssertionError):
        machine.hv.check()

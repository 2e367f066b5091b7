# SPDX-License-Identifier: GPL-2.0-only
"""Sequences in which the model once gave another answer than Xen's C; the answers here are the C's.

Operations and results are those of the recorded traces (tests/conformance).
"""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.tmem.control import client_named
from hypervisor_model.tmem.evict import client_over_quota
from tests.conformance.pages import page_from_spec
from tests.conformance.replay import Replayer

Operation = dict[str, Any]

EPHEMERAL = 1 << 24
PERSISTENT = 1 << 24 | 1
OID = [5, 0, 0]


def perform(release: str, operations: list[Operation], *, frames: int = 400, options: str = "") -> list[Any]:
    """The result of each operation on a host just booted."""
    hypervisor = Hypervisor(release=release, frames=frames, command_line=f"tmem=1 {options}")
    replayer = Replayer(hypervisor)
    results = [replayer.perform(operation) for operation in operations]
    hypervisor.check()
    return results


def domain(domid: int = 0, **more: Any) -> Operation:
    created = {"op": "dom_create", "d": domid, "max_pages": 60, "tot_pages": 0, "gfns": 8, "priv": domid == 0}
    return created | {"ro": [], "unmapped": []} | more


def new_pool(flags: int, domid: int = 0) -> Operation:
    return {"op": "new_pool", "d": domid, "flags": flags, "uuid": [0, 0]}


def put(index: int, page: str, gfn: int = 1, **more: Any) -> Operation:
    put_op = {"op": "put", "d": 0, "pool": 0, "oid": OID, "index": index, "gfn": gfn, "page": page}
    return put_op | more


def get(index: int, gfn: int = 2) -> Operation:
    return {"op": "get", "d": 0, "pool": 0, "oid": OID, "index": index, "gfn": gfn}


def listing(release: str, *, short: int = 0) -> Operation:
    """A long listing of all clients, unless `short` is what stands where the long form is asked for."""
    if release == "4.3":
        return {"op": "ctl", "d": 0, "subop": 4, "cli": 0xFFFF, "arg1": 20000, "arg2": short or 1}
    return {"op": "sysctl", "d": 0, "subop": 4, "cli": 0xFFFF, "len": 20000, "arg": short or 1}


def restore_put(release: str, index: int, page: str, **more: Any) -> Operation:
    operation = {"d": 0, "subop": 32, "cli": 0, "pool": 0, "oid": OID, "page": page}
    if release == "4.3":
        return operation | {"op": "ctl", "arg1": 4096, "arg2": index} | more
    return operation | {"op": "sysctl", "len": 4096, "arg": index} | more


def crc(page: str) -> int:
    return zlib.crc32(page_from_spec(page))


@pytest.mark.parametrize(("release", "long"), [("4.3", False), ("4.12", True)])
def test_a_listing_is_short_in_4_3_where_a_multiple_of_256_asks_for_the_long_form(
    release: str, long: bool
) -> None:
    *_, result = perform(release, [domain(), listing(release, short=256)])
    assert result["out"].startswith("G=Tt:")
    assert (",Ec:" in result["out"]) is long


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_restoring_over_a_page_that_is_there_copies_the_callers_frame_0_instead_of_the_buffer(
    release: str,
) -> None:
    *_, restored, got = perform(
        release,
        [
            domain(),
            new_pool(PERSISTENT),
            put(0, "r:1"),
            put(1, "r:2", gfn=0),
            restore_put(release, 0, "r:3"),
            get(0),
        ],
    )
    assert restored == {"ret": 1}
    assert got == {"ret": 1, "crc": crc("r:2")}


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_restoring_over_a_page_that_is_there_drops_it_if_the_caller_has_no_frame_0(release: str) -> None:
    *_, restored, got = perform(
        release,
        [
            domain(unmapped=[0]),
            new_pool(PERSISTENT),
            put(0, "r:1"),
            put(1, "r:2"),
            restore_put(release, 0, "r:3"),
            get(0),
        ],
    )
    assert restored == {"ret": -14}
    assert got == {"ret": 0, "crc": crc("z")}


def test_restoring_a_page_in_4_12_without_a_buffer_takes_the_callers_frame_0() -> None:
    *_, restored, got = perform(
        "4.12",
        [
            domain(),
            new_pool(PERSISTENT),
            put(1, "r:2", gfn=0),
            restore_put("4.12", 0, "z", nobuf=1),
            get(0),
        ],
    )
    assert restored == {"ret": 1}
    assert got == {"ret": 1, "crc": crc("r:2")}


def test_a_put_that_gets_no_tree_node_during_a_live_save_of_4_3_is_invalidated_without_its_index() -> None:
    """The domain may own 15 pages: 14 of data, and one whose last room the 15th object and descriptor take."""
    *_, failed, invalidated = perform(
        "4.3",
        [
            domain(max_pages=15),
            new_pool(PERSISTENT),
            *(put(0, "r:1", oid=[number, 0, 0]) for number in range(10, 24)),
            {"op": "ctl", "d": 0, "subop": 10, "cli": 0, "arg1": 1},
            {"op": "ctl", "d": 0, "subop": 0, "cli": 0},
            put(9, "r:1"),
            {"op": "ctl", "d": 0, "subop": 20, "cli": 0, "arg1": 32},
        ],
    )
    assert failed == {"ret": -12}
    assert invalidated == {"ret": 1, "handle": [0, 0xFFFFFFFF, OID]}


def test_a_put_that_fails_during_a_live_save_of_4_12_leaves_its_descriptor_behind() -> None:
    *_, failed, _ended, counted = perform(
        "4.12",
        [
            domain(max_pages=3),
            new_pool(PERSISTENT),
            *(put(index, "r:1") for index in range(2)),
            {"op": "sysctl", "d": 0, "subop": 10, "cli": 0, "arg": 1},
            {"op": "sysctl", "d": 0, "subop": 0, "cli": 0},
            put(2, "r:1"),
            {"op": "sysctl", "d": 0, "subop": 21, "cli": 0},
            {"op": "stat", "of": [0]},
        ],
    )
    assert failed == {"ret": -12}
    # 16 for the page's end, object 144, node 544, three descriptors of 96.
    assert counted["doms"] == {"0": [3, 992, 10448]}


def test_saving_the_only_page_of_a_pool_in_4_12_without_a_buffer_faults_before_it_is_sought() -> None:
    """Only then does the head of the list, taken for a page, count as a get that missed."""
    next_page = {"op": "sysctl", "d": 0, "subop": 19, "cli": 0, "pool": 0, "len": 8192}
    *_, faulted, listed = perform(
        "4.12",
        [domain(), new_pool(PERSISTENT), put(0, "r:1"), next_page | {"nobuf": 1}, listing("4.12")],
    )
    assert faulted == {"ret": -14}
    assert ",gs:0,gt:0," in listed["out"]


@pytest.mark.parametrize(("release", "control"), [("4.3", "ctl"), ("4.12", "sysctl")])
def test_the_pages_of_a_pool_destroyed_during_a_live_save_stay(release: str, control: str) -> None:
    begin = {"op": control, "d": 0, "subop": 10, "cli": 0, "arg1": 1, "arg": 1}
    *_, destroyed, listed = perform(
        release,
        [
            domain(),
            new_pool(EPHEMERAL),
            put(0, "r:1"),
            begin,
            {"op": "destroy_pool", "d": 0, "pool": 0},
            listing(release),
        ],
    )
    assert destroyed == {"ret": 1}
    assert ",Ec:1,Em:1,Oc:1," in listed["out"]


@pytest.mark.parametrize(("own_pages", "over"), [(-3, True), (-2, False)])
def test_the_share_of_a_client_with_fewer_pages_than_none_is_rounded_towards_zero(
    own_pages: int, over: bool
) -> None:
    """In C 10000 / -3 is -3333; the total of the weights is an int, here -1567, and -156700 / 47 is -3334."""
    hypervisor = Hypervisor(release="4.12", frames=400)
    hypervisor.create_domain(1).new_pool()
    client = client_named(hypervisor.tmem, 1)
    assert client is not None
    hypervisor.tmem.pgp_count = 100
    hypervisor.tmem.client_weight_total = (1 << 32) - 1567
    client.weight = 47
    client.eph_count = own_pages
    assert client_over_quota(hypervisor.tmem, client) is over

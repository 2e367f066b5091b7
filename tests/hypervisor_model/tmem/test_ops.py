# SPDX-License-Identifier: GPL-2.0-only
"""What guests ask for: pools and pages, limits, refusals, and the counters of each."""

from __future__ import annotations

from typing import Any

import pytest

from hypervisor_model.public.xen import (
    EEMPTY,
    EFAULT,
    EFROZEN,
    EINVAL,
    ENODEV,
    ENOMEM,
    ENOSYS,
    EPERM,
)
from hypervisor_model.tmem.fill import Part
from tests.hypervisor_model.tmem.machine import Machine, both_releases, page

MOST_OID = (1 << 192) - 1
MOST_INDEX = (1 << 32) - 1


@both_releases
def test_a_domain_has_16_pools(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    assert [guest.new_pool() for _ in range(17)] == [*range(16), -EPERM]
    assert guest.destroy_pool(5) == 1
    assert guest.destroy_pool(5) == 0
    assert guest.new_pool(persistent=True) == 5


VERSION = 1 << 24
REFUSED = {
    "no version": 0,
    "version 2": 2 << 24,
    "larger pages": VERSION | 1 << 4,
    "precompressed": VERSION | 4,
    "a reserved bit": VERSION | 1 << 8,
    "another reserved bit": VERSION | 1 << 23,
}


@both_releases
@pytest.mark.parametrize("flags", REFUSED.values(), ids=REFUSED.keys())
def test_flags_of_a_pool_that_are_refused(release: str, flags: int) -> None:
    machine = Machine(release)
    guest = machine.guest()
    assert guest.new_pool_of(flags, (0, 0)) == -EPERM
    assert guest.new_pool_of(VERSION, (0, 0)) == 0
    assert machine.counter("Te") == 1


@pytest.mark.parametrize(("release", "answer"), [("4.3", 0), ("4.12", -EPERM)])
def test_shared_and_persistent_at_once_is_refused_by_4_12(release: str, answer: int) -> None:
    assert Machine(release).guest().new_pool(shared=True, persistent=True, uuid=(1, 2)) == answer


@both_releases
def test_pool_ids_that_name_no_pool(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    assert guest.new_pool() == 0
    for pool_id in (-1, 1, 15, 16, 1 << 20, -(1 << 31)):
        assert guest.put(pool_id, 1, 0, page(0)) == -ENODEV
        assert guest.get(pool_id, 1, 0) == (-ENODEV, None)
        assert guest.flush_page(pool_id, 1, 0) == -ENODEV
        assert guest.flush_object(pool_id, 1) == -ENODEV
        assert guest.destroy_pool(pool_id) == 0
    machine.hv.check()


@both_releases
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("oid", [0, 1, MOST_OID, (7, 8, 9)], ids=str)
@pytest.mark.parametrize("index", [0, 63, 64, MOST_INDEX])
def test_the_ends_of_object_ids_and_indexes(release: str, exact: bool, oid: Any, index: int) -> None:
    machine = Machine(release, exact=exact)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    assert guest.put(0, oid, index, page(1)) == 1
    assert guest.get(0, oid, index) == (1, page(1))
    machine.hv.check()
    assert guest.flush_page(0, oid, index) == 1
    assert guest.get(0, oid, index) == (-EEMPTY, None)
    machine.hv.check()


BAD_PUTS: list[tuple[Any, Any, Any, str]] = [
    (1, 0, b"short", "4096 bytes, not 5"),
    (1, 0, bytes(4097), "4096 bytes, not 4097"),
    (1, 0, "text", "bytes, not str"),
    (1, 0, 7, "bytes, not int"),
    (1, MOST_INDEX + 1, bytes(4096), "does not fit in 32 bits"),
    (1, -1, bytes(4096), "does not fit in 32 bits"),
    (MOST_OID + 1, 0, bytes(4096), "does not fit in 192 bits"),
    (-1, 0, bytes(4096), "does not fit in 192 bits"),
    ((1, 2), 0, bytes(4096), "three words of 64 bits"),
    ((1, 2, 1 << 64), 0, bytes(4096), "three words of 64 bits"),
    ("name", 0, bytes(4096), "three words of 64 bits"),
]


@both_releases
@pytest.mark.parametrize(("oid", "index", "contents", "says"), BAD_PUTS)
def test_a_put_that_no_struct_could_carry_changes_nothing(
    release: str, oid: Any, index: Any, contents: Any, says: str
) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 1, 0, page(1))
    before = machine.hv.stat([1]), machine.counter("Pc"), machine.counter("pt", "P=CI:1")
    # Compiled, the model finds by itself that what is no object id at all has the wrong type.
    with pytest.raises((ValueError, TypeError), match=f"{says}|object expected; got"):
        guest.put(0, oid, index, contents)
    assert (machine.hv.stat([1]), machine.counter("Pc"), machine.counter("pt", "P=CI:1")) == before
    machine.hv.check()


@both_releases
def test_pages_are_taken_as_any_bytes_and_kept_as_they_were(release: str) -> None:
    guest = Machine(release).guest()
    guest.new_pool(persistent=True)
    mutable = bytearray(page(1))
    assert guest.put(0, 1, 0, mutable) == 1
    mutable[0] ^= 0xFF
    assert guest.get(0, 1, 0) == (1, page(1))
    assert guest.put(0, 1, 0, memoryview(page(2))) == 1
    assert guest.get(0, 1, 0) == (1, page(2))


@both_releases
@pytest.mark.parametrize("persistent", [False, True])
def test_a_get_takes_the_page_only_from_a_private_ephemeral_pool(release: str, persistent: bool) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool(persistent=persistent)
    guest.put(0, 1, 0, page(1))
    guest.put(0, 1, 1, page(2))
    assert guest.get(0, 1, 0) == (1, page(1))
    assert guest.get(0, 1, 0) == ((1, page(1)) if persistent else (0, None))
    counted = {tag: machine.counter(tag, "C=CI:1") for tag in ("Ge", "Pp", "Gp")}
    assert counted == ({"Ge": 0, "Pp": 2, "Gp": 2} if persistent else {"Ge": 1, "Pp": 0, "Gp": 0})


@both_releases
def test_a_get_from_an_empty_pool_is_an_error_and_a_miss_is_none(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    assert guest.get(0, 1, 0) == (-EEMPTY, None)
    guest.put(0, 1, 0, page(1))
    assert guest.get(0, 1, 1) == (0, None)
    assert guest.get(0, 2, 0) == (0, None)
    assert machine.counter("Te") == 1
    assert machine.counter("gt", "P=CI:1") == 2


@both_releases
def test_every_counter_of_a_pool(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    for index in (0, 1, 64, 5000):
        assert guest.put(0, 1, index, page(index)) == 1
    assert guest.put(0, 2, 0, page(9)) == 1
    assert guest.put(0, 2, 0, page(8)) == 1  # replaced
    assert guest.put(0, 2, 0, None) == -EFAULT  # the old page goes
    assert guest.get(0, 1, 1)[0] == 1
    assert guest.get(0, 1, 2)[0] == 0
    assert guest.flush_page(0, 1, 64) == 1
    assert guest.flush_page(0, 1, 65) == 1
    assert guest.flush_object(0, 3) == 1
    tags = (
        "Pc",
        "Pm",
        "Oc",
        "Om",
        "Nc",
        "Nm",
        "ps",
        "pt",
        "pd",
        "pr",
        "px",
        "gs",
        "gt",
        "fs",
        "ft",
        "os",
        "ot",
    )
    found = {tag: machine.counter(tag, "P=CI:1") for tag in tags}
    # Three levels for index 5000: root, two inner nodes, two leaves; a leaf less without index 64.
    assert found == {
        "Pc": 2, "Pm": 5, "Oc": 1, "Om": 2, "Nc": 5, "Nm": 6, "ps": 6, "pt": 7, "pd": 1, "pr": 1,
        "px": 0, "gs": 1, "gt": 2, "fs": 1, "ft": 2, "os": 0, "ot": 1,
    }  # fmt: skip
    assert guest.flush_object(0, 1) == 1
    assert machine.counter("Nc", "P=CI:1") == 0
    assert machine.counter("os", "P=CI:1") == 1
    assert machine.counter("Cf") == 1
    machine.hv.check()


@both_releases
def test_operations_that_left_the_abi(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    gone = release == "4.12"
    assert guest.new_page(0, 1, 0) == (-ENOSYS if gone else 1)
    assert guest.write(0, 1, 1, page(1), Part(0, 0, 16)) == (-ENOSYS if gone else 1)
    assert guest.read(0, 1, 0, Part(0, 0, 16))[0] == (-ENOSYS if gone else 1)
    assert guest.other(0) == (-ENOSYS if gone else 0)
    assert guest.other(3) == -ENODEV
    machine.hv.check()


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        (Part(0, 0, 4096), 1),
        (Part(4000, 0, 96), 1),
        (Part(4000, 0, 97), -EINVAL),
        (Part(0, 4000, 97), -EINVAL),
        (Part(0, 0, 4097), -EINVAL),
        (Part(4097, 0, 0), -EINVAL),
        (Part(0, 4097, 0), -EINVAL),
        (Part(4096, 4096, 0), 1),
    ],
    ids=lambda value: str(vars_of(value)) if isinstance(value, Part) else None,
)
def test_parts_of_a_page_that_may_be_written_and_read(part: Part, answer: int) -> None:
    machine = Machine()
    guest = machine.guest()
    guest.new_pool(persistent=True)
    assert guest.write(0, 1, 0, page(1), part) == answer
    guest.put(0, 1, 1, page(2))
    assert guest.read(0, 1, 1, part)[0] == answer
    machine.hv.check()


def vars_of(part: Part) -> tuple[int, int, int]:
    return part.tmem_offset, part.pfn_offset, part.length


@both_releases
def test_put_put_get_and_flush_get(release: str) -> None:
    guest = Machine(release).guest()
    guest.new_pool()
    guest.put(0, 1, 0, page(1))
    guest.put(0, 1, 0, page(2))
    assert guest.get(0, 1, 0) == (1, page(2))
    guest.put(0, 1, 0, page(3))
    guest.flush_page(0, 1, 0)
    assert guest.get(0, 1, 0) == (-EEMPTY, None)


@both_releases
def test_freeze_and_thaw(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool(persistent=True)
    guest.put(0, 1, 0, page(1))
    machine.hv.set_frozen(1, True)
    assert guest.put(0, 1, 1, page(1)) == -EFROZEN
    assert guest.get(0, 1, 0) == (1, page(1))
    machine.hv.set_frozen(1, False)
    assert guest.put(0, 1, 1, page(1)) == 1


@both_releases
def test_a_domain_pays_for_its_persistent_pages_and_gets_none_beyond_its_limit(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest(max_pages=10, tot_pages=4)
    guest.new_pool(persistent=True)
    results = [guest.put(0, 1, index, page(index)) for index in range(7)]
    # One page of the six is for descriptors.
    assert results == [1] * 5 + [-ENOMEM] * 2
    assert guest.domain.tot_pages == 10
    assert machine.counter("px", "P=CI:1") == 2
    machine.hv.set_max_pages(1, 11)
    assert guest.put(0, 1, 6, page(6)) == 1
    machine.hv.check()
    assert machine.hv.destroy_domain(1) == 0


@both_releases
def test_without_exact_accounting_only_data_takes_pages(release: str) -> None:
    machine = Machine(release, exact=False)
    guest = machine.guest(max_pages=6)
    guest.new_pool()
    guest.new_pool(persistent=True)
    for index in range(5):
        assert guest.put(0, 1, index, page(index)) == 1
    assert machine.hv.heap.avail + machine.hv.heap.tmem_list_pages == 4000 - 5
    assert [guest.put(1, 1, index, page(index)) for index in range(7)] == [1] * 6 + [-ENOMEM]
    machine.hv.check()
    assert machine.hv.destroy_domain(1) == 0
    machine.flush(1 << 20)
    assert machine.hv.heap.avail == 4000

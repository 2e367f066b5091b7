# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of Xen in control operations and listings, and what a host does that follows tmem's documents."""

from __future__ import annotations

import re

import pytest

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.xen import ENODEV, ENOMEM, EPERM, HYPERCALL_TMEM_OP
from hypervisor_model.tmem.client import NO_UUID
from tests.hypervisor_model.tmem.machine import ADDRESS, ALL, Machine, both_releases, both_ways, page

POOL = 1 << 24
INFO_BYTES = sysctl.TMEM_POOL_INFO.size


@both_releases
@both_ways
@pytest.mark.parametrize("cli_id", [1, ALL])
def test_destroy(release: str, quirks: str, cli_id: int) -> None:
    """QUIRK tmemc_freeze_pools: DESTROY only thaws. Documented: it destroys the pools."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    guest.new_pool()
    guest.new_pool(persistent=True)
    guest.put(1, 1, 0, page(1))
    machine.hv.set_frozen(1, True)
    assert machine.control(tmem.TMEMC_DESTROY, cli_id) == 0
    assert "fr:0" in machine.listing(1)
    kept = quirks == "xen"
    assert guest.get(1, 1, 0) == ((1, page(1)) if kept else (-ENODEV, None))
    assert machine.client().nr_pools == (2 if kept else 0)
    machine.hv.check()


@both_ways
def test_flush_of_the_largest_amounts(quirks: str) -> None:
    """QUIRK tmemc_flush_mem: the largest amounts wrap round to nothing. Documented: all there is."""
    machine = Machine(quirks=quirks)
    guest = machine.guest()
    guest.new_pool()
    for index in range(4):
        guest.put(0, 1, index, page(index))
    machine.flush(0xFFFFFFFF)
    assert machine.counter("Et") == (0 if quirks == "xen" else 4)


@both_ways
@pytest.mark.parametrize(("options", "changes"), [("", True), ("tmem_dedup=1", False)])
def test_compression_is_switched_unless_pages_are_deduplicated(
    quirks: str, options: str, changes: bool
) -> None:
    """QUIRK tmemc_set_var: with deduplication compression can't be changed, and the answer is 0 all the same."""
    machine = Machine(options=options, quirks=quirks)
    machine.guest().new_pool()
    assert machine.control(tmem.TMEMC_SET_COMPRESS, 1, 1) == 0
    assert machine.client().compress is changes


def test_client_info_of_nobody() -> None:
    """QUIRK tmemc_get_client_info: who is no client gets defaults and no error."""
    machine = Machine("4.12")
    machine.guest()
    for domid in (1, 999, ALL):
        info = bytearray(sysctl.TMEM_CLIENT.size)
        assert machine.control(sysctl.TMEM_OP_GET_CLIENT_INFO, domid, buffer=info) == 0
        assert sysctl.TMEM_CLIENT.unpack(info) == (1, 16, 0, 0, 0)


@both_ways
def test_pools_of_a_client_with_room_for_none(quirks: str) -> None:
    """QUIRK tmemc_get_pool: it writes one even if there is room for none. Documented: none."""
    machine = Machine("4.12", quirks=quirks)
    machine.guest().new_pool()
    infos = bytearray(b"\xff" * INFO_BYTES)
    assert machine.control(sysctl.TMEM_OP_GET_POOLS, 1, 0, buffer=infos) == (1 if quirks == "xen" else 0)
    assert (infos != b"\xff" * INFO_BYTES) is (quirks == "xen")


def pools_of(*ids: int) -> bytearray:
    return bytearray(b"".join(sysctl.TMEM_POOL_INFO.pack(POOL, number, 0, 0, 0) for number in ids))


@pytest.mark.parametrize(("ids", "answer"), [((0,), 1), ((5,), 5), ((0, 3, 2), 2), ((2, 0), 2)])
def test_the_answer_of_set_pools(ids: tuple[int, ...], answer: int) -> None:
    """QUIRK tmemc_set_pools: it answers with the id of the last pool, or how many there are if that is 0."""
    machine = Machine("4.12")
    machine.guest()
    infos = pools_of(*ids)
    assert machine.control(sysctl.TMEM_OP_SET_POOLS, 1, len(infos), buffer=infos) == answer
    assert [slot for slot, pool in enumerate(machine.client().pools) if pool] == sorted(ids)


def auth(machine: Machine, cli_id: int, *uuids: tuple[int, int], allow: bool = True) -> int:
    flags = tmem.TMEM_POOL_SHARED | (sysctl.TMEM_POOL_FLAG_AUTH if allow else 0)
    infos = bytearray(b"".join(sysctl.TMEM_POOL_INFO.pack(flags, 0, 0, *uuid) for uuid in uuids))
    return machine.control(sysctl.TMEM_OP_SET_AUTH, cli_id, len(infos), buffer=infos)


def test_the_answer_of_set_auth() -> None:
    """QUIRK tmemc_auth_pools: 1 if the last uuid was found, else how many were given; not how many were done."""
    machine = Machine("4.12")
    machine.guest()
    assert auth(machine, 1, (1, 1), (2, 2), (3, 3)) == 1
    assert machine.client().shared_auth_uuids[:3] == [(1, 1), (2, 2), (3, 3)]
    assert auth(machine, 1, (1, 1), (9, 9), allow=False) == 2
    assert machine.client().shared_auth_uuids[:3] == [NO_UUID, (2, 2), (3, 3)]


@both_ways
def test_authorising_all_clients_at_once(quirks: str) -> None:
    """QUIRK tmemc_auth_pools: in 4.12 all clients at once can't be authorised. Documented: they can."""
    machine = Machine("4.12", quirks=quirks)
    machine.guest().new_pool()
    assert auth(machine, ALL, (1, 1)) == (-ENOMEM if quirks == "xen" else 1)
    assert machine.hv.tmem.global_shared_auth is (quirks == "documented")


def test_a_uuid_authorised_twice_takes_two_places_in_4_12() -> None:
    """QUIRK tmemc_shared_pool_auth: 4.12 gives a uuid that it has already another place."""
    new = Machine("4.12")
    new.guest()
    assert [auth(new, 1, (7, 7)) for _ in range(17)] == [1] * 16 + [-ENOMEM]
    old = Machine("4.3")
    old.guest().new_pool()
    results = [old_auth(old, caller=0, cli_id=1, uuid=(7, 7)) for _ in range(17)]
    assert results == [1] * 17
    assert old.client().shared_auth_uuids.count((7, 7)) == 1


def old_auth(machine: Machine, *, caller: int, cli_id: int, uuid: tuple[int, int], allow: int = 1) -> int:
    argument = tmem.TMEM_OP_CREAT.pack(tmem.TMEM_AUTH, 0, *uuid, allow, cli_id).ljust(56, b"\0")
    return machine.hv.hypercall(caller, HYPERCALL_TMEM_OP, argument)


@pytest.mark.parametrize("strict", [False, True])
def test_any_guest_may_authorise_and_make_pools_for_any_other(strict: bool) -> None:
    """QUIRK do_tmem_op: in 4.3 any guest may authorise any other, and make pools for it, without strict_privilege."""
    machine = Machine(strict_privilege=strict)
    machine.guest(1)
    machine.guest(2).new_pool()
    assert old_auth(machine, caller=1, cli_id=2, uuid=(1, 1)) == (-EPERM if strict else 1)
    assert restore_new(machine, caller=1, cli_id=2, pool_id=5) == (-EPERM if strict else 5)
    assert old_auth(machine, caller=0, cli_id=2, uuid=(2, 2)) == 1
    assert restore_new(machine, caller=0, cli_id=2, pool_id=6) == 6


def restore_new(machine: Machine, *, caller: int, cli_id: int, pool_id: int, flags: int = POOL) -> int:
    argument = tmem.TMEM_OP_CREAT.pack(tmem.TMEM_RESTORE_NEW, pool_id, 0, 0, flags, cli_id).ljust(56, b"\0")
    return machine.hv.hypercall(caller, HYPERCALL_TMEM_OP, argument)


@both_releases
@both_ways
def test_the_freeze_key(release: str, quirks: str) -> None:
    """QUIRK tmem_freeze_all: a key handler that is bound to no key. It freezes all, and thaws all the next time."""
    machine = Machine(release, quirks=quirks)
    machine.guest(1).new_pool()
    machine.guest(2).new_pool()
    machine.hv.set_frozen(2, True)
    machine.hv.toggle_freeze_key()
    assert [machine.client(domid).frozen for domid in (1, 2)] == [True, True]
    machine.hv.toggle_freeze_key()
    assert [machine.client(domid).frozen for domid in (1, 2)] == [False, False]


@both_releases
@both_ways
def test_the_weight_of_a_client_that_is_gone(release: str, quirks: str) -> None:
    """QUIRK client_free: the weight of a client that is gone stays in the total. Documented: it goes."""
    machine = Machine(release, quirks=quirks)
    for domid in (1, 2):
        machine.guest(domid).new_pool()
        machine.hv.set_weight(domid, 10 * domid)
    machine.hv.destroy_domain(2)
    assert machine.hv.tmem.client_weight_total == (30 if quirks == "xen" else 10)


# Listings.


@pytest.mark.parametrize(
    ("release", "quirks", "use_long", "long"),
    [
        ("4.3", "xen", 256, False),
        ("4.3", "xen", 257, True),
        ("4.3", "documented", 256, True),
        ("4.12", "xen", 256, True),
    ],
)
def test_what_asks_for_a_long_listing(release: str, quirks: str, use_long: int, long: bool) -> None:
    """QUIRK tmemc_list: the flag is a char in 4.3, so that 256 asks for the short form."""
    machine = Machine(release, quirks=quirks)
    buffer = bytearray(4096)
    assert machine.control(tmem.TMEMC_LIST, ALL, 4096, use_long, buffer=buffer) == 0
    assert (b",Ec:" in buffer) is long


@both_releases
@both_ways
@pytest.mark.parametrize(("length", "lines"), [(0, "CCPT"), (100, "CCT")])
def test_a_listing_into_too_short_a_buffer(release: str, quirks: str, length: int, lines: str) -> None:
    """QUIRK tmemc_list: once past the end the room left is taken for plenty. Documented: nothing beyond the end."""
    machine = Machine(release, quirks=quirks)
    for domid in (1, 2):
        machine.guest(domid).new_pool()
    text = machine.listing(length=length)
    if quirks == "documented":
        assert len(text) < max(length, 1)
    else:
        # No G= line, and no P= line of the first client; once the C= lines have passed the end there is no end.
        assert "".join(line[0] for line in text.splitlines()) == lines


@both_ways
def test_the_line_of_a_client_without_room(quirks: str) -> None:
    """QUIRK tmemc_list_client: a C= line is written whatever room there is. Documented: only if it fits."""
    machine = Machine(quirks=quirks)
    machine.guest().new_pool()
    text = machine.listing(1, length=10)
    assert text.startswith("C=CI:1") is (quirks == "xen")
    assert "P=" not in text


@both_releases
@both_ways
def test_the_slot_of_a_shared_pool(release: str, quirks: str) -> None:
    """QUIRK tmemc_list_client: a shared pool has its owner's slot in all clients' lines. Documented: the client's."""
    machine = Machine(release, quirks=quirks)
    owner, sharer = machine.guest(1), machine.guest(2)
    machine.hv.tmem.global_shared_auth = True
    assert owner.new_pool(shared=True, uuid=(7, 8)) == 0
    assert sharer.new_pool() == 0
    assert sharer.new_pool(shared=True, uuid=(7, 8)) == 1
    lines = [line for line in machine.listing(2, use_long=False).splitlines() if "PT:ES" in line]
    assert lines == [f"P=CI:2,PI:{0 if quirks == 'xen' else 1},PT:ES,U0:7,U1:8"]


@both_releases
@both_ways
@pytest.mark.parametrize("use_long", [False, True])
def test_the_lines_of_several_shared_pools(release: str, quirks: str, use_long: bool) -> None:
    """QUIRK tmemc_list_shared: from the second on S= lines are garbage. Documented: one for each pool."""
    machine = Machine(release, quirks=quirks)
    guest = machine.guest()
    machine.hv.tmem.global_shared_auth = True
    for number in range(3):
        assert guest.new_pool(shared=True, uuid=(number, 5)) == number
    text = machine.listing(use_long=use_long)
    shared = text[text.index("S=") : text.index("C=")].splitlines()
    end = r",Pc:0,.*ot:0" if use_long else ""
    whole = [
        line
        for number, line in enumerate(shared)
        if re.fullmatch(rf"S=SI:{number},PT:ES,U0:{number},U1:5,SC:1{end}", line)
    ]
    assert len(whole) == (1 if quirks == "xen" else 3)
    if quirks == "documented":
        assert whole == shared
    elif not use_long:
        assert shared == ["S=SI:0,PT:ES,U0:0,U1:5,SC:1"] * 3


@pytest.mark.parametrize(
    ("release", "last"), [("4.3", r"T=Gn:0,Gt:0,Gx:0,Gm:2147483647,.*dm:2147483647"), ("4.12", "T")]
)
def test_the_last_line_of_a_listing(release: str, last: str) -> None:
    """QUIRK tmemc_list_global_perf: with no cycles to list 4.12 cuts the "=" off instead of the last comma."""
    *_, line = Machine(release).listing().splitlines()
    assert re.fullmatch(last, line)


# The questions of a save (4.3).


def test_a_uuid_that_cannot_be_copied() -> None:
    """QUIRK tmemc_save_subop: SAVE_GET_POOL_UUID answers 0 also if the buffer is not there."""
    machine = Machine()
    machine.hv.tmem.global_shared_auth = True
    machine.guest().new_pool(shared=True, uuid=(5, 6))
    assert machine.control(tmem.TMEMC_SAVE_GET_POOL_UUID, 1) == 0
    buffer = bytearray(16)
    assert machine.control(tmem.TMEMC_SAVE_GET_POOL_UUID, 1, buffer=buffer) == 0
    assert buffer == (5).to_bytes(8, "little") + (6).to_bytes(8, "little")


@pytest.mark.parametrize(("weight", "answer"), [(0, 0), (7, 7), (0x80000000, -0x80000000), (0xFFFFFFFF, -2)])
def test_a_weight_as_a_result(weight: int, answer: int) -> None:
    """QUIRK tmemc_save_subop: the largest weight and cap are told from an error by calling them -2."""
    machine = Machine()
    machine.guest().new_pool()
    machine.control(tmem.TMEMC_SET_WEIGHT, 1, weight)
    machine.control(tmem.TMEMC_SET_CAP, 1, weight)
    assert machine.control(tmem.TMEMC_SAVE_GET_CLIENT_WEIGHT, 1) == answer
    assert machine.control(tmem.TMEMC_SAVE_GET_CLIENT_CAP, 1) == answer


def test_the_address_is_where_buffers_lie() -> None:
    """A handle into the middle of a buffer works; one beyond it faults."""
    machine = Machine("4.12")
    machine.guest().new_pool()
    info = bytearray(64)
    machine.hv.set_weight(1, 9)
    assert machine.hv.hypercall(0, 35, client_info_at(machine, ADDRESS + 8), {ADDRESS: info}) == 0
    assert sysctl.TMEM_CLIENT.unpack_from(info, 8)[4] == 9
    assert machine.hv.hypercall(0, 35, client_info_at(machine, ADDRESS + 60), {ADDRESS: info}) == -14


def client_info_at(machine: Machine, address: int) -> bytes:
    version = machine.hv.release.sysctl_interface_version
    return sysctl.XEN_SYSCTL_TMEM.pack(
        24, version, sysctl.TMEM_OP_GET_CLIENT_INFO, 0, 1, 0, 0, 0, bytes(24), address
    )

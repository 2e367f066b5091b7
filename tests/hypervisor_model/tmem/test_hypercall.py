# SPDX-License-Identifier: GPL-2.0-only
"""The binary door: structs decoded as Xen does, who may call what, and that typed calls do the same."""

from __future__ import annotations

import struct

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import sysctl, tmem, xen
from hypervisor_model.public.tmem import oid_to_bytes
from hypervisor_model.tmem.guest_ops import Guest
from tests.hypervisor_model.tmem.machine import ADDRESS, ALL, Machine, both_releases, page

POOL = 1 << 24
CONTROLS = {
    name: value
    for name, value in vars(tmem).items()
    if name.startswith("TMEMC_") and name != "TMEMC_RESTORE_FLUSH_PAGE"
}


def creat(
    cmd: int, *, pool_id: int = 0, uuid: tuple[int, int] = (0, 0), flags: int = POOL, arg1: int = 0
) -> bytes:
    return tmem.TMEM_OP_CREAT.pack(cmd, pool_id, *uuid, flags, arg1).ljust(tmem.TMEM_OP_BYTES, b"\0")


def gen(cmd: int, *, pool_id: int = 0, oid: int = 1, index: int = 0, gfn: int = 0) -> bytes:
    return tmem.TMEM_OP_GEN.pack(cmd, pool_id, oid_to_bytes(oid), index, 0, 0, 0, gfn)


class ByBytes:
    """A guest that speaks in structs, with the interface of one that speaks in calls."""

    def __init__(self, hv: Hypervisor, guest: Guest) -> None:
        self._hv, self._guest = hv, guest

    def _call(self, argument: bytes) -> int:
        return self._hv.hypercall(self._guest.domid, xen.HYPERCALL_TMEM_OP, argument)

    def new_pool(self, *, persistent: bool) -> int:
        return self._call(creat(tmem.TMEM_NEW_POOL, flags=POOL | persistent))

    def put(self, pool_id: int, oid: int, index: int, contents: bytes) -> int:
        self._guest.memory.write_frame(1, contents)
        return self._call(gen(tmem.TMEM_PUT_PAGE, pool_id=pool_id, oid=oid, index=index, gfn=1))

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        rc = self._call(gen(tmem.TMEM_GET_PAGE, pool_id=pool_id, oid=oid, index=index, gfn=2))
        return rc, self._guest.memory.read_frame(2) if rc == 1 else None

    def flush_page(self, pool_id: int, oid: int, index: int) -> int:
        return self._call(gen(tmem.TMEM_FLUSH_PAGE, pool_id=pool_id, oid=oid, index=index))

    def flush_object(self, pool_id: int, oid: int) -> int:
        return self._call(gen(tmem.TMEM_FLUSH_OBJECT, pool_id=pool_id, oid=oid))

    def destroy_pool(self, pool_id: int) -> int:
        return self._call(gen(tmem.TMEM_DESTROY_POOL, pool_id=pool_id))


def life(guest: Guest | ByBytes) -> list[object]:
    """Something of everything."""
    results: list[object] = [guest.new_pool(persistent=False), guest.new_pool(persistent=True)]
    for pool_id in (0, 1, 2, 15, 16, -1):
        for oid in (1, (1 << 191) + 5):
            for index in (0, 64, (1 << 32) - 1):
                results += [
                    guest.put(pool_id, oid, index, page(index & 3)),
                    guest.put(pool_id, oid, 7, page(7)),
                ]
                results += [guest.get(pool_id, oid, index), guest.get(pool_id, oid, 99)]
                results += [guest.flush_page(pool_id, oid, 7), guest.flush_page(pool_id, oid, 99)]
        results += [guest.flush_object(pool_id, 1), guest.flush_object(pool_id, 2)]
    results += [guest.destroy_pool(pool_id) for pool_id in (1, 1, 16, -1)]
    return results


@both_releases
def test_structs_and_typed_calls_do_the_same(release: str) -> None:
    typed, binary = Machine(release), Machine(release)
    results = [life(typed.guest()), life(ByBytes(binary.hv, binary.guest()))]
    assert results[0] == results[1]
    assert typed.listing() == binary.listing()
    assert typed.hv.stat([1]) == binary.hv.stat([1])


@both_releases
def test_structs_that_are_not_there_or_too_short(release: str) -> None:
    machine = Machine(release)
    machine.guest()
    whole = creat(tmem.TMEM_NEW_POOL)
    for length in (0, 1, 4, 55):
        assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, whole[:length]) == -xen.EFAULT
    assert machine.hv.tmem.clients == []
    assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, whole + bytes(100)) == 0
    before = 5 if release == "4.12" else 6  # with the listing itself, which is such an operation in 4.3
    assert (machine.counter("Tt"), machine.counter("Te")) == (before, 4)


@both_releases
def test_every_truncated_control_struct_faults_and_changes_nothing(release: str) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    number = xen.HYPERCALL_TMEM_OP if release == "4.3" else xen.HYPERCALL_SYSCTL
    if release == "4.3":
        whole = tmem.TMEM_OP_CTRL.pack(tmem.TMEM_CONTROL, 0, tmem.TMEMC_FREEZE, 1, 0, 0, bytes(24), 0)
    else:
        whole = sysctl.XEN_SYSCTL_TMEM.pack(24, 0x12, tmem.TMEMC_FREEZE, 0, 1, 0, 0, 0, bytes(24), 0)
    for length in range(len(whole)):
        assert machine.hv.hypercall(0, number, whole[:length]) == -xen.EFAULT, length
    assert not machine.client().frozen
    assert machine.hv.hypercall(0, number, whole) == 0
    assert machine.client().frozen


@pytest.mark.parametrize(
    ("release", "cmd"), [("4.3", 10), ("4.3", 11), ("4.3", 999), ("4.12", 999), ("4.12", 3)]
)
def test_commands_that_are_unknown(release: str, cmd: int) -> None:
    machine = Machine(release)
    guest = machine.guest()
    unknown = gen(cmd)
    assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, unknown) == -xen.ENODEV  # no pool 0
    guest.new_pool()
    assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, unknown) == (0 if release == "4.3" else -xen.ENOSYS)


@pytest.mark.parametrize("cmd", [tmem.TMEM_CONTROL, tmem.TMEM_AUTH, tmem.TMEM_RESTORE_NEW])
@pytest.mark.parametrize("caller", [0, 1])
def test_commands_that_left_for_sysctl(cmd: int, caller: int) -> None:
    machine = Machine("4.12")
    machine.guest()
    assert machine.hv.hypercall(caller, xen.HYPERCALL_TMEM_OP, creat(cmd)) == -xen.EOPNOTSUPP


@both_releases
def test_a_command_of_control_that_is_unknown(release: str) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    for command in (22, 34, 99, 0xFFFFFFFF):
        assert machine.control(command, 1) == -xen.EPERM


@pytest.mark.parametrize("number", [0, 12, 36, 39, -1])
def test_hypercalls_that_are_not_modelled(number: int) -> None:
    machine = Machine()
    assert machine.hv.hypercall(0, number, bytes(64)) == -xen.ENOSYS


def test_a_hypercall_of_nobody() -> None:
    with pytest.raises(KeyError):
        Machine().hv.hypercall(7, xen.HYPERCALL_TMEM_OP, bytes(56))


@both_releases
@pytest.mark.parametrize("version", [0, 9, 0xB, 0x11, 0x13, 0xFFFFFFFF])
def test_another_interface_version(release: str, version: int) -> None:
    machine = Machine(release)
    machine.guest()
    argument = struct.pack("<III", sysctl.XEN_SYSCTL_TMEM_OP, version, tmem.TMEMC_THAW).ljust(136, b"\0")
    for caller in (0, 1):
        assert machine.hv.hypercall(caller, xen.HYPERCALL_SYSCTL, argument) == -xen.EACCES


def test_sysctl_of_4_3_has_no_tmem() -> None:
    argument = struct.pack("<III", sysctl.XEN_SYSCTL_TMEM_OP, 0xA, tmem.TMEMC_THAW).ljust(136, b"\0")
    assert Machine("4.3").hv.hypercall(0, xen.HYPERCALL_SYSCTL, argument) == -xen.ENOSYS


@pytest.mark.parametrize("pad", [1, 2, 0x80000000])
def test_padding_has_to_be_zero(pad: int) -> None:
    machine = Machine("4.12")
    argument = sysctl.XEN_SYSCTL_TMEM.pack(24, 0x12, tmem.TMEMC_THAW, 0, ALL, 0, 0, pad, bytes(24), 0)
    assert machine.hv.hypercall(0, xen.HYPERCALL_SYSCTL, argument) == -xen.EINVAL


@both_releases
@pytest.mark.parametrize("command", CONTROLS.values(), ids=CONTROLS.keys())
@pytest.mark.parametrize("target", [0, 1, ALL])
def test_control_is_for_the_privileged_alone(release: str, command: int, target: int) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    before = machine.listing(1)
    assert machine.control(command, target, 32, 1, buffer=bytearray(8192), caller=1) == -xen.EPERM
    assert machine.listing(1) == before


def test_a_domain_may_be_privileged_by_name() -> None:
    machine = Machine("4.12")
    machine.guest(5, privileged=True).new_pool()
    machine.guest(6, privileged=False)
    assert machine.control(tmem.TMEMC_FREEZE, 5, caller=5) == 0
    assert machine.control(tmem.TMEMC_FREEZE, 5, caller=6) == -xen.EPERM


@both_releases
@pytest.mark.parametrize(
    ("cli_id", "means"), [(0x10001, [1]), (0xFFFF0002, [2]), (0xFFFFFFFF, [1, 2]), (0x1FFFF, [1, 2])], ids=str
)
def test_client_ids_are_cut_to_16_bits(release: str, cli_id: int, means: list[int]) -> None:
    machine = Machine(release)
    for domid in (1, 2):
        machine.guest(domid).new_pool()
    assert machine.control(tmem.TMEMC_FREEZE, cli_id) == 0
    assert [domid for domid in (1, 2) if machine.client(domid).frozen] == means


@both_releases
@pytest.mark.parametrize("cli_id", [3, 1000, xen.DOMID_SELF, 0xFFFE])
def test_client_ids_that_name_nobody(release: str, cli_id: int) -> None:
    machine = Machine(release)
    machine.guest(3)  # a domain, and no client yet
    for command in (tmem.TMEMC_FREEZE, tmem.TMEMC_THAW, tmem.TMEMC_DESTROY, tmem.TMEMC_LIST):
        assert machine.control(command, cli_id, 4096, buffer=bytearray(4096)) == -xen.EPERM


@both_releases
@pytest.mark.parametrize("pool_id", [-1, 3, 16, 1 << 30, -(1 << 31)])
def test_pool_ids_that_name_no_pool(release: str, pool_id: int) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    room = bytearray(8192)
    for command in (
        tmem.TMEMC_SAVE_GET_NEXT_PAGE,
        tmem.TMEMC_RESTORE_PUT_PAGE,
        tmem.TMEMC_RESTORE_FLUSH_PAGE,
        tmem.TMEMC_SAVE_GET_POOL_NPAGES,
    ):
        assert machine.control(command, 1, 4096, pool_id=pool_id, buffer=room) == -xen.EPERM
    machine.hv.check()


@both_releases
def test_a_listing_without_a_buffer_is_still_no_error(release: str) -> None:
    machine = Machine(release)
    machine.guest().new_pool()
    assert machine.control(tmem.TMEMC_LIST, ALL, 4096) == 0
    assert machine.control(tmem.TMEMC_LIST, 1, 4096) == 0


INFO = sysctl.TMEM_CLIENT.size


@pytest.mark.parametrize(
    "command",
    [
        sysctl.TMEM_OP_GET_CLIENT_INFO,
        sysctl.TMEM_OP_SET_CLIENT_INFO,
        sysctl.TMEM_OP_GET_POOLS,
        sysctl.TMEM_OP_SET_POOLS,
        sysctl.TMEM_OP_SET_AUTH,
    ],
)
@pytest.mark.parametrize("address", [0, 0xFFF0, ADDRESS - 1, ADDRESS + 1, 1 << 40], ids=hex)
def test_handles_to_nowhere(command: int, address: int) -> None:
    """NULL, below what is ever mapped, just before a buffer, over its end, and far away."""
    machine = Machine("4.12")
    machine.guest().new_pool()
    before = machine.listing()
    argument = sysctl.XEN_SYSCTL_TMEM.pack(24, 0x12, command, 0, 1, 32, 0, 0, bytes(24), address)
    buffer = bytearray(b"\xff" * (INFO if command < 7 else 32))
    assert machine.hv.hypercall(0, xen.HYPERCALL_SYSCTL, argument, {ADDRESS: buffer}) == -xen.EFAULT
    assert machine.listing() == before


def test_frames_below_the_first_64_kib_are_never_buffers() -> None:
    machine = Machine("4.12")
    argument = sysctl.XEN_SYSCTL_TMEM.pack(
        24, 0x12, sysctl.TMEM_OP_GET_CLIENT_INFO, 0, 1, 0, 0, 0, bytes(24), 0xF000
    )
    assert machine.hv.hypercall(0, xen.HYPERCALL_SYSCTL, argument, {0xF000: bytearray(64)}) == -xen.EFAULT


@both_releases
def test_puts_and_gets_of_frames_that_are_not_there(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest(gfns=4, read_only=[2], unmapped=[3])
    guest.new_pool(persistent=True)
    for gfn in (3, 4, 1 << 40, (1 << 64) - 1):
        assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, gen(tmem.TMEM_PUT_PAGE, gfn=gfn)) == -xen.EFAULT
    assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, gen(tmem.TMEM_PUT_PAGE, gfn=2)) == 1
    for gfn in (2, 3, 4, (1 << 64) - 1):
        assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, gen(tmem.TMEM_GET_PAGE, gfn=gfn)) == -xen.EFAULT
    assert machine.hv.hypercall(1, xen.HYPERCALL_TMEM_OP, gen(tmem.TMEM_GET_PAGE, gfn=1)) == 1
    machine.hv.check()


@both_releases
@pytest.mark.parametrize("options", ["", "tmem=0", "tmem=1 tmem=off", "no-tmem"])
def test_without_tmem_guests_are_told_so(release: str, options: str) -> None:
    hv = Hypervisor(release=release, command_line=options)
    guest = hv.create_domain(1)
    dom0 = hv.create_domain(0)
    assert guest.new_pool() == -xen.ENODEV
    assert guest.put(0, 1, 0, page(1)) == -xen.ENODEV
    assert hv.hypercall(1, xen.HYPERCALL_TMEM_OP, creat(tmem.TMEM_NEW_POOL)) == -xen.ENODEV
    assert hv.hypercall(1, xen.HYPERCALL_TMEM_OP, b"") == -xen.ENODEV
    assert dom0.domain.privileged
    control = tmem.TMEM_OP_CTRL.pack(0, 0, tmem.TMEMC_QUERY_FREEABLE_MB, ALL, 0, 0, bytes(24), 0)
    assert hv.hypercall(0, xen.HYPERCALL_TMEM_OP, control) == -xen.ENODEV
    if release == "4.12":  # there control works as if tmem were on
        freeable = sysctl.XEN_SYSCTL_TMEM.pack(24, 0x12, 8, 0, ALL, 0, 0, 0, bytes(24), 0)
        assert hv.hypercall(0, xen.HYPERCALL_SYSCTL, freeable) == 0
    hv.check()

# SPDX-License-Identifier: GPL-2.0-only
"""The host as a whole: boot, domains, what is not tmem's, and that two hosts never meet."""

from __future__ import annotations

from typing import Any

import pytest

from hypervisor_model.hypervisor import Hypervisor, domain_uuid
from hypervisor_model.public import sysctl, xen
from hypervisor_model.public.xen import EFAULT, ENODEV, ENOMEM, ENOSYS, EPERM, PAGE_SIZE
from tests.hypervisor_model.tmem.machine import ADDRESS, Machine, both_releases, page

BAD_BOOTS: list[tuple[dict[str, Any], str]] = [
    ({"release": "4.2"}, "Xen 4.2 is not modelled: use 4.3 or 4.12"),
    ({"release": ""}, "not modelled"),
    ({"frames": 0}, "0 pages has no memory"),
    ({"frames": -5}, "-5 pages has no memory"),
    ({"quirks": "some"}, "neither xen nor documented"),
    ({"contents": "holes"}, "neither pages nor tokens"),
    ({"codec": "zip"}, "no codec 'zip': there are lzo1x, lz4, model"),
    ({"command_line": "tmem=maybe"}, "neither on nor off"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_BOOTS)
def test_hosts_that_cannot_be_booted(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Hypervisor(**arguments)


BAD_DOMAINS: list[tuple[int, dict[str, Any], str]] = [
    (-1, {}, "-1 is no domain id: ids go from 0 to 32751"),
    (xen.DOMID_FIRST_RESERVED, {}, "is no domain id"),
    (0xFFFF, {}, "is no domain id"),
    (1, {}, "domain 1 is there already"),
    (2, {"max_pages": 5, "tot_pages": 6}, "cannot own 6 of at most 5 pages"),
    (2, {"tot_pages": -1}, "cannot own -1"),
    (2, {"gfns": -1}, "with -1 frames"),
]


@pytest.mark.parametrize(("domid", "arguments", "says"), BAD_DOMAINS)
def test_domains_that_cannot_be_made(domid: int, arguments: dict[str, Any], says: str) -> None:
    hv = Hypervisor()
    hv.create_domain(1)
    with pytest.raises(ValueError, match=says):
        hv.create_domain(domid, **arguments)
    assert hv.domain_ids() == [1]


def test_domains_by_id() -> None:
    hv = Hypervisor()
    for domid in (5, 0, 32751):
        assert hv.create_domain(domid).domid == domid
    assert hv.domain_ids() == [0, 5, 32751]
    assert hv.domain(5).domid == 5
    for missing in (1, -1, 0xFFFF):
        with pytest.raises(KeyError):
            hv.domain(missing)
        with pytest.raises(KeyError):
            hv.destroy_domain(missing)
        with pytest.raises(KeyError):
            hv.set_frozen(missing, True)
        with pytest.raises(KeyError):
            hv.set_weight(missing, 1)


@both_releases
@pytest.mark.parametrize("options", ["", "tmem_compress", "tmem_dedup", "tmem_dedup tmem_compress"])
def test_a_domain_that_goes_leaves_nothing(release: str, options: str) -> None:
    machine = Machine(release, options=options)
    machine.hv.tmem.global_shared_auth = True
    for _ in range(2):
        guest = machine.guest(max_pages=200, tot_pages=7)
        assert [guest.new_pool(), guest.new_pool(persistent=True), guest.new_pool(shared=True)] == [0, 1, 2]
        for pool_id in range(3):
            for index in range(70):
                assert guest.put(pool_id, index % 3, index, page(index % 5)) == 1
        assert guest.domain.tot_pages > 7
        assert machine.hv.destroy_domain(1) == 0
        machine.hv.check()
        assert machine.hv.tmem.clients == []
        machine.flush(1 << 20)
        assert machine.hv.heap.avail == 4000
        assert {tag: machine.counter(tag) for tag in ("Ec", "Oc", "Nc", "Pc", "Fc", "Sc")} == dict.fromkeys(
            ("Ec", "Oc", "Nc", "Pc", "Fc", "Sc"), 0
        )


@both_releases
def test_a_domain_that_has_gone_is_refused(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 1, 0, page(1))
    machine.hv.destroy_domain(1)
    assert guest.get(0, 1, 0) == (-ENOMEM, None)
    assert guest.flush_page(0, 1, 0) == guest.flush_object(0, 1) == guest.destroy_pool(0) == -ENOMEM
    newcomer = machine.guest()
    assert newcomer.put(0, 1, 0, page(1)) == -ENODEV
    assert newcomer.new_pool() == 0
    machine.hv.check()


@both_releases
def test_two_hosts_never_meet(release: str) -> None:
    """The one that stands by is as it was, whatever happens on the other."""
    busy, still = Machine(release, options="tmem_dedup=1"), Machine(release, options="tmem_dedup=1")
    idle = still.guest()
    idle.new_pool(persistent=True)
    idle.put(0, 1, 0, page(1))
    text, figures = still.hv.list_text(use_long=True), still.hv.stat([1])
    for domid in range(1, 4):
        guest = busy.guest(domid)
        guest.new_pool(shared=True, uuid=(1, 2))
        for index in range(50):
            guest.put(0, 1, index, page(1))
    busy.hv.set_frozen(None, True)
    busy.hv.tmem.global_shared_auth = True
    busy.flush(1 << 20)
    busy.hv.destroy_domain(2)
    assert still.hv.list_text(use_long=True) == text
    assert still.hv.stat([1]) == figures
    assert idle.get(0, 1, 0) == (1, page(1))
    busy.hv.check()
    still.hv.check()


def test_pages_for_the_hypervisor_itself() -> None:
    hv = Hypervisor(frames=1000)
    assert hv.alloc_host_pages(10, order=4) == 10
    assert hv.heap.avail == 840
    assert hv.alloc_host_pages(2000) == 840
    assert hv.free_host_pages(100) == 100
    assert hv.free_host_pages(5000) == 900
    assert hv.free_host_pages(1) == 0
    assert hv.heap.avail == 1000


# Hypercalls that are not tmem's.


@both_releases
def test_xen_version(release: str) -> None:
    hv = Hypervisor(release=release, command_line="tmem=1 " + "x" * 2000)
    hv.create_domain(3)

    def ask(cmd: int, size: int, address: int = ADDRESS) -> tuple[int, bytes]:
        buffer = bytearray(b"\xff" * size)
        argument = xen.XEN_VERSION_ARG.pack(cmd, address)
        return hv.hypercall(3, xen.HYPERCALL_XEN_VERSION, argument, {ADDRESS: buffer}), bytes(buffer)

    major, minor = map(int, release.split("."))
    assert ask(xen.XENVER_VERSION, 0)[0] == major << 16 | minor
    assert ask(xen.XENVER_EXTRAVERSION, 16) == (0, b".4".ljust(16, b"\0"))
    assert ask(xen.XENVER_COMMANDLINE, 1024) == (0, b"tmem=1 " + b"x" * 1016 + b"\0")
    assert ask(xen.XENVER_EXTRAVERSION, 16, address=0)[0] == -EFAULT
    assert ask(xen.XENVER_COMMANDLINE, 1000)[0] == -EFAULT
    assert ask(77, 16)[0] == -ENOSYS
    assert hv.hypercall(3, xen.HYPERCALL_XEN_VERSION, b"1234") == -EFAULT


@both_releases
def test_the_domain_list(release: str) -> None:
    hv = Hypervisor(release=release)
    for domid in (0, 4, 9):
        hv.create_domain(domid, name=f"d{domid}", max_pages=100, tot_pages=domid)
    size = hv.release.domain_info_bytes

    def ask(first: int, limit: int, room: int, caller: int = 0) -> tuple[int, int, list[int]]:
        buffer = bytearray(room * size)
        argument = bytearray(
            sysctl.XEN_SYSCTL_DOMAINS.pack(
                sysctl.XEN_SYSCTL_GETDOMAININFOLIST,
                hv.release.sysctl_interface_version,
                first,
                limit,
                ADDRESS,
                0,
            ).ljust(136, b"\0")
        )
        rc = hv.hypercall(caller, xen.HYPERCALL_SYSCTL, argument, {ADDRESS: buffer})
        count = sysctl.XEN_SYSCTL_DOMAINS.unpack_from(argument)[-1]
        found = [sysctl.DOMAIN_INFO.unpack_from(buffer, number * size) for number in range(count)]
        assert all(info[2] == info[0] and info[3] == 100 for info in found)
        return rc, count, [info[0] for info in found]

    assert ask(0, 10, 10) == (0, 3, [0, 4, 9])
    assert ask(1, 1, 1) == (0, 1, [4])
    assert ask(5, 10, 10) == (0, 1, [9])
    assert ask(10, 10, 10) == (0, 0, [])
    assert ask(0, 10, 2)[0] == -EFAULT
    assert ask(0, 10, 10, caller=4)[0] == -EPERM
    short = sysctl.XEN_SYSCTL_HEADER.pack(
        sysctl.XEN_SYSCTL_GETDOMAININFOLIST, hv.release.sysctl_interface_version
    )
    assert hv.hypercall(0, xen.HYPERCALL_SYSCTL, short) == -EFAULT


def test_uuids_of_domains_last_and_differ() -> None:
    assert domain_uuid(0, "Domain-0") == bytes(16)
    assert domain_uuid(1, "a") == domain_uuid(1, "a")
    assert len({domain_uuid(domid, name) for domid in (1, 2) for name in ("a", "b", None)}) == 6


def test_guests_write_and_read_their_own_frames() -> None:
    guest = Hypervisor().create_domain(1, gfns=3, unmapped=[1], read_only=[2])
    guest.memory.write_frame(0, page(1))
    assert guest.memory.read_frame(0) == page(1)
    assert guest.memory.read_frame(2) == bytes(PAGE_SIZE)
    assert guest.memory.read_frame(1) is guest.memory.read_frame(3) is None
    for gfn, contents in ((1, page(1)), (3, page(1)), (-1, page(1)), (0, b"short")):
        with pytest.raises(ValueError):
            guest.memory.write_frame(gfn, contents)

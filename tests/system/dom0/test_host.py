# SPDX-License-Identifier: GPL-2.0-only
"""What host this is, and its domains: on every Xen, with tmem or without."""

from __future__ import annotations

from hypervisor_model.public import sysctl
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import EACCES, HYPERCALL_SYSCTL
from tests.system.dom0.control_domain import ON, ControlDomain
from tests.system.dom0.domains import MAX_MEMORY_KB, uuid_bytes
from xm_tmem.ids import DomainId


def test_info_says_which_xen_this_is(dom0: ControlDomain) -> None:
    ran = dom0.xm("info", "-o", "json")
    assert (ran.status, ran.err) == (0, "")
    info = ran.json
    assert info["release"] == dom0.name
    assert info["xen_version"] == dom0.version
    assert info["control_abi"] == dom0.release.abi
    assert info["tmem"] == dom0.tmem()
    assert info["transport"] == "privcmd"
    assert "loglvl=all" in info["command_line"]


def test_info_tells_what_cannot_be_asked(with_tmem: ControlDomain) -> None:
    cannot = with_tmem.xm("info", "-o", "json").json["cannot"].split()
    assert ("set-cap" in cannot) == (with_tmem.minor >= 8)
    assert ("shared-auth-all" in cannot) == (with_tmem.minor >= 9)
    assert "list" not in cannot


def test_the_options_of_the_boot_are_shown(with_tmem: ControlDomain) -> None:
    assert with_tmem.xm("info", "-o", "json").json["options"] == "tmem=1 tmem_compress=1"


def test_doctor_finds_what_is_wrong_and_nothing_else(dom0: ControlDomain) -> None:
    ran = dom0.xm("doctor", "-o", "json")
    findings = {finding["check"]: finding for finding in ran.json["findings"]}
    assert findings["connection"]["state"] == "ok"
    assert findings["hypervisor"]["finding"].startswith(f"Xen {dom0.name}.")
    on = dom0.tmem() == ON
    assert findings["tmem"]["state"] == ("ok" if on else "BAD")
    assert ran.status == (0 if on else 5)
    others = [check for check, finding in findings.items() if finding["state"] == "BAD" and check != "tmem"]
    assert others == []


def test_a_domain_is_seen_from_its_making_to_its_end(dom0: ControlDomain, idle: DomainId) -> None:
    there = {domain.domain_id: domain for domain in dom0.backend.domains()}
    assert there[DomainId(0)].vcpus == 1
    assert there[idle].memory_kb == 0
    if dom0.real:  # a played domain has a uuid, a processor and a memory of its own
        assert there[idle].max_memory_kb == MAX_MEMORY_KB
        assert there[idle].vcpus == 0
        assert (there[idle].uuid or "").replace("-", "") == uuid_bytes(idle).hex()
    dom0.destroy_domain(idle)
    assert idle not in [domain.domain_id for domain in dom0.backend.domains()]


def test_list_shows_every_domain(with_tmem: ControlDomain, idle: DomainId) -> None:
    ran = with_tmem.xm("list", "-o", "json")
    rows = {row["id"]: row for row in ran.json["domains"]}
    assert ran.status == 0
    assert rows[0]["vcpus"] == 1
    assert rows[0]["memory_kb"] > 0
    assert (rows[idle]["pools"], rows[idle]["weight"]) == (0, None)


def test_xen_refuses_another_interface_version(dom0: ControlDomain) -> None:
    """What the table of releases is for."""
    buffer = bytearray(dom0.release.domain_info_bytes)
    for interface, value in (
        (dom0.release.sysctl_interface, 0),
        (dom0.release.sysctl_interface + 1, -EACCES),
        (dom0.release.sysctl_interface - 1, -EACCES),
    ):
        head = sysctl.XEN_SYSCTL_DOMAINS.pack(sysctl.XEN_SYSCTL_GETDOMAININFOLIST, interface, 0, 1, 0, 0)
        argument = head.ljust(sysctl.XEN_SYSCTL_BYTES, b"\0")
        call = Call(HYPERCALL_SYSCTL, argument, sysctl.XEN_SYSCTL_DOMAINS_BUF_OFFSET, buffer)
        assert dom0.calls.call_many([call]) == [value]

# SPDX-License-Identifier: GPL-2.0-only
"""Names of domains: from xenstore, from a real libvirt, merged with what the hypervisor knows, and kept harmless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.xm_tmem.backends.fake_xenstored import FakeXenstored, serving
from xm_tmem.backends.domains import MAX_NAME_CHARACTERS, clean_name, clean_uuid, merged
from xm_tmem.backends.domains.libvirt_directory import LibvirtDirectory
from xm_tmem.backends.domains.xenstore_directory import XenstoreDirectory
from xm_tmem.backends.interface import DomainInfo
from xm_tmem.errors import Disconnected
from xm_tmem.ids import DomainId

STORE = {
    "/local/domain/0/name": b"Domain-0",
    "/local/domain/1/name": b"web",
    "/local/domain/1/vm": b"/vm/6695eb01-f6a4-8304-79aa-97f2502e193f",
    "/local/domain/7/name": b"\x1b[31mred\x07\n",
    "/local/domain/9/domid": b"9",  # no name
    "/local/domain/etc/name": b"not a domain",
}


def names(directory: XenstoreDirectory | LibvirtDirectory) -> dict[int, str | None]:
    return {int(domain.domain_id): domain.name for domain in directory.domains()}


# xenstore


def test_names_are_read_from_xenstore(tmp_path: Path) -> None:
    store = FakeXenstored(STORE)
    with serving(store, tmp_path / "s") as path:
        directory = XenstoreDirectory((str(tmp_path / "absent"), path), ())
        assert names(directory) == {0: "Domain-0", 1: "web", 7: "\x1b[31mred\x07\n"}
        assert directory.problem is None
    assert set(store.requests) <= {1, 2}, "READ and DIRECTORY only"


def test_a_thousand_domains_do_not_fit_in_one_answer(tmp_path: Path) -> None:
    store = FakeXenstored({f"/local/domain/{domid}/name": f"guest-{domid}".encode() for domid in range(1500)})
    with serving(store, tmp_path / "s") as path:
        assert names(XenstoreDirectory((path,), ())) == {domid: f"guest-{domid}" for domid in range(1500)}


@pytest.mark.parametrize("corrupt", ["request", "length", "cut"])
def test_a_xenstored_that_misbehaves_knows_nobody(tmp_path: Path, corrupt: str) -> None:
    with serving(FakeXenstored(STORE, corrupt=corrupt), tmp_path / "s") as path:
        directory = XenstoreDirectory((path,), ())
        assert directory.domains() == []
        assert directory.problem


def test_without_xenstore_there_are_no_names(tmp_path: Path) -> None:
    directory = XenstoreDirectory((str(tmp_path / "no"),), (str(tmp_path / "none"),))
    assert directory.domains() == []
    assert directory.problem == "no xenstore here"


# libvirt

TWO_DOMAINS = """\
<node>
  <domain type='test'>
    <name>alpha</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
    <memory>524288</memory><currentMemory>262144</currentMemory><vcpu>3</vcpu><os><type>hvm</type></os>
  </domain>
  <domain type='test'>
    <name>beta</name><uuid>99999999-2222-3333-4444-555555555555</uuid>
    <memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os>
  </domain>
</node>
"""


@pytest.fixture
def libvirt() -> None:
    pytest.importorskip("libvirt", reason="libvirt-python (extra `libvirt`) is not installed")


@pytest.mark.usefixtures("libvirt")
def test_the_default_host_of_libvirts_test_driver() -> None:
    (domain,) = LibvirtDirectory("test:///default").domains()
    assert domain == DomainInfo(
        DomainId(1),
        name="test",
        uuid="6695eb01-f6a4-8304-79aa-97f2502e193f",
        state="r-----",
        memory_kb=2097152,
        max_memory_kb=8388608,
        vcpus=2,
    )


@pytest.mark.usefixtures("libvirt")
def test_a_host_of_several_domains(tmp_path: Path) -> None:
    file = tmp_path / "node.xml"
    file.write_text(TWO_DOMAINS)
    domains = LibvirtDirectory(f"test://{file}").domains()
    assert [domain.domain_id for domain in domains] == [1, 2]
    by_name = {domain.name: domain for domain in domains}
    assert set(by_name) == {"alpha", "beta"}
    assert by_name["alpha"].vcpus == 3
    assert by_name["alpha"].max_memory_kb == 524288


@pytest.mark.usefixtures("libvirt")
def test_a_libvirt_that_does_not_answer_knows_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    directory = LibvirtDirectory("qemu+unix:///system?socket=/no/such/socket")
    assert directory.domains() == []
    assert directory.problem is not None
    assert "/no/such/socket" in directory.problem
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("libvirt")
def test_libvirt_tells_when_a_domain_starts_and_nothing_else() -> None:
    import libvirt

    events = LibvirtDirectory("test:///default").events()
    assert events is not None
    host = libvirt.open("test:///default")
    try:
        domain = host.lookupByName("test")
        assert not events.wait(0)
        domain.suspend()
        domain.resume()
        domain.destroy()
        assert not events.wait(0.3)
        domain.create()
        assert events.wait(10)
        assert not events.wait(0)
    finally:
        events.close()
        host.close()


@pytest.mark.usefixtures("libvirt")
@pytest.mark.parametrize("how", ["told", "noticed", "failing"])
def test_a_lost_libvirt_is_an_error(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import libvirt

    events = LibvirtDirectory("test:///default").events()
    assert events is not None
    if how == "told":
        events._closed(None, 0, None)
    elif how == "noticed":
        monkeypatch.setattr(libvirt.virConnect, "isAlive", lambda connection: 0)
    else:
        events.close()  # every question is an error then
    with pytest.raises(Disconnected, match="test:///default"):
        events.wait(0.01)
    events.close()


@pytest.mark.usefixtures("libvirt")
def test_a_libvirt_that_does_not_answer_tells_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    directory = LibvirtDirectory("qemu+unix:///system?socket=/no/such/socket")
    assert directory.events() is None
    assert directory.problem is not None
    assert "/no/such/socket" in directory.problem
    assert capfd.readouterr() == ("", "")


def test_without_the_module_there_are_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "libvirt", None)
    directory = LibvirtDirectory("test:///default")
    assert directory.domains() == []
    assert directory.problem is not None
    assert "libvirt-python" in directory.problem


# Merging


def known(*ids: int) -> list[DomainInfo]:
    return [DomainInfo(DomainId(domid), state="r-----", vcpus=1) for domid in ids]


def test_directories_add_to_what_the_hypervisor_says_and_make_up_no_domains() -> None:
    first = [DomainInfo(DomainId(1), name="web", vcpus=9), DomainInfo(DomainId(5), name="ghost")]
    second = [DomainInfo(DomainId(1), name="other"), DomainInfo(DomainId(2), name="db", memory_kb=4)]
    domains = merged(known(0, 1, 2), [lambda: first, lambda: second])
    assert [(domain.domain_id, domain.name, domain.vcpus, domain.memory_kb) for domain in domains] == [
        (0, "Domain-0", 1, None),
        (1, "web", 1, None),
        (2, "db", 1, 4),
    ]


def test_a_directory_is_not_asked_when_all_have_names() -> None:
    def never() -> Sequence[DomainInfo]:
        raise AssertionError("asked")

    domains = merged(known(0, 1), [lambda: [DomainInfo(DomainId(1), name="web")], never])
    assert [domain.name for domain in domains] == ["Domain-0", "web"]


def test_a_hostile_name_is_made_printable_and_short() -> None:
    (domain,) = merged(
        known(7), [lambda: [DomainInfo(DomainId(7), name="\x1b[31m\u202ered\x00" + "x" * 9999)]]
    )
    assert domain.name is not None
    assert domain.name.isprintable()
    assert len(domain.name) <= MAX_NAME_CHARACTERS
    assert "red" in domain.name


@pytest.mark.parametrize(
    "text", [None, "", "6695eb01", "6695eb01-f6a4-8304-79aa-97f2502e193g", "6695eb01" * 4 + "----"]
)
def test_what_is_no_uuid_is_not_taken_for_one(text: str | None) -> None:
    assert clean_uuid(text) is None


def test_names_and_uuids_that_are_fine_stay_as_they_are() -> None:
    assert clean_name("web-1 ünïcode") == "web-1 ünïcode"
    assert clean_uuid("6695EB01-f6a4-8304-79aa-97f2502e193f") == "6695eb01-f6a4-8304-79aa-97f2502e193f"

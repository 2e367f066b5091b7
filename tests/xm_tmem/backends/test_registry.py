# SPDX-License-Identifier: GPL-2.0-only
"""From a URI to a backend: what each kind takes, what it refuses, and what is found without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xm_tmem.backends import registry
from xm_tmem.backends.interface import Capability, require
from xm_tmem.backends.registry import connect
from xm_tmem.backends.transport.ssh import ssh_command
from xm_tmem.errors import BadInput, NoClient, Unreachable, Unsupported
from xm_tmem.ids import DomainId
from xm_tmem.settings import Settings

LISTING = b"""G=Tt:1,Te:0,Ta:3,Ec:5
C=CI:0,ww:0,ca:0,co:1,fr:0,Tc:0,Ge:0,Pp:0,Gp:0
P=CI:0,PI:0,PT:EP,U0:0,U1:0
C=CI:12,ww:7,co:0,fr:1,Tc:0,Ge:0,Pp:0,Gp:0
P=CI:12,PI:0,PT:PP,U0:0,U1:0
T
"""


@pytest.fixture(autouse=True)
def nobody_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(registry, "is_control_domain", lambda: False)


@pytest.mark.parametrize(
    "uri",
    [
        "nonsense",
        "qemu:///system",
        "xen://alpha/",
        "xen:///session",
        "model:../../etc/passwd",
        "model:" + "x" * 200,
        "model:a\nb",
        "scenario:",
        "replay:",
        "xen+ssh:alpha",
        "xen+ssh:///",
        "xen+ssh://@alpha/",
        "xen+ssh://alpha:0/",
        "xen+ssh://alpha:99999/",
        "xen+ssh://alpha:22x/",
        "xen+ssh://alpha/etc",
        "xen+ssh://-oProxyCommand=evil/",
        "xen+ssh://root@-x/",
        "xen+ssh://a b/",
    ],
)
def test_what_is_no_connection_is_refused_before_anything_is_opened(uri: str) -> None:
    with pytest.raises(BadInput):
        connect(uri, Settings())


def test_the_parts_of_an_ssh_uri_reach_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def remember(host: str, **options: object) -> list[str]:
        seen.append((host, options["user"], options["port"], options["remote_python"]))
        return ["true"]

    monkeypatch.setattr("xm_tmem.backends.transport.ssh.ssh_command", remember)
    for uri in (
        "xen+ssh://alpha",
        "xen+ssh://root@alpha:2222/",
        "xen+ssh://[::1]:22/system",
        "xen+ssh://a.b@c/",
    ):
        connect(uri, Settings()).close()
    assert seen == [
        ("alpha", None, None, "python3"),
        ("alpha", "root", 2222, "python3"),
        ("[::1]", None, 22, "python3"),
        ("c", "a.b", None, "python3"),
    ]
    assert ssh_command("[::1]")[-2] == "::1"


def test_without_a_hypervisor_the_error_says_how_to_start_one() -> None:
    with pytest.raises(Unreachable, match="xm model start") as raised:
        connect(None, Settings())
    assert raised.value.exit_status == 5
    with pytest.raises(Unreachable, match="xm model start --name lab"):
        connect("model:lab", Settings())
    with pytest.raises(Unreachable, match="no Xen host"):
        connect("xen:///", Settings())


def test_a_saved_listing_lists_and_does_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "listing.txt"
    file.write_bytes(LISTING)
    backend = connect(f"replay:{file}", Settings())
    assert backend.list_text(None, use_long=True) == LISTING
    assert backend.list_text(DomainId(12), use_long=True) == b"".join(LISTING.splitlines(keepends=True)[3:5])
    assert [domain.domain_id for domain in backend.domains()] == [0, 12]
    assert backend.client_info(DomainId(12)).weight == 7
    with pytest.raises(NoClient):
        backend.list_text(DomainId(1), use_long=True)
    with pytest.raises(Unsupported):
        require(backend, Capability.FREEZE)
    with pytest.raises(Unsupported):
        backend.freeze(None)
    with pytest.raises(Unsupported):
        backend.save_pages(DomainId(12), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"hello\n"])
def test_what_is_no_listing_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "listing.txt"
    file.write_bytes(content)
    with pytest.raises(
        BadInput, match="begins with" if content else "listing.txt is no listing: it is empty"
    ):
        connect(f"replay:{file}", Settings())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for kind in ("replay", "scenario"):
        with pytest.raises(BadInput, match="no-such"):
            connect(f"{kind}:{tmp_path}/no-such", Settings())


def test_a_scenario_is_run_and_answers_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "host.yaml"
    file.write_text(
        "host: {release: '4.12'}\nguests:\n  - {name: web, workload: {kind: scan, operations: 100}}\n"
    )
    backend = connect(f"scenario:{file}", Settings())
    assert backend.host().release == "4.12"
    assert [domain.name for domain in backend.domains()] == ["Domain-0", "web"]
    backend.set_weight(DomainId(1), 9)
    assert backend.client_info(DomainId(1)).weight == 9


def test_a_libvirt_named_by_the_user_is_asked_for_names(tmp_path: Path) -> None:
    pytest.importorskip("libvirt", reason="libvirt-python (extra `libvirt`) is not installed")
    file = tmp_path / "host.yaml"
    file.write_text("guests:\n  - {name: web, workload: {kind: scan, operations: 1}}\n")
    settings = Settings()
    settings.read_environment({"XM_LIBVIRT_URI": "test:///default"})
    assert connect(f"scenario:{file}", settings).domains()[1].name == "test"


def test_the_path_to_a_model_host_imports_no_more_than_it_needs() -> None:
    """What a plain listing pays for: measured in tens of milliseconds if this grows."""
    script = (
        "import sys, click; before = set(sys.modules)\n"
        "from xm_tmem.backends.registry import connect\n"
        "import xm_tmem.backends.hypercall, xm_tmem.backends.transport.socket, xm_tmem.backends.abi.tmemc\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, text=True
    ).stdout.split()
    heavy = {
        "ctypes",
        "json",
        "yaml",
        "rich",
        "socket",
        "subprocess",
        "asyncio",
        "sqlite3",
        "libvirt",
        "ssl",
        "mmap",
    }
    assert heavy.isdisjoint(loaded)
    assert not [
        name
        for name in loaded
        if name.startswith("hypervisor_model") and "public" not in name and "." in name
    ]

# SPDX-License-Identifier: GPL-2.0-only
"""tmem-apply: a file of wishes brought about, twice the same as once, and never half understood."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm
from xm_tmem.backends.domains.libvirt_directory import LibvirtDirectory
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.registry import domain_events
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.operations.rehearsal import Rehearsal

UUID = "01234567-89ab-cdef-0123-456789abcdef"
WISHES = f"domains:\n  web: {{weight: 200, compress: on}}\n  db: {{weight: 50, allow: [{UUID}]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wishes.yaml"
    path.write_text(WISHES)
    return path


def test_apply_brings_the_settings_about_once(xm: Xm, host: Host, file: Path) -> None:
    assert xm("tmem-apply", str(file)) == (
        0,
        "web (1): weight 0 -> 200, compress off -> on\ndb (2): weight 0 -> 50, 1 shared pool allowed\n",
        "",
    )
    assert (host.weight(1), host.compress(1), host.weight(2), host.compress(2)) == (200, True, 50, False)
    assert xm("tmem-apply", str(file)).out == "web (1): as asked for\ndb (2): 1 shared pool allowed\n"


def test_diff_shows_and_changes_nothing_and_is_status_7_when_something_differs(
    xm: Xm, host: Host, file: Path
) -> None:
    ran = xm("tmem-apply", "--diff", str(file))
    assert ran.status == 7
    assert ran.out == "web (1): weight 0 -> 200, compress off -> on\ndb (2): weight 0 -> 50\n"
    assert host.weight(1) == 0
    xm("tmem-apply", str(file))
    assert xm("tmem-apply", "--diff", str(file)) == (0, "web (1): as asked for\ndb (2): as asked for\n", "")


def test_dry_run_changes_nothing(xm: Xm, host: Host, file: Path) -> None:
    assert xm("-N", "tmem-apply", str(file)).status == 0
    assert host.weight(1) == 0


def test_a_domain_that_is_not_there_fails_alone(xm: Xm, host: Host, tmp_path: Path) -> None:
    path = tmp_path / "wishes.yaml"
    path.write_text("domains:\n  web: {weight: 3}\n  gone: {weight: 3}\n")
    ran = xm("tmem-apply", str(path))
    assert ran.status == 6
    assert "'gone'" in ran.err
    assert host.weight(1) == 3


def test_a_cap_from_4_8_on_stops_before_anything_is_sent(xm: Xm, newest: Host, tmp_path: Path) -> None:
    path = tmp_path / "wishes.yaml"
    path.write_text("domains:\n  web: {weight: 3}\n  db: {cap: 3}\n")
    assert xm("-c", "model:new", "tmem-apply", str(path)).status == 5
    assert newest.weight(1) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "domains: []",
        "domains: {web: 3}",
        "domains: {web: {wieght: 3}}",
        "domains: {web: {weight: -1}}",
        "domains: {web: {weight: 4294967296}}",
        "domains: {web: {weight: on}}",
        "domains: {web: {weight: '3'}}",
        "domains: {web: {compress: 7}}",
        "domains: {web: {allow: nope}}",
        "domains: {web: {allow: [nope]}}",
        "domains: {web: {weight: 1}, 1: {weight: 2}}",
        "domains: {web: {weight: 1}}\nextra: 1",
        "domains: [",
        "domains: !!python/object/apply:os.system ['true']",
        "\x00\x01",
    ],
)
def test_a_file_that_is_not_understood_changes_nothing(xm: Xm, host: Host, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wishes.yaml"
    path.write_text(text)
    before = host.line(1)
    ran = xm("tmem-apply", str(path))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1
    assert host.line(1) == before


def test_a_missing_file_is_one_line(xm: Xm) -> None:
    ran = xm("tmem-apply", "/nonexistent.yaml")
    assert ran.status == 2
    assert ran.err.count("\n") == 1


def test_watch_applies_again_when_a_domain_comes_back_with_a_new_id(
    xm: Xm, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wishes.yaml"
    path.write_text(f"domains:\n  web: {{weight: 200, allow: [{UUID}]}}\n  later: {{weight: 5}}\n")

    def restart() -> None:
        host.hv.destroy_domain(1)
        del host.names[1]
        host.hv.create_domain(9, name="web").new_pool()
        host.names[9] = "web"

    def nothing() -> None:
        assert host.weight(9) == 200

    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile = iter([restart, nothing, interrupt])
    monkeypatch.setattr("time.sleep", lambda seconds: next(meanwhile)())
    ran = xm("tmem-apply", "--watch", "10s", str(path))
    assert (ran.status, ran.err) == (130, "xm: interrupted\n")
    # Authorised once for each life of the domain, not at every look.
    changed = "weight 0 -> 200, 1 shared pool allowed"
    assert ran.out == f"web (1): {changed}\nweb (9): {changed}\n"


class LibvirtHost(Host):
    """A model whose domains are named, and whose starts are told, by libvirt's test driver."""

    def __init__(self) -> None:
        super().__init__()
        self.names = {}
        for domid in (1, 2, 3):
            self.hv.destroy_domain(domid)

    def backend(self, name: str) -> HypercallBackend:
        return HypercallBackend(
            name, InProcessTransport(self.hv, self.names), [LibvirtDirectory("test:///default")]
        )


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.parametrize("first_pool_after_s", [0, 0.3])
def test_watch_looks_at_once_when_libvirt_says_that_a_domain_starts(
    xm: Xm, hosts: dict[str, Host], tmp_path: Path, first_pool_after_s: float
) -> None:
    libvirt = pytest.importorskip("libvirt", reason="libvirt-python (extra `libvirt`) is not installed")
    host = hosts[""] = LibvirtHost()
    path = tmp_path / "wishes.yaml"
    path.write_text("domains: {test: {weight: 200}}\n")
    connection = libvirt.open("test:///default")
    domain = connection.lookupByName("test")
    before, after = domain.ID(), domain.ID() + 1
    host.hv.create_domain(before).new_pool()

    def restart() -> None:
        until(lambda: host.weight(before) == 200)
        time.sleep(0.2)  # until the first look is over
        host.hv.destroy_domain(before)
        guest = host.hv.create_domain(after)
        if not first_pool_after_s:
            guest.new_pool()
        domain.destroy()
        domain.create()
        if first_pool_after_s:
            time.sleep(first_pool_after_s)
            guest.new_pool()
        until(lambda: host.weight(after) == 200)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=restart)
    thread.start()
    ran = xm("-v", "tmem-apply", "--watch", "1h", str(path))
    thread.join()
    connection.close()
    assert "xm: looking every 3600 s and when libvirt says that a domain starts\n" in ran.err
    assert ran.out == "".join(f"test ({domid}): weight 0 -> 200\n" for domid in (before, after))
    assert ran.status == 130
    assert ran.err.endswith("xm: interrupted\n")


def test_a_dry_run_is_told_of_starts_too() -> None:
    pytest.importorskip("libvirt", reason="libvirt-python (extra `libvirt`) is not installed")
    events = domain_events(Rehearsal(LibvirtHost().backend("model:x")))
    assert events is not None
    events.close()
    assert domain_events(Host().backend("model:x")) is None


def test_without_libvirt_watch_looks_at_intervals(
    xm: Xm, hosts: dict[str, Host], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "libvirt", None)
    hosts[""] = LibvirtHost()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    ran = xm("-v", "tmem-apply", "--watch", "7s", str(file))
    assert ran.status == 130
    assert slept == [7.0] * 3
    assert "xm: looking every 7 s\n" in ran.err

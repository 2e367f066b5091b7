# SPDX-License-Identifier: GPL-2.0-only
"""The privcmd device: calls through real addresses, the guard behind each buffer, and every way to fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hypervisor_model.hypervisor import Hypervisor
from tests.xm_tmem.backends.fake_dom0 import PRIVCMD, PRIVCMD_BUFFER, FakeKernel, hundred_domains, mappings
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.transport import agent
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.backends.transport.privcmd import PrivcmdTransport
from xm_tmem.errors import Failed, NotPermitted, TmemError, Unreachable
from xm_tmem.ids import DomainId

PAGE = 4096


@contextmanager
def privcmd(kernel: FakeKernel) -> Iterator[HypercallBackend]:
    with kernel.installed():
        backend = HypercallBackend("xen:///", PrivcmdTransport())
        try:
            yield backend
        finally:
            backend.close()


def small_host() -> Hypervisor:
    hypervisor = Hypervisor(release="4.3")
    hypervisor.create_domain(0)
    hypervisor.create_domain(1).new_pool()
    return hypervisor


@pytest.mark.parametrize("lacks", [(PRIVCMD_BUFFER,), ()], ids=["locked memory", "buffers of the device"])
def test_answers_are_those_of_the_hypervisor(lacks: tuple[str, ...]) -> None:
    hypervisor = hundred_domains()
    plain = HypercallBackend("test", InProcessTransport(hypervisor))
    plain.host()  # its probe is counted by the hypervisor
    with privcmd(FakeKernel(hypervisor, lacks=lacks)) as backend:
        assert backend.host().xen_version == "4.12.4"
        assert backend.list_text(None, use_long=True) == plain.list_text(None, use_long=True)
        assert backend.domains() == plain.domains()
        assert backend.pools(DomainId(7)) == plain.pools(DomainId(7))
        backend.set_weight(DomainId(7), 5)
        assert plain.client_info(DomainId(7)).weight == 5


@pytest.mark.parametrize("lacks", [(PRIVCMD_BUFFER,), ()], ids=["locked memory", "buffers of the device"])
@pytest.mark.parametrize("size", [20, PAGE, PAGE + 1, 256 << 10])
def test_a_buffer_ends_at_a_page_that_nothing_can_touch(lacks: tuple[str, ...], size: int) -> None:
    kernel = FakeKernel(small_host(), lacks=lacks)
    seen: list[tuple[int, int, str]] = []

    def watch(address: int) -> None:
        here = next(m for m in mappings() if m.start <= address < m.end)
        behind = next(m for m in mappings() if m.start == here.end)
        seen.append((here.end - address, behind.end - behind.start, behind.permissions[:3]))

    kernel.watch = watch
    with privcmd(kernel) as backend:
        call = backend._abi().list_text(1, bytearray(size), use_long=True)
        backend.transport.call_many([call])
    room, guard, permissions = seen[-1]
    assert size <= room < size + 16
    assert guard >= PAGE
    assert permissions == "---"


def test_a_device_that_gives_no_more_buffers_is_done_without() -> None:
    kernel = FakeKernel(small_host(), lacks=(), buffers_run_out=True)
    with privcmd(kernel) as backend:
        assert backend.list_text(None, use_long=True).startswith(b"G=")


def test_no_mapping_is_left_behind() -> None:
    with privcmd(FakeKernel(small_host())) as backend:
        backend.list_text(None, use_long=True)
        before = sum(m.end - m.start for m in mappings())
        for _ in range(50):
            backend.list_text(None, use_long=True)
        assert sum(m.end - m.start for m in mappings()) < before + (4 << 20)


def opened(kernel: FakeKernel) -> TmemError:
    with kernel.installed(), pytest.raises(TmemError) as raised:
        PrivcmdTransport()
    return raised.value


def test_nobody_but_root_may_open_it() -> None:
    error = opened(FakeKernel(small_host(), forbids=(PRIVCMD,)))
    assert isinstance(error, NotPermitted)
    assert "root" in str(error)


def test_a_machine_that_is_no_xen_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "hypervisor_type", lambda: "")
    error = opened(FakeKernel(small_host(), lacks=(PRIVCMD, PRIVCMD_BUFFER)))
    assert isinstance(error, Unreachable)
    assert "no Xen host" in str(error)


def test_a_xen_host_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "hypervisor_type", lambda: "xen")
    error = opened(FakeKernel(small_host(), lacks=(PRIVCMD, PRIVCMD_BUFFER)))
    assert isinstance(error, Unreachable)
    assert "modprobe xen-privcmd" in str(error)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOTTY, Unreachable, "privcmd"),
        (errno.EINTR, Failed, "interrupted"),
    ],
)
def test_errors_of_the_device_are_not_taken_for_xens(number: int, kind: type[TmemError], words: str) -> None:
    with privcmd(FakeKernel(small_host(), fails=number)) as backend, pytest.raises(kind, match=words):
        backend.host()


def test_a_closed_connection_says_so() -> None:
    with privcmd(FakeKernel(small_host())) as backend:
        backend.host()
        backend.close()
        with pytest.raises(Unreachable, match="closed"):
            backend.freeable_mb()


def test_a_connection_does_not_survive_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    with privcmd(FakeKernel(small_host())) as backend:
        backend.host()
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with pytest.raises(Failed, match="fork"):
            backend.freeable_mb()


def test_errnos_of_xen_arrive_as_numbers() -> None:
    with privcmd(FakeKernel(small_host())) as backend:
        backend.host()
        values = backend.transport.call_many([backend._abi().freeze(77), backend._abi().freeable()])
    assert values == [-errno.EPERM, 0]

# SPDX-License-Identifier: GPL-2.0-only
"""One errno, several meanings: the host is asked which it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import xen
from hypervisor_model.public.wire import Call
from tests.contract.hosts import booted
from tests.contract.translating import TranslatingTransport, model_release
from xm_tmem.backends.abi.host import DOMAINS_PER_CALL
from xm_tmem.backends.abi.releases import RELEASES, TMEM_RELEASES, capabilities_of, release_of
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import Capability, TmemState, require
from xm_tmem.backends.transport import Transport
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.errors import (
    BadInput,
    Failed,
    HypercallError,
    NotPermitted,
    TmemError,
    TmemOff,
    Unreachable,
    Unsupported,
)
from xm_tmem.ids import DomainId, SharedUuid

WEB = DomainId(1)


class Unprivileged(TranslatingTransport):
    """A domain that is not dom0: everything is refused but the questions about the version and tmem's presence."""

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        values = super().call_many(calls)
        return [
            value if call.number == xen.HYPERCALL_XEN_VERSION or value == -xen.EOPNOTSUPP else -xen.EPERM
            for call, value in zip(calls, values, strict=True)
        ]


@pytest.mark.parametrize("release", TMEM_RELEASES)
def test_a_lack_of_privilege_is_told_from_a_lack_of_domains(release: str) -> None:
    backend = HypercallBackend("xen:///", Unprivileged(release, booted(model_release(release))))
    questions: list[Callable[[], object]] = [
        lambda: backend.list_text(None, use_long=False),
        lambda: backend.list_text(WEB, use_long=False),
        lambda: backend.freeze(WEB),
        lambda: backend.freeze(None),
        lambda: backend.set_weight(WEB, 1),
        lambda: backend.flush(4),
        lambda: backend.freeable_mb(),
        lambda: backend.pools(WEB),
        lambda: backend.domains(),
        lambda: backend.restore_begin(WEB),
        lambda: backend.shared_auth(WEB, SharedUuid(1, 1), allow=True),
    ]
    for question in questions:
        with pytest.raises(NotPermitted, match="root in dom0"):
            question()


@pytest.mark.parametrize("release", TMEM_RELEASES)
def test_tmem_off_at_boot_is_told_where_lists_look_idle(release: str) -> None:
    backend = HypercallBackend(
        "xen:///", TranslatingTransport(release, booted(model_release(release)), off=True)
    )
    assert backend.host().tmem is TmemState.OFF
    with pytest.raises(TmemOff, match="tmem=1") as raised:
        backend.list_text(None, use_long=False)
    assert raised.value.exit_status == 5


class Answering(Transport):
    """The same value for everything but the version, which is that of `release`."""

    def __init__(self, version: int, value: int) -> None:
        self._version, self._value = version, value

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        return [self._version if call.number == xen.HYPERCALL_XEN_VERSION else self._value for call in calls]


def test_a_rebuilt_sysctl_interface_is_said_to_be_that() -> None:
    backend = HypercallBackend("xen:///", Answering(4 << 16 | 12, -xen.EACCES))
    with pytest.raises(Unsupported, match="interface version 0x12"):
        backend.freeze(None)


def test_an_errno_nobody_foresaw_keeps_its_number() -> None:
    backend = HypercallBackend("xen:///", Answering(4 << 16 | 12, -5))
    with pytest.raises(HypercallError, match="FREEZE") as raised:
        backend.freeze(None)
    assert raised.value.errno == 5


@pytest.mark.parametrize("version", [4 << 16 | 99, 3 << 16 | 4, 5 << 16, 0])
def test_a_release_that_nobody_knows_is_refused_by_name(version: int) -> None:
    backend = HypercallBackend("xen:///", Answering(version, 0))
    for question in (
        backend.host,
        backend.domains,
        lambda: backend.capabilities,
        lambda: backend.freeze(None),
    ):
        with pytest.raises(Unsupported, match=rf"Xen {version >> 16}\.{version & 0xFFFF} "):
            question()


@pytest.mark.parametrize("release", [name for name in RELEASES if name not in TMEM_RELEASES])
def test_a_release_without_tmem_can_be_named_and_its_domains_listed(release: str) -> None:
    major, minor = (int(part) for part in release.split("."))
    backend = HypercallBackend("xen:///", Answering(major << 16 | minor, 0))
    assert backend.host().tmem is TmemState.ABSENT
    assert backend.domains() == []
    assert not backend.capabilities
    verbs: list[Callable[[], object]] = [
        lambda: require(backend, Capability.LIST),
        lambda: backend.list_text(None, use_long=True),
        lambda: backend.thaw(None),
        lambda: backend.pools(WEB),
    ]
    for verb in verbs:
        with pytest.raises(TmemOff, match=r"removed in Xen 4\.13"):
            verb()


def test_a_hypervisor_that_does_not_know_its_version_is_none() -> None:
    with pytest.raises(Unreachable):
        HypercallBackend("xen:///", Answering(-xen.ENOSYS, 0)).host()


def test_compression_cannot_be_switched_under_dedup() -> None:
    hypervisor = Hypervisor(release="4.3", command_line="tmem=1 tmem_dedup=1")
    hypervisor.create_domain(0)
    hypervisor.create_domain(1).new_pool()
    backend = HypercallBackend("test", InProcessTransport(hypervisor))
    with pytest.raises(Failed, match="tmem_dedup"):
        backend.set_compress(WEB, True)


def test_an_amount_that_xen_would_take_for_nothing_is_refused() -> None:
    """It adds 3 before it divides by 4, in 32 bits."""
    backend = HypercallBackend("xen:///", TranslatingTransport("4.7", booted("4.3")))
    assert backend.flush(0xFFFFFFFC) == 0
    with pytest.raises(BadInput):
        backend.flush(0xFFFFFFFD)


def test_the_domain_list_is_laid_out_as_in_each_header() -> None:
    """struct xen_domctl_getdomaininfo grew in the middle, and in 4.10 and 4.16 at the end."""
    for name, release in RELEASES.items():
        minor = int(name[2:])
        words = ["tot", "max", "shr", "shared_info_frame", "cpu_time"]
        words += ["paged"] * (minor >= 2) + ["outstanding"] * (minor >= 3)
        vcpus = 8 + 8 * len(words)  # behind domain and flags
        end = vcpus + 3 * 4 + 16 + 4 * (minor >= 1)  # max_vcpu_id, ssidref, handle; cpupool from 4.1
        end += 8 * (minor >= 16) + 4 * (minor >= 10) + 4 * (minor >= 16)  # gpaddr_bits, arch_config
        assert (release.vcpus_offset, release.domain_info_bytes) == (vcpus, -(-end // 8) * 8), name


def test_more_domains_than_one_answer_holds_are_all_listed() -> None:
    hypervisor = Hypervisor(release="4.12")
    for domid in range(0, 2 * DOMAINS_PER_CALL + 2, 2):
        hypervisor.create_domain(domid)
    backend = HypercallBackend("test", InProcessTransport(hypervisor))
    assert [domain.domain_id for domain in backend.domains()] == hypervisor.domain_ids()


def test_the_table_agrees_with_the_history() -> None:
    assert tuple(f"4.{minor}" for minor in range(13)) == TMEM_RELEASES
    for name, release in RELEASES.items():
        major, minor = (int(part) for part in name.split("."))
        assert release_of(major << 16 | minor) is release
        can = capabilities_of(release)
        assert (Capability.SET_CAP in can) == (minor < 8)
        assert (Capability.SHARED_AUTH_ALL in can) == (minor < 9)
        assert bool(can) == (minor < 13)


def test_every_error_is_one_line_and_has_an_exit_status() -> None:
    backend = HypercallBackend("xen:///", TranslatingTransport("4.7", booted("4.3")))
    for question in (lambda: backend.freeze(DomainId(77)), lambda: backend.client_info(DomainId(0))):
        with pytest.raises(TmemError) as raised:
            question()
        assert "\n" not in str(raised.value)
        assert raised.value.exit_status == 3

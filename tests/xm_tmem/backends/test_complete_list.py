# SPDX-License-Identifier: GPL-2.0-only
"""Listings are complete, however many lines there are and whatever the hypervisor leaves out without a word."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import tmem, xen
from hypervisor_model.public.wire import Call
from tests.contract.translating import TranslatingTransport, model_release
from xm_tmem.backends import complete_list
from xm_tmem.backends.complete_list import is_whole
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.errors import HypercallError
from xm_tmem.ids import DomainId

DOMAINS, POOLS = 1000, 4


@functools.cache
def crowd(release: str) -> Hypervisor:
    hypervisor = Hypervisor(release=release, frames=1 << 20)
    hypervisor.create_domain(0)
    for domid in range(1, DOMAINS + 1):
        guest = hypervisor.create_domain(domid)
        for number in range(POOLS):
            guest.put(guest.new_pool(persistent=bool(number & 1)), domid, number, bytes(4096))
    return hypervisor


@pytest.fixture(params=["4.3", "4.12"])
def crowded(request: pytest.FixtureRequest) -> Hypervisor:
    return crowd(request.param)


class Sizes(TranslatingTransport):
    """Remembers the room that each LIST was given."""

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        self.sizes = [
            *getattr(self, "sizes", []),
            *(len(call.buffer) for call in calls if call.buffer is not None),
        ]
        return super().call_many(calls)


def lines(text: bytes) -> list[bytes]:
    """Without the first, which counts the calls themselves, and without cycles."""
    return [line for line in text.splitlines() if not line.startswith((b"G=", b"T"))]


@pytest.mark.parametrize("use_long", [False, True])
def test_a_thousand_domains_of_four_pools_are_all_there(crowded: Hypervisor, use_long: bool) -> None:
    transport = Sizes(crowded.release.name, crowded)
    backend = HypercallBackend("xen:///", transport)
    backend.host()
    text = backend.list_text(None, use_long=use_long)
    assert lines(text) == lines(crowded.list_text(use_long=use_long).encode())
    assert text.count(b"C=CI:") == DOMAINS
    assert text.count(b"P=CI:") == DOMAINS * POOLS
    assert max(transport.sizes) > len(text) + complete_list.SPARE_BYTES
    assert [domain.domain_id for domain in backend.domains()] == list(range(DOMAINS + 1))


def test_a_host_that_must_not_list_all_is_listed_client_by_client() -> None:
    hypervisor = crowd(model_release("4.5"))
    text = HypercallBackend("xen:///", TranslatingTransport("4.5", hypervisor)).list_text(None, use_long=True)
    assert lines(text) == lines(hypervisor.list_text(use_long=True).encode())
    assert not text.startswith(b"G=")


def test_what_no_buffer_holds_is_put_together(crowded: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete_list, "MAX_BUFFER_BYTES", complete_list.FIRST_BUFFER_BYTES)
    backend = HypercallBackend("xen:///", TranslatingTransport(crowded.release.name, crowded))
    text = backend.list_text(None, use_long=True)
    assert sorted(lines(text)) == sorted(lines(crowded.list_text(use_long=True).encode()))
    assert text.startswith(b"G=")


class Forgetful(TranslatingTransport):
    """Loses the first line of every listing of all."""

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        values = super().call_many(calls)
        for call in calls:
            if call.buffer is not None and call.buffer.startswith(b"G="):
                call.buffer[:] = bytes(call.buffer).partition(b"\n")[2].ljust(len(call.buffer), b"\0")
        return values


def test_a_listing_without_its_first_line_is_fetched_again_by_client(crowded: Hypervisor) -> None:
    transport = Forgetful(crowded.release.name, crowded)
    text = HypercallBackend("xen:///", transport).list_text(None, use_long=False)
    assert lines(text) == lines(crowded.list_text().encode())
    assert len(transport.sent) > DOMAINS


def test_a_client_that_goes_away_between_two_calls_is_left_out() -> None:
    hypervisor = Hypervisor(release="4.3")
    hypervisor.create_domain(0)
    hypervisor.create_domain(1).new_pool()
    backend = HypercallBackend("xen:///", TranslatingTransport("4.5", hypervisor))
    fetch = complete_list.CompleteList(
        backend._abi(), backend.transport.call_many, lambda: [DomainId(0), DomainId(1), DomainId(2)]
    )
    assert fetch.of_all(use_long=False) == hypervisor.list_text(1).encode()


class Exhausted(TranslatingTransport):
    """Has no memory left for the listing of domain 2."""

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        values = super().call_many(calls)
        lists = [
            call.number == xen.HYPERCALL_TMEM_OP and call.argument[8] == tmem.TMEMC_LIST for call in calls
        ]
        hits = [there and call.argument[12] == 2 for there, call in zip(lists, calls, strict=True)]
        return [-xen.EFAULT if hit else value for hit, value in zip(hits, values, strict=True)]


def test_a_client_that_cannot_be_listed_is_not_passed_over() -> None:
    hypervisor = Hypervisor(release="4.3")
    for domid in range(4):
        hypervisor.create_domain(domid).new_pool()
    with pytest.raises(HypercallError, match="LIST"):
        HypercallBackend("xen:///", Exhausted("4.5", hypervisor)).list_text(None, use_long=False)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b"G=Tt:1\nT\n", True),
        (b"G=Tt:1\nC=CI:1\nT=Gn:3,Gt:4\n", True),
        (b"G=Tt:1\nC=CI:1\n", False),
        (b"C=CI:1\nT\n", False),
        (b"G=Tt:1\nC=CI:1\nT", False),
        (b"", False),
    ],
)
def test_first_and_last_line_make_a_listing_whole(text: bytes, whole: bool) -> None:
    assert is_whole(text) is whole

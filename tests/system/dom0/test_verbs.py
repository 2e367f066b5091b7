# SPDX-License-Identifier: GPL-2.0-only
"""The verbs that change something: each is done with `xm` and seen from the guest's side or in Xen's own answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypervisor_model.public.xen import EFROZEN
from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.guest import Guest
from tests.system.dom0.pages import OID, PAGES, page
from xm_tmem.ids import DomainId

UUID = "01234567-89ab-cdef-0123-456789abcdef"
MANY = 300  # pages: more than a MiB


@pytest.mark.parametrize("undo", ["tmem-thaw", "tmem-destroy"])
def test_a_frozen_guest_is_refused_until_it_is_thawed(
    with_tmem: ControlDomain, guest: Guest, undo: str
) -> None:
    pool = guest.new_pool(persistent=True)
    assert guest.put(pool, OID, 0, page(0)) == 1
    assert with_tmem.xm("tmem-freeze", 0).status == 0
    try:
        assert guest.put(pool, OID, 1, page(1)) == -EFROZEN
        assert guest.put(pool, OID, 0, page(2)) == 1
        assert guest.get(pool, OID, 0) == (1, page(2))
        assert with_tmem.backend.client_info(DomainId(0)).frozen
    finally:
        undone = with_tmem.xm(undo, 0)
    assert undone.status == 0
    assert "thawed" in undone.out
    assert guest.put(pool, OID, 1, page(1)) == 1
    assert guest.get(pool, OID, 0) == (1, page(2))


def test_freeze_and_thaw_of_all(with_tmem: ControlDomain, client: DomainId) -> None:
    other = with_tmem.create_domain()
    with_tmem.backend.restore_begin(other)
    for verb, frozen in (("tmem-freeze", True), ("tmem-thaw", False)):
        assert with_tmem.xm(verb, "-a").status == 0
        assert [with_tmem.backend.client_info(domain).frozen for domain in (client, other)] == [frozen] * 2


def test_a_setting_is_changed_and_the_others_are_left(with_tmem: ControlDomain, client: DomainId) -> None:
    backend = with_tmem.backend
    before = backend.client_info(client)
    assert before.compress
    assert with_tmem.xm("tmem-set-weight", client, 200).status == 0
    assert backend.client_info(client) == before._replace(weight=200)
    assert with_tmem.xm("tmem-freeze", client).status == 0
    assert with_tmem.xm("tmem-set", client, "-p", 0).status == 0
    assert backend.client_info(client) == before._replace(weight=200, compress=False, frozen=True)
    assert with_tmem.xm("tmem-set", client, "weight=7", "compress=1").status == 0
    assert backend.client_info(client) == before._replace(weight=7, frozen=True)
    assert with_tmem.xm("tmem-set-compress", client, "off").status == 0
    assert not backend.client_info(client).compress


def test_a_dry_run_changes_nothing(with_tmem: ControlDomain, client: DomainId) -> None:
    before = with_tmem.backend.client_info(client)
    for verb in (("tmem-freeze", client), ("tmem-set", client, "-w", 9), ("tmem-flush", "4MiB")):
        ran = with_tmem.xm("-N", *verb)
        assert ran.status == 0
        assert "would be" in ran.out or "could be" in ran.out
    assert with_tmem.backend.client_info(client) == before
    assert [pool.n_pages for pool in with_tmem.backend.pools(client)] == [PAGES, PAGES]


def test_caps_are_set_or_said_to_be_gone(with_tmem: ControlDomain, client: DomainId) -> None:
    ran = with_tmem.xm("tmem-set-cap", client, 50)
    if with_tmem.minor < 8:
        assert ran.status == 0
        assert with_tmem.backend.client_info(client).cap == 50
    else:
        assert ran.status == 5
        assert "4.8" in ran.err


def test_a_flush_takes_ephemeral_pages_and_no_others(with_tmem: ControlDomain, client: DomainId) -> None:
    ran = with_tmem.xm("tmem-flush", "-a", "64MiB")
    assert ran.status == 0
    freed_kb = int(ran.out.split()[0])
    assert freed_kb >= 0
    assert [pool.n_pages for pool in with_tmem.backend.pools(client)] == [0, PAGES]


@pytest.fixture
def large_pool(with_tmem: ControlDomain, guest: Guest) -> int:
    """An ephemeral pool of dom0's that takes more than a MiB of the host's memory."""
    pool = guest.new_pool()
    assert with_tmem.xm("tmem-set-compress", 0, "off").status == 0
    for index in range(MANY):
        assert guest.put(pool, OID, index, page(index)) == 1
    assert with_tmem.xm("tmem-set-compress", 0, "on").status == 0
    return pool


def test_freeable_is_what_a_flush_can_free(with_tmem: ControlDomain, large_pool: int) -> None:
    (facts,) = with_tmem.xm("tmem-freeable", "-o", "json").json["freeable"]
    assert facts["freeable_mb"] >= 1
    assert with_tmem.xm("tmem-freeable").out == f"{facts['freeable_mb']}\n"
    if with_tmem.release.lists_all:
        assert facts["ephemeral"] >= MANY
    freed_kb = int(with_tmem.xm("tmem-flush", "64MiB").out.split()[0])
    assert freed_kb >= MANY * 4
    assert [pool.n_pages for pool in with_tmem.backend.pools(DomainId(0)) if pool.pool_id == large_pool] == [
        0
    ]
    assert with_tmem.xm("tmem-freeable").out == "0\n"


def test_reclaim_leaves_every_domain_as_it_was(
    with_tmem: ControlDomain, client: DomainId, large_pool: int
) -> None:
    del large_pool  # there to be taken from
    frozen = with_tmem.create_domain()
    with_tmem.backend.restore_begin(frozen)
    with_tmem.backend.freeze(frozen)
    ran = with_tmem.xm("tmem-reclaim", "512KiB")
    assert ran.status == 0, ran.err
    assert [with_tmem.backend.client_info(domain).frozen for domain in (client, frozen)] == [False, True]
    too_much = with_tmem.xm("tmem-reclaim", "1GiB")
    assert too_much.status == 1
    assert [with_tmem.backend.client_info(domain).frozen for domain in (client, frozen)] == [False, True]


@pytest.mark.parametrize("answer", ["--allow", "--deny"])
def test_a_domain_is_allowed_or_denied_a_shared_pool(
    with_tmem: ControlDomain, client: DomainId, answer: str
) -> None:
    ran = with_tmem.xm("tmem-shared-auth", client, "-u", UUID, answer)
    assert (ran.status, ran.err) == (0, "")


def test_all_domains_are_allowed_a_shared_pool_or_it_is_said_since_when_not(with_tmem: ControlDomain) -> None:
    for switch in ("1", "0"):
        ran = with_tmem.xm("tmem-shared-auth", "-a", "-u", UUID, "-A", switch)
        if with_tmem.minor < 9:
            assert (ran.status, ran.err) == (0, "")
        else:
            assert ran.status == 5
            assert "since Xen 4.9" in ran.err


def test_a_file_of_wishes_is_applied(with_tmem: ControlDomain, client: DomainId, tmp_path: Path) -> None:
    file = tmp_path / "wishes.yaml"
    file.write_text(f"domains: {{{client}: {{weight: 321}}}}\n")
    assert with_tmem.xm("tmem-apply", "--diff", file).status == 7
    assert with_tmem.xm("tmem-apply", file).status == 0
    assert with_tmem.backend.client_info(client).weight == 321
    assert with_tmem.xm("tmem-apply", "--diff", file).status == 0

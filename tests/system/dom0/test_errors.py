# SPDX-License-Identifier: GPL-2.0-only
"""What Xen answers with one errno, `xm` tells apart; and what must never reach Xen does not."""

from __future__ import annotations

import pytest

from hypervisor_model.public.xen import EFROZEN, EPERM
from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.pages import EPHEMERAL, PAGES, PERSISTENT, page
from xm_tmem.backends.interface import SavedPage
from xm_tmem.errors import Failed, NoSuchPool, TmemError
from xm_tmem.ids import DomainId, PoolId

NOBODY = 9999
UUID = "01234567-89ab-cdef-0123-456789abcdef"
ON_A_DOMAIN = [
    "tmem-list {}",
    "tmem-freeze {}",
    "tmem-thaw {}",
    "tmem-destroy {}",
    "tmem-set {} -w 5",
    "tmem-set-weight {} 5",
    "tmem-set-compress {} on",
    "tmem-save {} /tmp/xm-tmem-never",
    "tmem-migrate {} xen:/// --to 0",
]
NONSENSE = [
    "nothing",
    "tmem-freeze",
    "tmem-set 0",
    "tmem-set 0 -w -1",
    "tmem-set 0 -w 4294967296",
    "tmem-flush x",
    "tmem-flush 0",
    f"tmem-shared-auth 0 -u {UUID}",
    "tmem-shared-auth 0 -u x -A 1",
    "tmem-list --sort nothing",
]


@pytest.mark.parametrize("verb", [*ON_A_DOMAIN, f"tmem-shared-auth {{}} -u {UUID} -A 1"])
def test_a_domain_that_is_not_there(with_tmem: ControlDomain, verb: str) -> None:
    ran = with_tmem.xm(*verb.format(NOBODY).split())
    assert (ran.status, ran.out) == (3, "")
    assert str(NOBODY) in ran.err


@pytest.mark.parametrize("verb", ON_A_DOMAIN)
def test_a_domain_that_has_never_used_tmem(with_tmem: ControlDomain, idle: DomainId, verb: str) -> None:
    if "migrate" in verb or "save" in verb:
        with_tmem.guest.new_pool()  # dom0 as a target
    ran = with_tmem.xm(*verb.format(idle).split())
    if with_tmem.xm("-N", "tmem-save", idle, "/tmp/xm-tmem-never").status == 5 and "4.0" in ran.err:
        assert ran.status == 5  # this release can neither save nor restore, whoever it is
        return
    assert (ran.status, ran.out) == (3, "")
    assert f"domain {idle} has never used tmem" in ran.err


def test_xen_itself_has_one_answer_for_both(with_tmem: ControlDomain, idle: DomainId) -> None:
    """Why the adapter asks further."""
    calls = [with_tmem.abi.freeze(NOBODY), with_tmem.abi.freeze(idle)]
    assert with_tmem.calls.call_many(calls) == [-EPERM, -EPERM]


@pytest.mark.parametrize("number", ["65535", "65536", "4294967295", "32752"])
def test_an_id_that_xen_would_cut_is_not_sent(
    with_tmem: ControlDomain, client: DomainId, number: str
) -> None:
    """To Xen, 65535 is every domain and 65536 is domain 0."""
    ran = with_tmem.xm("tmem-freeze", number)
    assert ran.status == 2
    assert "is no domain id" in ran.err
    assert not with_tmem.backend.client_info(client).frozen


def test_some_of_several_fail(with_tmem: ControlDomain, client: DomainId, idle: DomainId) -> None:
    ran = with_tmem.xm("tmem-freeze", client, idle, NOBODY)
    assert ran.status == 6
    assert f"domain {client}: frozen" in ran.out
    assert f"domain {idle} has never used tmem" in ran.err
    assert str(NOBODY) in ran.err
    assert with_tmem.backend.client_info(client).frozen


@pytest.mark.parametrize("line", NONSENSE)
def test_words_that_make_no_sense(with_tmem: ControlDomain, line: str) -> None:
    ran = with_tmem.xm(*line.split())
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1


def test_pages_for_a_pool_that_is_not_there(with_tmem: ControlDomain, client: DomainId) -> None:
    with pytest.raises(NoSuchPool):
        with_tmem.backend.restore_page(client, SavedPage(PoolId(9), 1, 1, page(1)))


def test_pages_for_a_frozen_client(with_tmem: ControlDomain, client: DomainId) -> None:
    with_tmem.backend.freeze(client)
    wanted = SavedPage(PERSISTENT, 1, 1, page(1))
    assert with_tmem.calls.call_many([with_tmem.abi.restore_page(client, wanted)]) == [-EFROZEN]
    with pytest.raises(Failed, match="frozen"):
        with_tmem.backend.restore_page(client, wanted)
    assert [pool.n_pages for pool in with_tmem.backend.pools(client)] == [PAGES, PAGES]


def test_pages_for_a_client_without_compression(with_tmem: ControlDomain, client: DomainId) -> None:
    """From 4.8 on at the latest Xen takes none; 4.3 did."""
    with_tmem.backend.set_compress(client, False)
    wanted = SavedPage(EPHEMERAL, 1, 1, page(1))
    if with_tmem.minor <= 3:
        with_tmem.backend.restore_page(client, wanted)
    elif with_tmem.minor >= 8:
        with pytest.raises(Failed, match="not compressed"):
            with_tmem.backend.restore_page(client, wanted)


def test_a_client_is_made_once(with_tmem: ControlDomain, client: DomainId) -> None:
    with pytest.raises(TmemError, match="client of tmem already"):
        with_tmem.backend.restore_begin(client)


def test_a_save_that_did_not_begin_leaves_nothing(with_tmem: ControlDomain, client: DomainId) -> None:
    assert with_tmem.backend.client_info(client).nr_pools == 2
    ran = with_tmem.xm("tmem-save", client, "/nowhere/saved")
    assert ran.status in (1, 2, 5)
    assert not with_tmem.backend.client_info(client).frozen

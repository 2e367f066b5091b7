# SPDX-License-Identifier: GPL-2.0-only
"""Save, restore and migrate as far as a release can; where it cannot, that is said and nothing is changed.

Xen never hands out the first page of a pool that has several, and each page once only: what can be saved whole is a
pool with one page.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.guest import Guest
from tests.system.dom0.pages import OID, PAGES, PERSISTENT, fill, page
from xm_tmem.backends.interface import PoolInfo
from xm_tmem.ids import DomainId, SharedUuid
from xm_tmem.operations.save_defects import defects_of


@pytest.fixture
def saving(with_tmem: ControlDomain) -> ControlDomain:
    """A host that can save at all."""
    if defects_of(with_tmem.backend.host()).forbids is not None:
        pytest.skip(f"Xen {with_tmem.name} can neither save nor restore")
    return with_tmem


@pytest.fixture
def one_page(with_tmem: ControlDomain) -> DomainId:
    """A client whose persistent pool has a single page, weight 42."""
    domain = with_tmem.create_domain()
    with_tmem.backend.restore_begin(domain)
    with_tmem.backend.restore_pool(domain, PoolInfo(PERSISTENT, True, False, 0, SharedUuid(0, 0)))
    fill(with_tmem.backend, domain, PERSISTENT, 1)
    with_tmem.backend.set_weight(domain, 42)
    return domain


def test_a_guests_page_survives_a_save_and_a_restore(
    saving: ControlDomain, guest: Guest, tmp_path: Path
) -> None:
    file = tmp_path / "dom0.tmem"
    pool = guest.new_pool(persistent=True)
    assert guest.put(pool, OID, 3, page(99)) == 1
    saved = saving.xm("tmem-save", 0, file)
    assert (saved.status, saved.err) == (0, "")
    assert saving.xm("tmem-stream", file).status == 0
    assert guest.put(pool, OID, 4, page(4)) == 1  # not left frozen
    assert guest.flush_object(pool, OID) == 1
    restored = saving.xm("tmem-restore", "--into-existing", file, 0)
    assert restored.status == 0, restored.err
    assert guest.get(pool, OID, 3) == (1, page(99))
    assert guest.get(pool, OID, 4)[0] == 0


def test_a_client_is_restored_into_another_domain(
    saving: ControlDomain, one_page: DomainId, idle: DomainId, tmp_path: Path
) -> None:
    file = tmp_path / "saved"
    assert saving.xm("tmem-save", one_page, file).status == 0
    assert saving.xm("tmem-restore", file, idle).status == 0
    assert saving.backend.client_info(idle) == saving.backend.client_info(one_page)
    assert saving.backend.pools(idle) == saving.backend.pools(one_page)
    again = saving.xm("tmem-restore", file, idle)
    assert again.status == 1
    assert saving.backend.pools(idle) == saving.backend.pools(one_page)


def test_a_client_is_migrated_to_another_domain(
    saving: ControlDomain, one_page: DomainId, idle: DomainId
) -> None:
    ran = saving.xm("tmem-migrate", one_page, "xen:///", "--to", idle)
    assert ran.status == 0, ran.err
    assert saving.backend.pools(idle) == saving.backend.pools(one_page)
    assert saving.backend.client_info(idle).weight == 42
    assert not saving.backend.client_info(one_page).frozen


def test_a_save_that_cannot_be_whole_is_refused(
    saving: ControlDomain, client: DomainId, tmp_path: Path
) -> None:
    file = tmp_path / "saved"
    before = saving.backend.client_info(client)
    ran = saving.xm("tmem-save", client, file)
    assert ran.status == 5
    assert "nothing was changed" in ran.err
    assert not file.exists()
    assert saving.backend.client_info(client) == before


def test_a_partial_save_says_what_is_missing(
    saving: ControlDomain, client: DomainId, idle: DomainId, tmp_path: Path
) -> None:
    file = tmp_path / "saved"
    ran = saving.xm("tmem-save", "--partial", client, file)
    assert ran.status == 6
    assert f"{PAGES - 1} pages of 2 pools saved" in ran.out
    assert "pages are missing from the save: 1 of pool 1" in ran.err
    assert not saving.backend.client_info(client).frozen
    refused = saving.xm("tmem-restore", file, idle)
    assert refused.status == 1
    assert "--partial" in refused.err
    assert saving.xm("tmem-restore", "--partial", file, idle).status in (0, 6)
    assert [(pool.pool_id, pool.n_pages) for pool in saving.backend.pools(idle)] == [(0, 0), (1, PAGES - 1)]


def test_a_release_that_cannot_save_says_so(
    with_tmem: ControlDomain, client: DomainId, tmp_path: Path
) -> None:
    forbids = defects_of(with_tmem.backend.host()).forbids
    if forbids is None:
        pytest.skip(f"Xen {with_tmem.name} can save")
    ran = with_tmem.xm("tmem-save", client, tmp_path / "saved")
    assert (ran.status, ran.err) == (5, f"xm: {forbids}\n")

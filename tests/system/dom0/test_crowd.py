# SPDX-License-Identifier: GPL-2.0-only
"""Seventy domains with two pools each, and a buffer too small for their listing: Xen leaves lines out silently."""

from __future__ import annotations

import pytest

from hypervisor_model.public.xen import CLI_ID_ALL
from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.pages import EPHEMERAL, PERSISTENT, fill
from xm_tmem.backends.interface import PoolInfo
from xm_tmem.ids import DomainId, SharedUuid

DOMAINS = 70
SMALL_BUFFER_BYTES = 8192


@pytest.fixture
def crowd(with_tmem: ControlDomain) -> list[DomainId]:
    """Domains that each have an ephemeral and a persistent pool with a page."""
    domains = [with_tmem.create_domain() for _ in range(DOMAINS)]
    for domain in domains:
        with_tmem.backend.restore_begin(domain)
        for pool, persistent in ((EPHEMERAL, False), (PERSISTENT, True)):
            with_tmem.backend.restore_pool(domain, PoolInfo(pool, persistent, False, 0, SharedUuid(0, 0)))
            fill(with_tmem.backend, domain, pool, 1)
    return domains


def test_seventy_domains(with_tmem: ControlDomain, crowd: list[DomainId]) -> None:
    """All in one test: to make them takes the time."""
    listing = with_tmem.xm("tmem-list", "-l", "-o", "json").json
    assert listing["truncated"] is False
    assert (listing["problems"], listing["unknown_lines"]) == ([], [])
    assert set(crowd) <= {it["cli_id"] for it in listing["clients"]}
    pools = [
        (it["cli_id"], it["pool_id"], it["pgp_count"]) for it in listing["pools"] if it["cli_id"] in crowd
    ]
    assert sorted(pools) == [(domain, pool, 1) for domain in crowd for pool in (EPHEMERAL, PERSISTENT)]

    raw = with_tmem.xm("tmem-list", "-l", "-o", "raw").out
    assert len(raw) > 2 * SMALL_BUFFER_BYTES
    rows = {row["id"]: row for row in with_tmem.xm("list", "-o", "json").json["domains"]}
    assert all((rows[domain]["pools"], rows[domain]["persistent"]) == (2, 1) for domain in crowd)

    assert with_tmem.xm("tmem-set", "-a", "-w", 7).status == 0
    infos = [with_tmem.backend.client_info(domain) for domain in crowd]
    assert {(info.weight, info.compress, info.frozen) for info in infos} == {(7, True, False)}
    assert with_tmem.xm("tmem-freeze", *crowd[:3]).status == 0
    assert with_tmem.xm("tmem-thaw", "-a").status == 0
    assert not any(with_tmem.backend.client_info(domain).frozen for domain in crowd[:3])

    if with_tmem.release.lists_all:
        check_what_xen_does_with_a_small_buffer(with_tmem, raw)


def check_what_xen_does_with_a_small_buffer(dom0: ControlDomain, whole: str) -> None:
    """It answers 0, and lines are missing; also, it writes behind the end: the reason for a guard page."""
    dom0.calls.clear()
    call = dom0.abi.list_text(CLI_ID_ALL, bytearray(SMALL_BUFFER_BYTES), use_long=True)
    assert dom0.calls.call_many([call]) == [0]
    written = dom0.calls.written()
    assert len(written) < len(whole)
    assert written.count(b"\nP=") < whole.count("\nP=")

# SPDX-License-Identifier: GPL-2.0-only
"""Questions: summaries of domains, reports, and how much could be freed."""

from __future__ import annotations

import pytest

from tests.xm_tmem.operations.tripping import model
from xm_tmem.errors import NoClient
from xm_tmem.operations.query import client_targets, freeable, listed, summaries
from xm_tmem.operations.resolve import targets


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_summaries_have_every_domain_once_by_id(release: str) -> None:
    hv, backend = model(release, clients=2)
    hv.create_domain(7, name="idle")
    found = summaries(backend.typed)
    assert [summary.domain.domain_id for summary in found] == [0, 1, 2, 7]
    assert [summary.ephemeral for summary in found] == [0, 100, 100, 0]
    assert [summary.client is None for summary in found] == [True, False, False, True]


def test_persistent_pages_and_gets_are_summed_over_pools() -> None:
    hv, backend = model(clients=1)
    guest = hv.domain(1)
    for _ in range(2):
        pool = guest.new_pool(persistent=True)
        guest.put(pool, 1, 0, bytes(4096))
        guest.get(pool, 1, 0)
        guest.get(pool, 1, 1)
    (summary,) = [each for each in summaries(backend.typed) if each.domain.domain_id == 1]
    assert (summary.persistent, summary.pools, summary.gets, summary.found_gets) == (2, 3, 4, 2)


def test_a_report_says_where_when_and_which_release() -> None:
    _, backend = model("4.12")
    it = listed(backend.typed, now=lambda: 12.5)
    assert (it.report.connection, it.report.release, it.report.timestamp) == ("model:test", "4.12", 12.5)
    assert it.report.names[1] == "guest1"
    assert not it.report.truncated


def test_a_report_on_some_has_those_and_the_errors_of_the_others() -> None:
    hv, backend = model()
    hv.create_domain(7)
    it = listed(backend.typed, targets(backend.typed, ["3", "7", "1"]))
    assert [client.cli_id for client in it.report.listing.clients] == [3, 1]
    assert [type(outcome.error) for outcome in it.outcomes] == [type(None), NoClient, type(None)]
    assert it.found
    assert not listed(backend.typed, targets(backend.typed, ["7"])).found


def test_client_targets_are_the_domains_that_use_tmem() -> None:
    hv, backend = model(clients=2)
    hv.create_domain(7)
    assert [(t.domain_id, t.label) for t in client_targets(backend.typed)] == [
        (1, "guest1 (1)"),
        (2, "guest2 (2)"),
    ]


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_freeable_is_the_hypervisors_own_answer(release: str) -> None:
    _, backend = model(release)
    it = freeable(backend.typed)
    assert (it.freeable_mb, it.ephemeral) == (1, 300)

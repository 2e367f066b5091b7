# SPDX-License-Identifier: GPL-2.0-only
"""Rates from reading to reading: of domains, of pools, of the host; what came, went or started again."""

from __future__ import annotations

from tests.xm_tmem.listing import texts
from xm_tmem.listing.rates import HISTORY, Observer, Rates
from xm_tmem.listing.report import Report, read_report


def report(when: float, gets: int, *, more: str = "", ops: int = 0, evicted: int = 0) -> Report:
    text = (
        f"G=Tt:{ops},Et:{evicted}\nC=CI:1,fr:0\nP=CI:1,PI:0,PT:EP,U0:0,U1:0,Pc:5,pt:{gets},ps:{gets},gs:{gets},gt:{gets}\n"
        f"P=CI:1,PI:1,PT:PP,U0:0,U1:0,Pc:7,pt:0,ps:0,gs:0,gt:0\n{more}T\n"
    )
    return read_report(text.encode(), connection="x", timestamp=when)


def observed(*reports: Report) -> Rates:
    observer = Observer()
    for each in reports:
        rates = observer.observe(each)
    return rates


def test_a_domain_is_the_sum_of_its_pools() -> None:
    rates = observed(report(10.0, 100, ops=50), report(14.0, 180, ops=250, evicted=8))
    (domain,) = rates.domains
    assert (domain.pages, domain.gets, domain.hit_rate, domain.pool) == (12, 20.0, 1.0, None)
    assert [(pool.pool, pool.gets) for pool in rates.pools] == [(0, 20.0), (1, 0.0)]
    assert [pool.hit_rate for pool in rates.pools] == [1.0, None]
    assert (rates.host.ops, rates.host.evictions, rates.host.errors) == (50.0, 2.0, None)


def test_the_first_reading_has_no_rates_and_no_ratios() -> None:
    (domain,) = observed(report(10.0, 100)).domains
    assert (domain.pages, domain.gets, domain.hit_rate, list(domain.history)) == (12, None, None, [])


def test_a_reading_that_is_not_later_has_no_rates() -> None:
    (domain,) = observed(report(10.0, 100), report(10.0, 200)).domains
    assert domain.gets is None


def test_counters_that_started_again_are_counted_from_0() -> None:
    (domain,) = observed(report(10.0, 100), report(12.0, 40)).domains
    assert domain.gets == 20.0


def test_history_follows_a_domain_and_ends_with_it() -> None:
    observer = Observer()
    other = "C=CI:2\nP=CI:2,PI:0,PT:EP,U0:0,U1:0,Pc:0,pt:0,gt:{}\n"
    for n in range(4):
        rates = observer.observe(report(float(n), n * 10, more=other.format(n)))
    assert [list(domain.history) for domain in rates.domains] == [[20.0] * 3, [1.0] * 3]
    observer.observe(report(4.0, 40))
    rates = observer.observe(report(5.0, 50, more=other.format(9)))
    assert [list(domain.history) for domain in rates.domains] == [[20.0] * 5, [9.0]]


def test_history_is_bounded() -> None:
    observer = Observer()
    for n in range(HISTORY + 9):
        rates = observer.observe(report(float(n), n))
    assert len(rates.domains[0].history) == HISTORY


def test_shared_pools_are_rows_of_each_sharer_and_keys_differ() -> None:
    rates = observed(read_report(texts.recorded("4.12-shared"), connection="x", timestamp=1.0))
    keys = [pool.key for pool in rates.pools]
    assert len(set(keys)) == len(keys)
    assert any(pool.kind == "ephemeral-shared" for pool in rates.pools)

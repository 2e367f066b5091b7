# SPDX-License-Identifier: GPL-2.0-only
"""The course of fields through a recording: rates, ratios, amounts; domains that come, go and start again."""

from __future__ import annotations

import pytest

from xm_tmem.errors import BadInput
from xm_tmem.listing.report import Report, read_report
from xm_tmem.operations.history import History, history, wanted_fields

Domain = tuple[int, int, int]  # id, gets, pages


def report(when: float, *domains: Domain, ops: int = 0) -> Report:
    lines = [f"G=Tt:{ops},Et:0,Ec:{ops * 2}\n"]
    for domain, gets, pages in domains:
        lines.append(
            f"C=CI:{domain},ww:3\nP=CI:{domain},PI:0,PT:EP,U0:0,U1:0,Pc:{pages},gs:{gets // 2},gt:{gets}\n"
        )
        lines.append(f"P=CI:{domain},PI:1,PT:PP,U0:0,U1:0,Pc:1,gs:0,gt:0\n")
    return read_report(
        "".join([*lines, "T\n"]).encode(), connection="x", timestamp=when, names={1: "web", 2: "db"}
    )


REPORTS = (
    report(0.0, (1, 100, 5), ops=100),
    report(10.0, (1, 140, 7), (2, 10, 9), ops=200),
    report(20.0, (1, 20, 3), ops=400),
)


def course(
    fields: str, *domains: str, by_pool: bool = False
) -> dict[tuple[str, int | None, int | None], list[float | None]]:
    found = history(REPORTS, wanted_fields(fields), by_pool=by_pool, domains=domains)
    assert found.times == [0.0, 10.0, 20.0]
    return {(each.field, each.domain, each.pool): each.values for each in found.series}


def test_amounts_are_as_they_were() -> None:
    assert course("pages") == {
        ("pgp_count", 1, None): [6.0, 8.0, 4.0],
        ("pgp_count", 2, None): [None, 10.0, None],
    }


def test_counters_are_rates_and_start_again_from_0() -> None:
    assert course("gets")["gets", 1, None] == [None, 4.0, 2.0]


def test_ratios_are_those_of_the_interval() -> None:
    assert course("hit_rate", "web") == {("hit_rate", 1, None): [None, 0.5, 0.5]}


def test_the_host_has_fields_too() -> None:
    assert course("host.ops,host.eph_count") == {
        ("ops", None, None): [None, 10.0, 20.0],
        ("eph_count", None, None): [200.0, 400.0, 800.0],
    }


def test_pools_by_themselves() -> None:
    assert course("pages", "1", by_pool=True) == {
        ("pgp_count", 1, 0): [5.0, 7.0, 3.0],
        ("pgp_count", 1, 1): [1.0, 1.0, 1.0],
    }


def test_series_are_in_the_order_of_the_fields() -> None:
    assert [field for field, _, _ in course("weight,host.ops,pages", "db")] == ["weight", "ops", "pgp_count"]


def test_a_clock_put_back_is_passed_over() -> None:
    found = history([REPORTS[1], REPORTS[0], REPORTS[2]], wanted_fields("pages"), by_pool=False)
    assert found.times == [10.0, 20.0]


def test_nothing_has_no_history() -> None:
    assert history([], wanted_fields("pages"), by_pool=False) == History([], [])


@pytest.mark.parametrize(
    "words", ["", "pages,", "nosuch", "host.nosuch", "name", "uuid", "type", "domain", "host."]
)
def test_fields_that_cannot_be_drawn_are_refused(words: str) -> None:
    with pytest.raises(BadInput):
        wanted_fields(words)


def test_a_domain_that_was_never_there_is_refused() -> None:
    with pytest.raises(BadInput, match="no domain 'gone'"):
        course("pages", "web", "gone")

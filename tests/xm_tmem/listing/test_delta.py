# SPDX-License-Identifier: GPL-2.0-only
"""Two reports compared: growth, rates, newcomers, the gone, and counters that started again."""

from __future__ import annotations

from hypothesis import given, settings

from tests.xm_tmem.listing import texts
from xm_tmem.listing import derive
from xm_tmem.listing.delta import GONE, NEW, RESET, SAME, RecordDelta, compare, interval_report
from xm_tmem.listing.report import Report, read_report
from xm_tmem.listing.select import selection
from xm_tmem.render.formats import render_listing


def report(text: str, when: float, **names: str) -> Report:
    known = {int(cli_id[1:]): name for cli_id, name in names.items()}
    return read_report(text.encode(), connection="x", timestamp=when, names=known)


FIRST = (
    "G=Tt:100,Et:5,Ec:10\n"
    "C=CI:1,ww:10,Ge:50,Ec:10\nP=CI:1,PI:0,PT:EP,U0:0,U1:0,Pc:10,Pm:12,gs:50,gt:100\n"
    "C=CI:2,ww:10,Ge:7,Ec:0\nP=CI:2,PI:0,PT:EP,U0:0,U1:0,Pc:0,Pm:3,gs:7,gt:9\nT\n"
)
SECOND = (
    "G=Tt:160,Et:5,Ec:8\n"
    "C=CI:1,ww:20,Ge:80,Ec:8\nP=CI:1,PI:0,PT:EP,U0:0,U1:0,Pc:8,Pm:12,gs:80,gt:140\n"
    "P=CI:1,PI:1,PT:PP,U0:0,U1:0,Pc:4,Pm:4,gs:1,gt:2\n"
    "C=CI:3,ww:0,Ge:0,Ec:0\nT\n"
)


def states(deltas: tuple[RecordDelta, ...]) -> list[str]:
    return [delta.state for delta in deltas]


def test_counters_are_differences_and_gauges_changes() -> None:
    delta = compare(report(FIRST, 10.0), report(SECOND, 14.0))
    assert delta.seconds == 4.0
    assert delta.host is not None
    assert [delta.host.change(name) for name in ("ops", "evicted_pages", "eph_count", "pgp_count")] == [
        60,
        0,
        -2,
        None,
    ]
    assert delta.host.rate("ops", delta.seconds) == 15.0
    pool = delta.pools[0]
    assert (pool.change("gets"), pool.change("found_gets"), pool.change("pgp_count")) == (40, 30, -2)
    assert pool.interval.pgp_count == 8
    assert derive.hit_rate(pool.interval) == 0.75  # of the interval; over all time it is 0.57


def test_newcomers_and_the_gone_are_told() -> None:
    delta = compare(report(FIRST, 10.0), report(SECOND, 14.0))
    assert states(delta.clients) == [SAME, NEW, GONE]
    assert states(delta.pools) == [SAME, NEW, GONE]
    new, gone = delta.pools[1], delta.pools[2]
    assert (new.rate("gets", 4.0), new.change("gets")) == (0.5, None)
    assert (gone.before.cli_id, gone.rate("gets", 4.0), gone.change("gets")) == (2, None, None)


def test_a_counter_that_fell_started_again() -> None:
    restarted = SECOND.replace("Ge:80", "Ge:3").replace("gs:80,gt:140", "gs:60,gt:110")
    delta = compare(report(FIRST, 10.0), report(restarted, 14.0))
    assert delta.host is not None
    assert delta.host.state == SAME
    assert states(delta.clients)[0] == RESET
    assert states(delta.pools)[0] == RESET  # with its client, though its own counters rose
    assert delta.clients[0].change("succ_eph_gets") == 3
    assert delta.pools[0].rate("gets", 2.0) == 55.0


def test_a_high_water_mark_that_fell_tells_too() -> None:
    delta = compare(report(FIRST, 10.0), report(SECOND.replace("Pm:12", "Pm:11"), 14.0))
    assert states(delta.clients)[0] == SAME
    assert states(delta.pools)[0] == RESET


def test_another_name_under_the_same_id_is_another_domain() -> None:
    same = compare(report(FIRST, 1.0, d1="web"), report(SECOND, 2.0, d1="web"))
    other = compare(report(FIRST, 1.0, d1="web"), report(SECOND, 2.0, d1="db"))
    unknown = compare(report(FIRST, 1.0, d1="web"), report(SECOND, 2.0))
    assert [delta.clients[0].state for delta in (same, other, unknown)] == [SAME, RESET, SAME]
    assert other.pools[0].state == RESET


def test_with_the_host_everything_started_again() -> None:
    delta = compare(report(FIRST, 10.0), report(SECOND.replace("Tt:160", "Tt:99"), 14.0))
    assert delta.host is not None
    assert delta.host.state == RESET
    assert states(delta.clients)[0] == states(delta.pools)[0] == RESET
    assert delta.host.change("ops") == 99


def test_a_client_that_came_back_has_new_pools() -> None:
    without = FIRST.replace("C=CI:1,ww:10,Ge:50,Ec:10\n", "")  # its C= line was lost, its pool was not
    delta = compare(report(without, 10.0), report(SECOND, 14.0))
    assert states(delta.clients)[0] == NEW
    assert states(delta.pools)[0] == RESET


def test_no_rate_without_time() -> None:
    delta = compare(report(FIRST, 10.0), report(SECOND, 10.0))
    assert delta.pools[0].rate("gets", delta.seconds) is None
    assert delta.pools[0].change("gets") == 40


def test_a_report_of_the_interval_can_be_rendered() -> None:
    some = interval_report(report(FIRST, 10.0), report(SECOND, 14.0))
    text = render_listing(some, selection(columns="domain,pool,gets,hit_rate"), "plain", headings=False)
    assert [line.split() for line in str(text).splitlines()] == [
        ["1", "0", "40", "75.0%"],
        ["1", "1", "2", "50.0%"],
        ["3", "-", "-", "-"],
    ]


def test_shared_pools_are_known_by_their_uuid() -> None:
    recorded = texts.recorded("4.12-shared").decode()
    later = recorded.replace("U0:1,U1:2,Pc:5,Pm:5", "U0:1,U1:2,Pc:9,Pm:9")
    delta = compare(report(recorded, 1.0), report(later, 2.0))
    assert states(delta.shared_pools) == [SAME] * 3
    assert [each.change("pgp_count") for each in delta.shared_pools] == [0, 0, 4]


@settings(max_examples=100)
@given(texts.mutilated(), texts.mutilated())
def test_nothing_counted_is_negative(first: bytes, second: bytes) -> None:
    before, after = (read_report(text, connection="x", timestamp=0.0) for text in (first, second))
    delta = compare(before, after)
    deltas = (*delta.clients, *delta.pools, *delta.shared_pools, *([delta.host] if delta.host else []))
    for each in deltas:
        if each.state == SAME:
            for tag, value in zip(each.interval.tags, each.interval, strict=False):
                assert tag.kind != "counter" or value is None or value >= 0
    interval_report(before, after)


@given(texts.mutilated())
def test_nothing_happened_between_a_report_and_itself(text: bytes) -> None:
    same = read_report(text, connection="x", timestamp=0.0)
    delta = compare(same, same)
    assert {each.state for each in (*delta.shared_pools, *([delta.host] if delta.host else []))} <= {SAME}

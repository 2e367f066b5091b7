# SPDX-License-Identifier: GPL-2.0-only
"""The rules of tmem-check, each on a host that breaks it and on one that does not; and what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from xm_tmem.backends.interface import HostInfo, PoolInfo, TmemState
from xm_tmem.backends.replay import ReplayBackend
from xm_tmem.errors import BadInput, NoClient
from xm_tmem.ids import DomainId, PoolId, SharedUuid
from xm_tmem.listing.capture import Capture
from xm_tmem.operations.checking import Checked, Finding, check
from xm_tmem.operations.rules import RULES, Limits, limits

CLIENT = "C=CI:1,ww:0,co:0,fr:0\n"
COMPRESSING = "C=CI:1,ww:0,co:1,fr:0\n"
FROZEN = "C=CI:1,ww:0,co:0,fr:1\n"
EPHEMERAL = "P=CI:1,PI:0,PT:EP,U0:0,U1:0,Pc:9,Pm:9,px:{px},gs:{gs},gt:{gt}\n"
PERSISTENT = "P=CI:1,PI:1,PT:PP,U0:0,U1:0,Pc:{pages},Pm:999,px:0,gs:0,gt:500\n"
SHARED = "P=CI:1,PI:2,PT:ES,U0:a,U1:b,Pc:9,Pm:9,px:0,gs:0,gt:0\nC=CI:2\nP=CI:2,PI:2,PT:ES,U0:a,U1:b,Pc:9\n"
NEW = {"release": "4.12", "xen_version": "4.12.4", "abi": "client_info"}


def host(
    *lines: str, when: float = 1000.0, name: str = "web", about: Any = None, **values: int
) -> ReplayBackend:
    """A host that lists these lines at `when`."""
    numbers = {"px": 0, "gs": 90, "gt": 100, "pages": 0, **values}
    text = "G=Tt:1\n" + "".join(line.format(**numbers) for line in lines) + "T\n"
    return ReplayBackend(
        "model:x",
        Capture(when, "model:x", text.encode(), about or {}, ({"domain_id": 1, "name": name},)),
    )


def only(rule: str, limit: str = "on") -> Limits:
    return limits({}, [f"{rule}={limit}"], [rule])


def found(checked: Checked) -> list[tuple[str, int | None, int | None, float | None]]:
    return [(each.rule, each.domain_id, each.pool, each.value) for each in checked.findings]


def twice(rule: Limits, before: ReplayBackend, after: ReplayBackend) -> list[Finding]:
    return check(after, rule, check(before, rule, None).memory).findings


def test_nothing_is_found_on_a_host_where_all_is_well() -> None:
    first = check(host(CLIENT, EPHEMERAL), limits({}, (), ()), None)
    assert first.findings == []
    later = host(CLIENT, EPHEMERAL, when=2000.0, gs=190, gt=200)
    assert check(later, limits({}, (), ()), first.memory).findings == []


def test_tmem_off() -> None:
    class Off(ReplayBackend):
        def host(self) -> HostInfo:
            return HostInfo("model:x", "4.3.4", "4.3", "tmemc", TmemState.OFF, "")

    off = Off("model:x", Capture(1.0, "model:x", b"T\n", {}, ()))
    checked = check(off, limits({}, (), ()), None)
    assert found(checked) == [("tmem-off", None, None, None)]
    assert "boot Xen 4.3.4 with tmem=1" in checked.findings[0].message
    assert checked.memory is None
    assert check(off, only("frozen"), None).findings == []


def test_a_listing_that_is_cut_short_or_strange() -> None:
    cut = ReplayBackend("x", Capture(1.0, "x", b"G=Tt:1\nC=CI:1,ww", {}, ()))
    assert found(check(cut, only("truncated"), None)) == [("truncated", None, None, None)]
    assert found(check(host("X=what\n"), only("truncated"), None)) == [("truncated", None, None, None)]
    assert check(cut, only("frozen"), None).findings == []


def test_frozen_counts_from_the_first_check_that_found_it_so() -> None:
    rule = only("frozen", "10m")
    memory = check(host(CLIENT, when=0.0), rule, None).memory
    for when, lines, seconds in (
        (1000.0, FROZEN, None),
        (1600.0, FROZEN, None),  # not longer than the limit
        (1601.0, FROZEN, 601.0),
        (9000.0, FROZEN, 8000.0),
        (9001.0, CLIENT, None),
        (9999.0, FROZEN, None),
    ):
        checked = check(host(lines, when=when), rule, memory)
        assert found(checked) == ([] if seconds is None else [("frozen", 1, None, seconds)]), when
        memory = checked.memory


def test_another_domain_under_the_same_id_is_not_the_one_that_was_frozen() -> None:
    rule = only("frozen", "1s")
    memory = check(host(FROZEN, when=0.0), rule, None).memory
    assert check(host(FROZEN, when=100.0), rule, memory).findings != []
    assert check(host(FROZEN, when=100.0, name="db"), rule, memory).findings == []


def test_a_clock_that_was_put_back_begins_anew() -> None:
    rule = only("frozen", "1s")
    memory = check(host(FROZEN, when=5000.0), rule, None).memory
    checked = check(host(FROZEN, when=100.0), rule, memory)
    assert checked.findings == []
    assert check(host(FROZEN, when=200.0), rule, checked.memory).findings != []


def test_refused_puts_are_those_since_the_last_check() -> None:
    rule = only("refused", "10")
    full = host(CLIENT, EPHEMERAL, px=500)
    assert check(full, rule, None).findings == []
    assert twice(rule, full, host(CLIENT, EPHEMERAL, px=510, when=2000.0)) == []
    (finding,) = twice(rule, full, host(CLIENT, EPHEMERAL, px=511, when=2000.0))
    assert (finding.domain, finding.pool, finding.value, finding.limit) == ("web", 0, 11, 10.0)
    assert finding.message == "11 puts refused for lack of memory in 16.7 min (limit 10)"


def test_what_a_frozen_domain_was_refused_is_no_lack_of_memory() -> None:
    rule = only("refused", "0")
    before, after = host(CLIENT, EPHEMERAL), host(CLIENT, EPHEMERAL, px=5, when=2000.0)
    assert len(twice(rule, before, after)) == 1
    assert twice(rule, host(FROZEN, EPHEMERAL), after) == []
    assert twice(rule, before, host(FROZEN, EPHEMERAL, px=5, when=2000.0)) == []


def test_a_counter_that_started_again_is_not_what_it_counted_before() -> None:
    rule = only("refused", "3")
    before = host(CLIENT, EPHEMERAL, px=500)
    assert found(
        check(host(CLIENT, EPHEMERAL, px=4, when=2000.0), rule, check(before, rule, None).memory)
    ) == [("refused", 1, 0, 4)]
    assert twice(rule, before, host(CLIENT, EPHEMERAL, px=3, when=2000.0)) == []


@pytest.mark.parametrize(
    ("gets", "hits", "value"),
    [(100, 4, 0.04), (100, 5, None), (99, 0, None), (1000, 49, 0.049), (100, 0, 0.0)],
)
def test_a_hit_rate_below_the_limit(gets: int, hits: int, value: float | None) -> None:
    rule = only("hit-rate", "5%")
    expected = [] if value is None else [("hit-rate", 1, 0, value)]
    assert found(check(host(CLIENT, EPHEMERAL, gs=hits, gt=gets), rule, None)) == expected
    later = host(CLIENT, EPHEMERAL, gs=7000 + hits, gt=7000 + gets, when=2000.0)
    assert [
        each[:4] for each in map(tuple, twice(rule, host(CLIENT, EPHEMERAL, gs=7000, gt=7000), later))
    ] == [("hit-rate", 1, "web", 0) for _ in expected]


def test_a_hit_rate_and_its_limit_are_told_in_the_same_unit() -> None:
    (finding,) = check(host(CLIENT, EPHEMERAL, gs=4, gt=100), only("hit-rate", "5%"), None).findings
    assert finding.message == "4.0% of 100 gets found their page (limit 5%)"


def test_a_persistent_pool_has_no_hit_rate_to_complain_of() -> None:
    assert check(host(CLIENT, PERSISTENT), only("hit-rate", "50%"), None).findings == []


@pytest.mark.parametrize(
    ("release", "options", "guarded"),
    [
        ("4.3", {"tmem": "1"}, False),
        ("4.8", {}, False),
        ("4.3", {"tmem_shared_auth": ""}, True),
        ("4.3", {"tmem_shared_auth": "1"}, True),
        ("4.3", {"tmem_shared_auth": "0"}, False),
        ("4.9", {}, True),
        ("", {}, True),  # nobody knows
    ],
)
def test_a_shared_pool_that_is_open_to_all(release: str, options: dict[str, str], guarded: bool) -> None:
    some = host(CLIENT, SHARED, about={"release": release, "options": options})
    findings = check(some, only("shared"), None).findings
    assert len(findings) == (0 if guarded else 1)
    assert all("shared pool of web, 2:" in each.message for each in findings)


def test_a_domain_that_was_refused_a_shared_pool() -> None:
    class WithPools(ReplayBackend):
        def pools(self, client: DomainId) -> list[PoolInfo]:
            if client == 2:
                raise NoClient("gone")
            uuids = [SharedUuid(0, 0), SharedUuid(5, 6), SharedUuid(7, 0)]
            return [PoolInfo(PoolId(n), False, n == 2, 1, uuid) for n, uuid in enumerate(uuids)]

    text = f"G=Tt:1\n{CLIENT}C=CI:2\nT\n".encode()
    some = WithPools("x", Capture(1.0, "x", text, NEW, ()))
    assert found(check(some, only("shared"), None)) == [("shared", 1, 1, None)]
    assert check(host(CLIENT, about=NEW), only("shared"), None).findings == []  # a recording cannot be asked


@pytest.mark.parametrize(
    ("client", "about", "lost"),
    [
        (CLIENT, {"xen_version": "4.3.4"}, 1),  # the first page of the pool
        (COMPRESSING, NEW, 1),
        (CLIENT, NEW, 40),  # what is not compressed is not copied
        (CLIENT, {"xen_version": "4.0.1"}, 40),  # forbidden altogether
        (CLIENT, {"xen_version": "4.3.4", "details": {"quirks": "documented"}}, 0),
        (CLIENT, {}, 0),  # nobody knows
    ],
)
def test_pages_that_a_migration_would_lose(client: str, about: dict[str, Any], lost: int) -> None:
    some = host(client, EPHEMERAL, PERSISTENT, about=about, pages=40)
    assert found(check(some, only("lost-pages"), None)) == ([("lost-pages", 1, None, lost)] if lost else [])
    assert check(some, only("lost-pages", str(lost)), None).findings == []
    assert check(host(client, PERSISTENT, about=about), only("lost-pages"), None).findings == []


def test_a_shared_pool_is_nobodys_page_to_lose() -> None:
    shared = PERSISTENT.replace("PT:PP,U0:0,U1:0", "PT:PS,U0:1,U1:2")
    assert check(host(CLIENT, shared, about=NEW, pages=40), only("lost-pages"), None).findings == []


def test_rules_that_are_off_find_nothing() -> None:
    about = {"release": "4.3", "xen_version": "4.3.4"}
    bad = host(FROZEN, EPHEMERAL, PERSISTENT, "X=what\n", SHARED, about=about, gs=0, pages=40)
    assert {each.rule for each in check(bad, limits({}, (), ()), None).findings} == {
        "truncated",
        "hit-rate",
        "shared",
        "lost-pages",
    }
    assert check(bad, limits(dict.fromkeys(RULES, False), (), ()), None).findings == []


def test_limits_of_the_command_line_win_over_those_of_the_file() -> None:
    chosen = limits({"frozen": "2h", "hit-rate": 0.5, "refused": 7}, ["frozen=30m", "shared=off"], ())
    assert chosen["frozen"] == 1800
    assert (chosen["hit-rate"], chosen["refused"], chosen["lost-pages"]) == (0.5, 7, 0)
    assert "shared" not in chosen
    assert limits({"frozen": True, "refused": False}, (), ()) == {
        name: limit for name, limit in limits({}, (), ()).items() if name != "refused"
    }
    assert limits({}, ["hit-rate=12.5%"], ["hit-rate"]) == {"hit-rate": 0.125}


@pytest.mark.parametrize(
    "given",
    ["frozen", "nosuch=1", "frozen=soon", "frozen=-1", "refused=-1", "refused=1.5", "refused=nan", "hit-rate=150%",
     "hit-rate=x%", "shared=3", "lost-pages="],
)  # fmt: skip
def test_a_limit_that_makes_no_sense_is_refused(given: str) -> None:
    with pytest.raises(BadInput):
        limits({}, [given], ())

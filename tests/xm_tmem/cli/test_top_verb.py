# SPDX-License-Identifier: GPL-2.0-only
"""tmem-top in batch mode, and what the live view does with each key."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.xm_tmem.cli.conftest import OID, Host, Xm
from xm_tmem.cli.live_view import LiveView
from xm_tmem.cli.screen import CLOSED, RESIZED
from xm_tmem.errors import Unreachable
from xm_tmem.operations.rehearsal import Rehearsal
from xm_tmem.operations.watching import Watched, ticks
from xm_tmem.render.sparkline import BLOCKS

QUICK = ("-d", "0.02s")


def test_batch_shows_rates_so_many_times(xm: Xm) -> None:
    status, out, err = xm("tmem-top", "-b", "-n", "2", *QUICK)
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line[1] for line in lines] == ["record", "host", "domain", "domain"] * 2
    assert [line[3] for line in lines] == ["name", "-", "web", "db"] * 2
    assert {len(line) for line in lines} == {16}


def test_without_a_terminal_it_is_batch_mode(xm: Xm) -> None:
    assert xm("tmem-top", "-n", "1", *QUICK).out.startswith("time ")


def test_batch_for_programs(xm: Xm) -> None:
    first, second = [
        json.loads(line) for line in xm("tmem-top", "-n", "1", *QUICK, "-o", "jsonl").out.splitlines()
    ][1:]
    assert (first["record"], first["name"], first["pages"], first["gets_s"]) == ("domain", "web", 19, 0.0)
    assert second["frozen"] is False
    document = xm("tmem-top", "-n", "1", *QUICK, "-o", "json", "--pools").json
    assert [(r["record"], r["pool"]) for r in document["rates"]] == [
        ("host", None),
        *(("pool", 0), ("pool", 1)) * 2,
    ]
    rows = list(csv.DictReader(io.StringIO(xm("tmem-top", "-n", "2", *QUICK, "-o", "csv").out)))
    assert [row["record"] for row in rows] == ["host", "domain", "domain"] * 2


def test_batch_sorts(xm: Xm, host: Host) -> None:
    for index in range(200, 203):
        host.hv.domain(2).put(0, OID, index, b"\1" * 4096)
    out = xm("tmem-top", "-n", "1", *QUICK, "--sort", "pages").out
    assert [line.split()[3] for line in out.splitlines()[2:]] == ["db", "web"]


@pytest.mark.parametrize("words", [["--sort", "nosuch"], ["-d", "0"], ["-n", "x"], ["-o", "raw"],
                                   ["-c", "model:old", "-c", "model:new"]])  # fmt: skip
def test_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, words: list[str]) -> None:
    ran = xm("tmem-top", *words)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_a_host_that_is_not_there(xm: Xm) -> None:
    assert xm("-c", "model:none", "tmem-top").status == 5


def test_ticks_are_even_and_leave_out_what_they_missed() -> None:
    clock, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    for number in ticks(2.0, 4, now=lambda: clock[0], sleep=sleep):
        clock[0] += [0.5, 3.0, 0.0, 0.0][number]
    assert slept == [1.5, 1.0, 2.0]


class Clock:
    """A time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Make = Callable[..., LiveView]


@pytest.fixture
def live(host: Host) -> Make:
    def make(
        *, asks: bool = True, by_pool: bool = False, clock: Clock | None = None, dry_run: bool = False
    ) -> LiveView:
        def connect() -> Any:
            backend = host.backend("model:x")
            return Rehearsal(backend) if dry_run else backend

        watched = Watched(connect)
        return LiveView(
            watched, 2.0, sort="domain", descending=False, by_pool=by_pool, asks=asks, now=clock or Clock()
        )

    return make


def lines(view: LiveView) -> list[str]:
    return [line.text for line in view.frame(110, 12, BLOCKS)]


def selected(view: LiveView) -> str:
    (row,) = (line for line in lines(view) if line.startswith(">"))
    return row.split()[2]


def press(view: LiveView, *keys: str) -> None:
    for key in keys:
        view.press(key)


def test_freezing_asks_first(live: Make, host: Host) -> None:
    view = live()
    press(view, "down", "f")
    assert lines(view)[-1] == "freeze db (2)? y for yes, any other key for no"
    assert not host.frozen(2)
    press(view, "n")
    assert lines(view)[-1] == "db (2) is left as it is"
    assert not host.frozen(2)
    press(view, "f", "y")
    assert lines(view)[-1] == "db (2): frozen"
    assert (host.frozen(1), host.frozen(2)) == (False, True)
    assert "yes" in lines(view)[4]
    press(view, "f")
    assert lines(view)[-1].startswith("thaw db (2)?")
    press(view, "y")
    assert not host.frozen(2)


def test_q_at_the_question_means_no_and_does_not_quit(live: Make, host: Host) -> None:
    view = live()
    press(view, "f", "q")
    assert not view.ended
    assert not host.frozen(1)
    press(view, "q")
    assert view.ended


def test_nothing_is_asked_where_it_is_not_wanted(live: Make, host: Host) -> None:
    press(live(asks=False), "f")
    assert host.frozen(1)


def test_a_dry_run_freezes_nothing(live: Make, host: Host) -> None:
    press(live(asks=False, dry_run=True), "f")
    assert not host.frozen(1)


def test_a_failure_is_told_on_the_last_line_and_goes_away(live: Make, host: Host) -> None:
    view = live()
    host.hv.destroy_domain(1)
    press(view, "f", "y")
    assert "no domain 1" in lines(view)[-1]
    assert selected(view) == "db"
    press(view, "space")
    assert lines(view)[-1].startswith("q quit")


def test_selection_moves_and_follows_the_domain(live: Make) -> None:
    view = live()
    assert selected(view) == "web"
    press(view, "j")
    assert selected(view) == "db"
    press(view, "down", "page-down", "end")
    assert selected(view) == "db"
    press(view, "r")
    assert selected(view) == "db"
    assert lines(view)[3].startswith(">")
    press(view, "home", "k", "up", "page-up")
    assert selected(view) == "db"
    press(view, "p")
    assert (selected(view), sum("db" in line for line in lines(view))) == ("db", 2)
    press(view, "tab")
    assert selected(view) == "db"


def test_s_goes_through_all_columns_and_comes_back(live: Make) -> None:
    view = live()
    seen = []
    for _ in range(20):
        seen.append(view.view.sort)
        press(view, "s")
    assert seen[:4] == ["domain", "name", "pages", "puts/s"]
    assert seen.count("domain") >= 2
    assert "pool" not in seen


def test_pausing_stops_the_readings(live: Make) -> None:
    clock = Clock()
    view = live(clock=clock)
    assert view.seconds_left() == 2.0
    clock.now = 1.5
    assert view.seconds_left() == 0.5
    clock.now = 9.0
    assert view.seconds_left() == 0.0
    press(view, "space")
    assert view.seconds_left() is None
    assert "PAUSED" in lines(view)[0]
    press(view, "space")
    assert view.seconds_left() == 0.0
    view.read()
    assert view.seconds_left() == 2.0


def test_help_comes_and_goes_by_any_key(live: Make, host: Host) -> None:
    view = live()
    press(view, "?")
    assert any("this help" in line for line in lines(view))
    press(view, "q")
    assert not view.ended
    assert not any("this help" in line for line in lines(view))
    press(view, RESIZED, "x", CLOSED)
    assert view.ended


def test_a_broken_connection_is_closed_and_made_anew(host: Host) -> None:
    made = []

    def connect() -> Any:
        made.append(host.backend("model:x"))
        return made[-1]

    def broken(backend: object) -> None:
        raise Unreachable("it broke")

    with Watched(connect) as watched:
        assert watched.ask(lambda backend: backend.name) == "model:x"
        with pytest.raises(Unreachable):
            watched.ask(broken)
        assert watched.ask(lambda backend: backend.name) == "model:x"
    assert len(made) == 2


def test_a_host_that_goes_and_comes_back(host: Host) -> None:
    broken = [False]

    def connect() -> Any:
        if broken[0]:
            raise Unreachable("the host is gone")
        return host.backend("model:x")

    view = LiveView(Watched(connect), 2.0, sort="domain", descending=False, by_pool=False, asks=True)
    view._host.close()
    broken[0] = True
    view.read()
    assert lines(view)[-1] == "the host is gone"
    assert selected(view) == "web"
    broken[0] = False
    view.read()
    press(view, "r")
    assert lines(view)[-1].startswith("q quit")

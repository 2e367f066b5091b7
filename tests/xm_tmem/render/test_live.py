# SPDX-License-Identifier: GPL-2.0-only
"""A frame of the live view: it fits any terminal, shows what it should, and hostile names drive nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xm_tmem.render.reports import hostile
from xm_tmem.listing.rates import Observer
from xm_tmem.listing.report import Report, read_report
from xm_tmem.render.live import SORT_KEYS, Line, View, clip, frame, ordered, rate_text
from xm_tmem.render.plain import display_width
from xm_tmem.render.sparkline import ASCII, BLOCKS, bars, sparkline


def report(when: float, count: int = 3, names: dict[int, str] | None = None) -> Report:
    """`count` domains; number n makes 10 * n puts and 100 * n gets each second, of which a half is found."""
    lines = [f"G=Tt:{int(when) * 500},Te:0,Et:{int(when) * 7},Ec:{count * 256},Pc:{count * 256}\n"]
    for n in range(1, count + 1):
        puts, gets = int(when) * 10 * n, int(when) * 100 * n
        lines.append(f"C=CI:{n},ww:0,fr:{int(n == 2)}\n")
        lines.append(
            f"P=CI:{n},PI:0,PT:EP,U0:0,U1:0,Pc:256,Pm:256,ps:{puts},pt:{puts},px:0,gs:{gets // 2},gt:{gets},ft:0\n"
        )
    return read_report(
        "".join([*lines, "T\n"]).encode(),
        connection="model:x",
        timestamp=when,
        release="4.3",
        names=names or {n: f"dom{n}" for n in range(1, count + 1)},
    )


def view(count: int = 3, **more: Any) -> View:
    observer = Observer()
    observer.observe(report(1000, count))
    return View(observer.observe(report(1002, count)), 2.0)._replace(**more)


def shown(some: View, width: int = 100, height: int = 12, ramp: str = BLOCKS) -> list[str]:
    return [line.text for line in frame(some, width, height, ramp=ramp)]


def test_rates_are_for_each_second() -> None:
    title, host, headings, *rows = shown(view())
    assert title.startswith("model:x  ")
    assert title.endswith("every 2 s  Xen 4.3")
    assert host.startswith("evictions/s 7.0  ops/s 500  errors/s 0  held 3MiB, ephemeral 3MiB")
    names = headings.lower().split()
    assert dict(zip(names, rows[1].split(), strict=True)) == {
        "domain": "2",
        "name": "dom2",
        "frozen": "yes",
        "pages": "1MiB",
        "puts/s": "20",
        "gets/s": "200",
        "flush/s": "0",
        "refuse/s": "0",
        "hit": "50.0%",
        "put_ok": "100.0%",
        "activity": "\u2588",
    }


def test_before_the_second_reading_there_are_no_rates() -> None:
    first = View(Observer().observe(report(1000)), 2.0)
    assert shown(first)[3].split() == ["1", "dom1", "no", "1MiB", "-", "-", "-", "-", "-", "-"]
    assert shown(first)[1].startswith("evictions/s -  ops/s -")


@settings(max_examples=150)
@given(hostile, hostile, st.integers(1, 130), st.integers(1, 30), st.sampled_from(SORT_KEYS), st.booleans())
def test_a_frame_fits_any_terminal(
    before: Report, after: Report, width: int, height: int, sort: str, by_pool: bool
) -> None:
    observer = Observer()
    observer.observe(before)
    later = Report(after.listing, connection=after.connection, timestamp=5.0, names=after.names)
    some = View(observer.observe(later), 2.0, sort, by_pool=by_pool)
    lines = frame(some, width, height)
    assert len(lines) == height
    for line in lines:
        assert display_width(line.text) <= width
        assert line.text.isprintable()


def test_the_least_wanted_columns_go_first_and_none_is_wrapped() -> None:
    assert "put_ok" in shown(view(), 100)[2]
    narrow = shown(view(), 40)
    assert all(len(line) <= 40 for line in narrow)
    assert "gets/s" in narrow[2]
    assert "flush/s" not in narrow[2]
    assert [row.split()[:2] for row in narrow[3:6]] == [["1", "dom1"], ["2", "dom2"], ["3", "dom3"]]


def test_a_long_or_wide_name_is_cut_with_a_sign() -> None:
    names = {1: "n" * 90, 2: "日本" * 30, 3: "\x1b[2J"}
    observer = Observer()
    observer.observe(report(1000, names=names))
    some = View(observer.observe(report(1002, names=names)), 2.0)
    rows = shown(some, 90)[3:6]
    assert "nnn~" in rows[0]
    assert "本~" in rows[1] or "日~" in rows[1]
    assert "\\x1b[2J" in rows[2]
    assert all(display_width(row) <= 90 for row in rows)


@pytest.mark.parametrize(
    ("height", "selected", "first"), [(8, 1, "1"), (8, 4, "1"), (8, 5, "5"), (8, 30, "29")]
)
def test_the_selected_row_is_on_the_page(height: int, selected: int, first: str) -> None:
    lines = frame(view(30, selected=selected), 80, height)
    rows = [line for line in lines[3:-1] if line.text.strip()]
    assert rows[0].text.strip("> ").split()[0] == first
    assert [line.text.split()[1] for line in rows if line.style == "reverse"] == [str(selected)]
    assert [line.text[0] for line in rows].count(">") == 1


def test_sorting() -> None:
    assert [row.domain for row in ordered(view(sort="gets/s", descending=True))] == [3, 2, 1]
    assert [row.domain for row in ordered(view(sort="name"))] == [1, 2, 3]
    assert "GETS/S" in shown(view(sort="gets/s", descending=True))[2]


def test_pools_have_rows_of_their_own() -> None:
    line = shown(view(by_pool=True))[3].split()
    assert line[:4] == ["1", "dom1", "0", "eph"]


def test_pause_and_question_are_seen_on_a_narrow_terminal() -> None:
    lines = shown(view(paused=True, status="freeze dom1 (1)?"), 30)
    assert "PAUSED" in lines[0]
    assert lines[-1] == "freeze dom1 (1)?"
    assert shown(view(help=True), 80, 12)[-1].startswith("q quit")
    assert any("freeze or thaw" in line for line in shown(view(help=True), 80, 12))


def test_a_host_without_clients_says_so() -> None:
    empty = read_report(b"G=Tt:1\nT\n", connection="x", timestamp=1.0)
    assert " no domain uses tmem" in shown(View(Observer().observe(empty), 2.0))


@pytest.mark.parametrize(
    ("rate", "text"),
    [(None, "-"), (0.0, "0"), (0.04, "0.0"), (0.44, "0.4"), (9.9, "9.9"), (9.97, "10"), (37.2, "37"), (9999, "9999"),
     (12345, "12.3k"), (123456, "123k"), (999499, "999k"), (1.5e6, "1.5M"), (2e12, "2000G")],
)  # fmt: skip
def test_a_rate_is_short(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


def test_a_line_is_clipped_by_what_it_takes_on_the_screen() -> None:
    assert clip("abc", 2) == "ab"
    assert clip("日本", 3) == "日"
    assert clip("日本", 0) == ""
    assert Line("x").style == ""


def test_sparklines() -> None:
    assert sparkline([0, 1, 4, 8], 4) == " \u2581\u2584\u2588"
    assert sparkline([1, 2, 3], 2, ASCII) == "+@"
    assert sparkline([5], 3) == "  \u2588"
    assert sparkline([0.001, 1000], 2) == "\u2581\u2588"
    assert sparkline([], 3) == "   "
    assert sparkline([1, 2], 0) == ""
    assert sparkline([1, 2], 2, top=8) == "\u2581\u2582"


@pytest.mark.parametrize(
    ("environ", "encoding", "ramp"),
    [
        ({"LANG": "en_GB.UTF-8"}, "utf-8", BLOCKS),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, "utf-8", ASCII),
        ({"LC_ALL": "C.utf8"}, "utf-8", BLOCKS),
        ({"LC_ALL": "C.utf8"}, "latin-1", ASCII),
        ({}, None, ASCII),
    ],
)
def test_bars_are_ascii_where_nothing_else_can_be_shown(
    environ: dict[str, str], encoding: str | None, ramp: str
) -> None:
    assert bars(environ, encoding) == ramp

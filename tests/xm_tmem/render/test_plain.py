# SPDX-License-Identifier: GPL-2.0-only
"""Plain text: a row to a line, aligned, whole, and safe to print."""

from __future__ import annotations

from hypothesis import given, settings

from tests.xm_tmem.render.reports import HOSTILE_NAMES, hostile, report
from xm_tmem.listing.report import Report, read_report
from xm_tmem.listing.select import selection
from xm_tmem.render import plain, sections
from xm_tmem.render.formats import render_listing


def lines_of(text: str | bytes) -> list[str]:
    assert isinstance(text, str)
    return text.splitlines()


def test_columns_are_aligned_and_headed() -> None:
    text = render_listing(report(), selection(columns="domain,name,pages", units="pages"), "plain")
    assert lines_of(text)[:3] == [
        "domain  name      pages",
        "     0  Domain-0      7",
        "     0  Domain-0      4",
    ]


def test_without_headings_there_are_rows_alone() -> None:
    text = render_listing(report(), selection(columns="pool,type"), "plain", headings=False)
    assert lines_of(text)[0] == "0  persistent"
    long = render_listing(report(), selection(), "plain", headings=False, use_long=True)
    assert "clients:" not in lines_of(long)


def test_wide_characters_are_counted_as_wide() -> None:
    names = {0: "日本", 1: "abcdef"}
    text = render_listing(report(names=names), selection(columns="name,pool"), "plain")
    rows = lines_of(text)
    assert rows[1] == "日本       0"
    assert rows[5] == "abcdef     0"
    assert {plain.display_width(row) for row in rows} == {12}


def test_no_line_is_cut_or_wrapped_however_long() -> None:
    name = "x" * 5000
    text = render_listing(report(names={0: name}), selection(columns="name,pool"), "plain")
    assert lines_of(text)[1] == f"{name}     0"


def test_an_empty_listing_has_headings_and_no_rows() -> None:
    empty = read_report(b"G=Tt:1\nT\n", connection="x", timestamp=0.0)
    assert lines_of(render_listing(empty, selection(columns="domain,pages"), "plain")) == ["domain  pages"]


def test_a_legend_explains_each_heading_once() -> None:
    blocks = sections.short_view(report(), selection(columns="weight,frozen"))
    legend = sections.legend([*blocks, *blocks])
    assert legend.columns[0].values == ["weight", "frozen"]
    assert legend.columns[2].values[1] == "are new puts refused"


def test_the_long_view_leaves_out_what_no_row_has() -> None:
    blocks = {block.title: block for block in sections.long_view(report("4.12"), selection())}
    assert set(blocks) == {"host", "clients", "pools", "shared pools"}
    clients = blocks["clients"]
    assert isinstance(clients, sections.Section)
    assert "cap" not in [column.heading for column in clients.columns]
    older = {block.title: block for block in sections.long_view(report("4.3"), selection())}
    assert "timings" in older
    assert "cap" in [column.heading for column in older["clients"].columns]  # type: ignore[union-attr]


def test_the_long_view_shows_the_selected_clients_once() -> None:
    blocks = {block.title: block for block in sections.long_view(report(), selection(where="domain=1"))}
    for title, rows in (("clients", 1), ("pools", 5)):
        block = blocks[title]
        assert isinstance(block, sections.Section)
        assert block.row_count == rows


def test_warnings_tell_what_a_reader_must_know() -> None:
    assert sections.warnings(report()) == []
    assert sections.warnings(Report(report().listing, connection="x", timestamp=0.0, truncated=True)) == [
        "the listing is cut short: lines are missing"
    ]
    assert sections.warnings(report("4.12-cut")) == [
        "the listing is cut short: no P= line for client 1, which holds pages"
    ]


@settings(max_examples=60)
@given(hostile)
def test_any_listing_becomes_printable_lines(some: Report) -> None:
    for use_long in (False, True):
        text = render_listing(some, selection(), "plain", use_long=use_long, legend=use_long)
        assert isinstance(text, str)
        assert all(line.isprintable() for line in text.split("\n"))


def test_hostile_names_are_shown_and_not_obeyed() -> None:
    text = render_listing(report(names=HOSTILE_NAMES), selection(columns="name"), "plain")
    assert lines_of(text)[1] == "[red]x[/]"
    assert lines_of(text)[5] == 'a"b\\c\\nd\\x1b]0;e\\x07\\u202e\\ud800'

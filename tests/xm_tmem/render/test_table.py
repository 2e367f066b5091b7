# SPDX-License-Identifier: GPL-2.0-only
"""Tables for a terminal: nothing wrapped, nothing cut, no markup obeyed."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.xm_tmem.render.reports import HOSTILE_NAMES, report
from xm_tmem.listing.select import selection
from xm_tmem.render import plain, sections, table


def drawn(blocks: list[sections.Block], width: int) -> list[str]:
    """The lines, as a terminal of `width` columns without colours would have them."""
    console = Console(width=width, color_system=None, highlight=False, _environ={})
    with console.capture() as capture:
        console.print(table.render(blocks, width=width))
    return capture.get().splitlines()


def test_a_section_that_fits_is_a_table() -> None:
    lines = drawn(sections.short_view(report(), selection()), 80)
    assert lines[0].split() == ["domain", "name", "frozen", "pool", "type", "pages", "hit_rate", "put_ok"]
    assert lines[1].split() == ["0", "Domain-0", "no", "0", "persistent", "28KiB", "80.0%", "83.3%"]
    assert len(lines) == 10


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("use_long", [False, True])
def test_whatever_the_width_every_value_is_there_and_no_line_is_too_wide(width: int, use_long: bool) -> None:
    view = sections.long_view if use_long else sections.short_view
    blocks = view(report("4.3"), selection())
    lines = drawn(blocks, width)
    if width >= 40:
        assert max(map(plain.display_width, lines)) <= width
        text = "\n".join(lines)
        assert "…" not in text
        assert text.count("ephemeral-shared") == 2
    if use_long and width >= 80:
        assert any(line.split()[:2] == ["good_eph_puts", "46"] for line in lines)


def test_names_are_text_and_never_markup() -> None:
    lines = drawn(sections.short_view(report(names=HOSTILE_NAMES), selection(columns="name,pool")), 80)
    assert lines[1].split() == ["[red]x[/]", "0"]
    assert 'a"b\\c\\nd\\x1b]0;e\\x07\\u202e\\ud800' in lines[5]


def test_a_section_without_rows_says_so() -> None:
    assert drawn(sections.short_view(report(), selection(where="frozen")), 80) == ["none"]


def test_small_is_what_rich_draws_without_delay() -> None:
    blocks = sections.short_view(report(), selection())
    assert table.is_small(blocks * 5)
    assert not table.is_small(blocks * 6)

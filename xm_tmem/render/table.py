# SPDX-License-Identifier: GPL-2.0-only
"""Records as rich tables for a terminal. Nothing here prints, measures the terminal or reads a clock.

Rich takes about a millisecond for each row: beyond `MOST_ROWS` use `plain`. Import this module only when a table is
drawn; rich costs more than the rest of a command together. A section too wide for the terminal is turned on its side,
one value to a line, so that nothing is wrapped in the middle or cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xm_tmem.render.cells import ABSENT, cell_text, cell_texts, is_left_aligned
from xm_tmem.render.plain import display_width
from xm_tmem.render.sections import Block, Facts, Section

MOST_ROWS = 50
_GAP = 2  # blanks between columns
_COLOURS = {"name": "bold", "domain": "cyan", "pool": "cyan"}


def is_small(blocks: Iterable[Block]) -> bool:
    """Are the blocks few enough rows to be drawn without delay?"""
    return sum(block.row_count for block in blocks if isinstance(block, Section)) <= MOST_ROWS


def render(
    blocks: Iterable[Block], *, width: int, units: str = "auto", headings: bool = True
) -> RenderableType:
    """The blocks as something for rich's Console.print; `width` is the terminal's."""
    drawn: list[RenderableType] = []
    for block in blocks:
        if drawn:
            drawn.append(Text(""))
        if block.title and headings:
            drawn.append(Text(block.title, style="bold"))
        if isinstance(block, Facts):
            drawn.append(_facts(block, width, units))
        elif block.row_count == 0:
            drawn.append(Text("none", style="dim"))
        else:
            drawn.append(_section(block, width, units, headings))
    return Group(*drawn)


def _facts(facts: Facts, width: int, units: str) -> Table:
    grid = Table.grid(padding=(0, _GAP))
    texts = [cell_text(fact.value, fact.unit, units) for fact in facts.facts]
    names = max((len(fact.name) for fact in facts.facts), default=0)
    values = max(map(len, texts), default=0)
    with_help = names + values + max((len(fact.help) for fact in facts.facts), default=0) + 2 * _GAP <= width
    for fact, text in zip(facts.facts, texts, strict=True):
        cells = [Text(fact.name, no_wrap=True), _cell(text, fact.name, fact.unit)]
        grid.add_row(*cells, *([Text(fact.help, style="dim", no_wrap=True)] if with_help else []))
    return grid


def _section(section: Section, width: int, units: str, headings: bool) -> RenderableType:
    texts = [cell_texts(column.values, column.unit, units) for column in section.columns]
    widths = [
        max(len(column.heading) if headings else 0, *map(display_width, cells))
        for column, cells in zip(section.columns, texts, strict=True)
    ]
    if sum(widths) + _GAP * (len(widths) - 1) > width:
        return _on_its_side(section, texts)
    table = Table(
        box=None, show_header=headings, header_style="bold dim", pad_edge=False, padding=(0, _GAP, 0, 0)
    )
    for column in section.columns:
        justify = "left" if is_left_aligned(column.unit) else "right"
        table.add_column(Text(column.heading), justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in zip(*texts, strict=True):
        cells = (
            _cell(text, column.heading, column.unit)
            for text, column in zip(row, section.columns, strict=True)
        )
        table.add_row(*cells)
    return table


def _on_its_side(section: Section, texts: Sequence[Sequence[str]]) -> Group:
    """Each row as a block of lines of heading and value."""
    blocks: list[RenderableType] = []
    for row in zip(*texts, strict=True):
        grid = Table.grid(padding=(0, _GAP))
        for text, column in zip(row, section.columns, strict=True):
            grid.add_row(
                Text(column.heading, style="dim", no_wrap=True), _cell(text, column.heading, column.unit)
            )
        blocks += [grid, Text("")]
    return Group(*blocks[:-1])


def _cell(text: str, heading: str, unit: str) -> Text:
    """A cell. Text, never a string with markup: names are hostile."""
    style = _COLOURS.get(heading, "")
    if text == ABSENT:
        style = "dim"
    elif heading == "frozen" and text == "yes":
        style = "bold blue"
    return Text(text, style=style, no_wrap=True, overflow="fold")

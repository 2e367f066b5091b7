# SPDX-License-Identifier: GPL-2.0-only
"""Aligned text for pipes and logs: never wrapped, never truncated, no escape codes; one row, one line.

Columns are two spaces apart and as wide as their widest cell. Absent values are "-", so that every row has every
column. Five thousand rows take a few hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xm_tmem.render.cells import cell_text, cell_texts, is_left_aligned
from xm_tmem.render.sections import Block, Facts, Section


def render(blocks: Iterable[Block], *, units: str = "pages", headings: bool = True) -> str:
    """The blocks as text, an empty line between them. Without `headings` there are neither titles nor headings."""
    texts = []
    for block in blocks:
        lines = (
            facts_lines(block, units) if isinstance(block, Facts) else section_lines(block, units, headings)
        )
        if block.title and headings:
            lines.insert(0, f"{block.title}:")
        texts.append("\n".join([*lines, ""]))
    return "\n".join(texts)


def section_lines(section: Section, units: str, headings: bool) -> list[str]:
    """One line for each row, after one of headings."""
    columns, formats = [], []
    for column in section.columns:
        texts = cell_texts(column.values, column.unit, units)
        if headings:
            texts.insert(0, column.heading)
        if "".join(texts).isascii():
            width = max(map(len, texts), default=0)
            formats.append(f"%-{width}s" if is_left_aligned(column.unit) else f"%{width}s")
        else:
            texts = _padded(texts)
            formats.append("%s")
        columns.append(texts)
    if formats and section.columns and is_left_aligned(section.columns[-1].unit):
        formats[-1] = "%s"  # no blanks at the end of a line
    line = "  ".join(formats)
    return [line % row for row in zip(*columns, strict=True)]


def facts_lines(facts: Facts, units: str) -> list[str]:
    """A name and its value to a line."""
    width = max((len(fact.name) for fact in facts.facts), default=0)
    return [f"{fact.name:<{width}}  {cell_text(fact.value, fact.unit, units)}" for fact in facts.facts]


def _padded(texts: Sequence[str]) -> list[str]:
    """Texts with characters of other widths than 1, filled up with blanks to the widest: alignment by eye."""
    widths = [display_width(text) for text in texts]
    widest = max(widths)
    return [text + " " * (widest - width) for text, width in zip(texts, widths, strict=True)]


def display_width(text: str) -> int:
    """Terminal columns of `text`: 2 for a wide East Asian character, 0 for a combining mark."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # only names beyond ASCII need it

    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)

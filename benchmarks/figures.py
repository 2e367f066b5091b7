# SPDX-License-Identifier: GPL-2.0-only
"""What a benchmark says: a value, how it stands to a peer measured in the same run, and the goal set for it.

The verdict follows from the goal, so no subject passes one on itself. A figure that cannot be had here (a peer that is
not installed, a build that is not made) is a figure without a value, whose note says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMES = "x"  # the unit of a ratio
HEADINGS = ("figure", "value", "ratio", "reference", "goal", "verdict", "last run")


@dataclass(frozen=True)
class Goal:
    """The figure is to be at most `limit`, or at least that much. In the unit TIMES it is the ratio that counts."""

    limit: float
    unit: str = TIMES
    at_least: bool = False

    def met(self, figure: Figure) -> bool:
        value = figure.ratio if self.unit == TIMES else figure.value
        assert value is not None, figure.name
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,.10g} {self.unit}"


@dataclass(frozen=True)
class Figure:
    """One line of the table; `value` None: not measured, for the reason in `note`."""

    name: str
    value: float | None
    unit: str = ""
    ratio: float | None = None
    reference: str = ""
    goal: Goal | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """PASS, MISS, "" without a goal, "-" if not measured."""
        if self.value is None:
            return "-"
        if self.goal is None:
            return ""
        return "PASS" if self.goal.met(self) else "MISS"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "ratio": self.ratio,
            "reference": self.reference,
            "goal": None if self.goal is None else str(self.goal),
            "verdict": self.verdict,
            "note": self.note,
        }


def not_measured(name: str, why: str) -> Figure:
    return Figure(name, None, note=why)


def change(figure: Figure, last: Mapping[str, Any] | None) -> str:
    """The figure in the last stored run: its ratio, which another machine's load disturbs least, else its value."""
    if figure.value is None or last is None or last["value"] is None:
        return ""
    if figure.ratio is not None and last["ratio"] is not None:
        return f"{shown(last['ratio'])} {TIMES}"
    return f"{shown(last['value'])} {last['unit']}".rstrip()


def shown(value: float) -> str:
    """Three digits that matter, and no more decimals than the magnitude deserves."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure], last: Mapping[str, Mapping[str, Any]]) -> str:
    """Fixed-width text: headings, a line per figure, and the notes beneath, numbered."""
    rows, notes = _rows(figures, last)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in (1, 2) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *notes]).rstrip()


def markdown(figures: Sequence[Figure]) -> str:
    """The same for a document, without the last run."""
    rows, notes = _rows(figures, {})
    lines = [f"| {' | '.join(cell.strip() for cell in row[:-1])} |" for row in rows]
    lines.insert(1, "|---|--:|--:|---|---|---|")
    return "\n".join([*lines, "", *(f"{note}  " for note in notes)]).rstrip()


def _rows(
    figures: Sequence[Figure], last: Mapping[str, Mapping[str, Any]]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The cells, the headings first, and the notes that they refer to."""
    notes: list[str] = []
    rows: list[tuple[str, ...]] = [HEADINGS]
    for figure in figures:
        mark = ""
        if figure.note:
            if figure.note not in notes:
                notes.append(figure.note)
            mark = f" [{notes.index(figure.note) + 1}]"
        rows.append(
            (
                figure.name + mark,
                "-" if figure.value is None else f"{shown(figure.value)} {figure.unit}".rstrip(),
                "" if figure.ratio is None else f"{shown(figure.ratio)} {TIMES}",
                figure.reference,
                "" if figure.goal is None else str(figure.goal),
                figure.verdict,
                change(figure, last.get(figure.name)),
            )
        )
    return rows, [f"[{number}] {note}" for number, note in enumerate(notes, 1)]

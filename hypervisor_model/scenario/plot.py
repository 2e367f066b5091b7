# SPDX-License-Identifier: GPL-2.0-only
"""Lines over time as an SVG element to stand inside an HTML page, with its legend.

Colours   lines have their own, good on light and dark; text and grid take the page's.
Left out  anything but lines from zero upwards: no other scale, no interaction but the names that show on hovering.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from hypervisor_model.scenario.markup import escaped

WIDTH: Final = 720
HEIGHT: Final = 260
LEFT: Final = 64
RIGHT: Final = 12
TOP: Final = 12
BOTTOM: Final = 40
MOST_TICKS: Final = 6
COLOURS: Final = (
    "#3b7dd8", "#e07b39", "#2f9e62", "#c2486f", "#8a63c9", "#a5862a",
    "#2a9da5", "#d05a4e", "#6f8f2f", "#b653b0", "#7a7f8a", "#9a6a48",
)  # fmt: skip


class Line(NamedTuple):
    """One line. A value for each time, None where there is none; `colour` counts from 0."""

    name: str
    values: Sequence[float | None]
    colour: int
    dashed: bool = False


def ticks(top: float) -> list[float]:
    """Round numbers from 0 to the first that is at least `top`, at most MOST_TICKS + 1 of them."""
    if top <= 0 or not math.isfinite(top):
        return [0.0, 1.0]
    magnitude = 10.0 ** math.floor(math.log10(top / MOST_TICKS))
    step = next(factor * magnitude for factor in (1, 2, 5, 10, 20) if top <= factor * magnitude * MOST_TICKS)
    return [number * step for number in range(math.ceil(top / step - 1e-9) + 1)]


def plot(title: str, unit: str, times_s: Sequence[float], lines: Sequence[Line]) -> str:
    """A figure: caption, plot, legend. `unit` is that of the values; times are in seconds, increasing."""
    highest = max((value for line in lines for value in line.values if value is not None), default=0.0)
    rows, last_s = ticks(highest), max(times_s, default=0.0) or 1.0
    columns = [tick for tick in ticks(last_s) if tick <= last_s]
    across, up = (WIDTH - LEFT - RIGHT) / last_s, (HEIGHT - TOP - BOTTOM) / rows[-1]

    def x(time_s: float) -> str:
        return f"{LEFT + time_s * across:.1f}"

    def y(value: float) -> str:
        return f"{HEIGHT - BOTTOM - value * up:.1f}"

    parts = [
        f'<figure><figcaption>{escaped(title)} <span class="unit">{escaped(unit)}</span></figcaption>',
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(title)}">',
    ]
    for row in rows:
        parts.append(f'<path class="grid" d="M{LEFT} {y(row)}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(row)}" dy="4" text-anchor="end">{_number(row)}</text>')
    for column in columns:
        parts.append(f'<path class="grid" d="M{x(column)} {HEIGHT - BOTTOM}v4"/>')
        below = HEIGHT - BOTTOM + 18
        parts.append(f'<text x="{x(column)}" y="{below}" text-anchor="middle">{_number(column)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">modelled seconds</text>')
    for line in lines:
        points = [(x(time_s), value) for time_s, value in zip(times_s, line.values, strict=True)]
        for run in _unbroken([(at, None if value is None else y(value)) for at, value in points]):
            parts.append(
                f'<path class="line" {_stroke(line)} d="{run}"><title>{escaped(line.name)}</title></path>'
            )
    parts.append("</svg><ul>")
    for line in lines:
        swatch = (
            f'<svg class="swatch" viewBox="0 0 28 8"><path class="line" {_stroke(line)} d="M0 4H28"/></svg>'
        )
        parts.append(f"<li>{swatch}{escaped(line.name)}</li>")
    parts.append("</ul></figure>")
    return "\n".join(parts)


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'stroke="{COLOURS[line.colour % len(COLOURS)]}"{dashes}'


def _unbroken(points: Sequence[tuple[str, str | None]]) -> list[str]:
    """SVG paths through the points, interrupted where there is no value; a point alone is a short line."""
    runs: list[list[str]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{at} {value}")
    return [f"M{run[0]}m-2 0h4" if len(run) == 1 else "M" + "L".join(run) for run in runs if run]


def _number(value: float) -> str:
    return f"{value:,.10g}"

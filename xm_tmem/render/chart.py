# SPDX-License-Identifier: GPL-2.0-only
"""A series over time as a few lines of bars, for a terminal of any width."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from xm_tmem.render.sparkline import BLOCKS

ROWS = 4
_LABEL = 8  # columns left of the axis


def chart(
    times: Sequence[float],
    values: Sequence[float | None],
    *,
    width: int,
    text: Callable[[float], str],
    ramp: str = BLOCKS,
    rows: int = ROWS,
) -> list[str]:
    """`values` at `times` as bars from 0 to the largest, with an axis of values and one of times.

    `text` writes a value. Where there are more values than columns, a column shows their mean; where there are fewer,
    a value reaches to the next. No line is wider than `width`, if that is at all enough for an axis.
    """
    columns = max(1, width - _LABEL - 2)
    heights = resampled(times, values, columns)
    most = max((value for value in heights if value is not None), default=0.0)
    steps = len(ramp) - 1
    levels = [_level(value, most, rows * steps) for value in heights]
    lines = []
    for row in range(rows):
        below = (rows - 1 - row) * steps
        label = text(most) if row == 0 else text(0.0) if row == rows - 1 else ""
        bars = "".join(ramp[max(0, min(steps, level - below))] for level in levels)
        lines.append(f"{label[:_LABEL]:>{_LABEL}} |{bars}".rstrip())
    first, last = (time.strftime("%H:%M:%S", time.localtime(when)) for when in (times[0], times[-1]))
    gap = columns - len(first) - len(last)
    under = f"{first}{' ' * gap}{last}" if gap > 0 else first[:columns]
    return [*lines, " " * (_LABEL + 2) + under]


def _level(value: float | None, most: float, steps: int) -> int:
    if value is None or value <= 0 or most <= 0:
        return 0
    return max(1, round(value / most * steps))


def resampled(times: Sequence[float], values: Sequence[float | None], columns: int) -> list[float | None]:
    """A value for each of `columns` equal parts of the time: the mean of those in it, else the one before."""
    start, span = times[0], times[-1] - times[0]
    parts: list[list[float | None]] = [[] for _ in range(columns)]
    for when, value in zip(times, values, strict=True):
        position = 0 if span <= 0 else int((when - start) / span * columns)
        parts[min(position, columns - 1)].append(value)
    last: float | None = None
    heights = []
    for part in parts:
        if part:
            known = [value for value in part if value is not None]
            last = sum(known) / len(known) if known else None
        heights.append(last)
    return heights

# SPDX-License-Identifier: GPL-2.0-only
"""A series of numbers as a line of small bars, in Unicode's blocks or, where those cannot be shown, in ASCII."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII = " .:-=+*#@"


def bars(environ: Mapping[str, str], encoding: str | None) -> str:
    """The bars that a terminal can show: those of Unicode where the locale and the stream speak UTF-8."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    speaks = all("utf" in each.lower() for each in (locale, encoding or ""))
    return BLOCKS if speaks else ASCII


def sparkline(values: Sequence[float], width: int, ramp: str = BLOCKS, *, top: float | None = None) -> str:
    """The last `width` of `values` as bars from 0 to `top`, or to the largest of them. Exactly `width` wide.

    What is more than nothing has at least the smallest bar.
    """
    shown = list(values)[-width:] if width > 0 else []
    most = max(shown, default=0.0) if top is None else top
    steps = len(ramp) - 1
    line = ""
    for value in shown:
        step = 0 if value <= 0 or most <= 0 else max(1, min(steps, round(value / most * steps)))
        line += ramp[step]
    return line.rjust(max(width, 0))

# SPDX-License-Identifier: GPL-2.0-only
"""Series over time as a PNG or SVG image, drawn by matplotlib (the extra `plot`). Import this only to draw."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from xm_tmem.render.cells import cell_text, visible

KINDS = ("png", "svg")
_INCHES = (9.0, 2.4)  # width of an image, height of each panel


class Panel(NamedTuple):
    """Lines drawn over each other: those of one field. `unit` is one that `cells` knows."""

    title: str
    unit: str
    lines: list[tuple[str, Sequence[float | None]]]  # label (hostile text) and values


def image(times: Sequence[float], panels: Sequence[Panel], kind: str) -> bytes:
    """The panels one below the other, over the same time, as one of KINDS."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its caches
    when = [datetime.fromtimestamp(each, timezone.utc) for each in times]
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for panel, axis in zip(panels, axes, strict=True):
        for label, values in panel.lines:
            heights = [float("nan") if value is None else value for value in values]
            axis.plot(when, heights, label=_literal(label), marker="." if len(times) < 3 else "")
        axis.set_title(_literal(panel.title), loc="left", fontsize="medium")
        axis.yaxis.set_major_formatter(FuncFormatter(_formatter(panel.unit)))
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        if panel.lines and panel.lines[0][0]:
            axis.legend(loc="best", fontsize="small")
    axes[-1].set_xlabel("UTC")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the font lacks
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def _literal(text: str) -> str:
    """`text` without what matplotlib would take for mathematics, or for a line that has no place in the legend."""
    shown = visible(text).replace("$", "\\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _formatter(unit: str) -> Callable[[float, int], str]:
    def write(value: float, position: int) -> str:
        if unit == "ratio" or value != round(value):
            return cell_text(value, unit, "auto") if unit == "ratio" else f"{value:g}"
        return cell_text(round(value), unit, "auto")

    return write

# SPDX-License-Identifier: GPL-2.0-only
"""One frame of the live view as lines, each fit for the terminal's width, at most as many as it has rows.

Nothing here knows a terminal: a line is text and a style, which is bold, reverse or "". There are no colours, so that
none need be left out. Columns that do not fit are left out, the least wanted first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xm_tmem.listing.rates import Activity, HostActivity, Key, Rates
from xm_tmem.render.cells import ABSENT, cell_text, visible
from xm_tmem.render.plain import display_width
from xm_tmem.render.sparkline import BLOCKS, sparkline

KEYS = (
    ("up, down", "select (also k and j; page up, page down, home, end)"),
    ("s, r", "sort by the next column, the other way round"),
    ("p", "a row for each pool, or for each domain"),
    ("space", "pause"),
    ("f", "freeze or thaw the selected domain; asks first"),
    ("h, ?", "this help"),
    ("q", "quit"),
)
HINT = "q quit  h help  s sort  r reverse  p pools  space pause  f freeze/thaw"


class Line(NamedTuple):
    text: str
    style: str = ""


class View(NamedTuple):
    """What is shown, and how. `status` is the last line: a question, or what came of something; "" for the hint."""

    rates: Rates
    every_s: float
    sort: str = "domain"
    descending: bool = False
    by_pool: bool = False
    selected: Key = None
    paused: bool = False
    status: str = ""
    help: bool = False


class _Column(NamedTuple):
    """`wanted`: 0 is kept the longest. A width of 0 is that of the widest text, within limits."""

    name: str
    width: int
    wanted: int
    left: bool
    value: Callable[[Activity], Any]
    text: Callable[[Any], str]
    of_pools_only: bool = False


def rate_text(rate: float | None) -> str:
    """0, 0.4, 37, 1234, 56.7k: five characters tell enough of a rate."""
    if rate is None:
        return ABSENT
    if rate == 0 or 9.95 <= rate < 9999.5:
        return f"{rate:.0f}"
    for suffix in ("", "k", "M", "G"):
        if rate < 999.5 or suffix == "G":
            return f"{rate:.1f}{suffix}" if rate < 99.95 else f"{rate:.0f}{suffix}"
        rate /= 1000
    raise AssertionError


def _ratio(value: float | None) -> str:
    return cell_text(value, "ratio", "auto")


def _pages(value: int | None) -> str:
    return cell_text(value, "pages", "auto")


def _name(value: str | None) -> str:
    return ABSENT if value is None else visible(value)


_KINDS = {
    "ephemeral": "eph",
    "persistent": "pers",
    "ephemeral-shared": "eph-s",
    "persistent-shared": "pers-s",
}
_COLUMNS = (
    _Column("domain", 6, 1, False, lambda row: row.domain, str),
    _Column("name", 0, 0, True, lambda row: row.name, _name),
    _Column("pool", 4, 1, False, lambda row: row.pool, lambda value: cell_text(value, "id", "auto"), True),
    _Column("type", 6, 5, True, lambda row: row.kind, lambda value: _KINDS.get(value, ABSENT), True),
    _Column("frozen", 6, 4, False, lambda row: row.frozen, lambda value: cell_text(value, "flag", "auto")),
    _Column("pages", 7, 2, False, lambda row: row.pages, _pages),
    _Column("puts/s", 6, 3, False, lambda row: row.puts, rate_text),
    _Column("gets/s", 6, 2, False, lambda row: row.gets, rate_text),
    _Column("flush/s", 7, 8, False, lambda row: row.flushes, rate_text),
    _Column("refuse/s", 8, 6, False, lambda row: row.refused, rate_text),
    _Column("hit", 6, 2, False, lambda row: row.hit_rate, _ratio),
    _Column("put_ok", 6, 7, False, lambda row: row.put_success, _ratio),
)
SORT_KEYS = tuple(column.name for column in _COLUMNS if column.name not in ("type", "frozen"))
_NAME_WIDTHS = (6, 20)
_SPARK_WIDTHS = (8, 40)


def ordered(view: View) -> list[Activity]:
    """The rows in the order they are shown in; those without a value last."""
    rows = view.rates.pools if view.by_pool else view.rates.domains
    value = next(column.value for column in _COLUMNS if column.name == view.sort)
    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=view.descending)
    return known + [row for row in rows if value(row) is None]


def frame(view: View, width: int, height: int, *, ramp: str = BLOCKS) -> list[Line]:
    """The view on a terminal of this size: never more lines, never a wider one."""
    head = [Line(_title(view), "bold"), Line(_host(view.rates.host, width, ramp))]
    status = Line(view.status or HINT, "bold" if view.status else "")
    if view.help:
        body = [Line(f"  {key:<10} {meaning}") for key, meaning in KEYS]
    else:
        body = _table(view, width, height - len(head) - 1, ramp)
    lines = [*head, *body][: max(0, height - 1)]
    lines += [Line("")] * (height - 1 - len(lines))
    lines.append(status)
    return [Line(clip(line.text, width), line.style) for line in lines[:height]]


def clip(text: str, width: int) -> str:
    """`text`, or as much of it as fits in so many columns."""
    if text.isascii():
        return text[:width]
    while display_width(text) > width:
        text = text[:-1]
    return text


def _title(view: View) -> str:
    report = view.rates.report
    said = [
        visible(report.connection),
        "PAUSED" if view.paused else "",
        "CUT SHORT" if report.truncated else "",
        time.strftime("%H:%M:%S", time.localtime(report.timestamp)),
        f"every {view.every_s:g} s",
        f"Xen {report.release}" if report.release else "",
    ]
    return "  ".join(filter(None, said))


def _host(host: HostActivity, width: int, ramp: str) -> str:
    text = (
        f"evictions/s {rate_text(host.evictions)}  ops/s {rate_text(host.ops)}  errors/s {rate_text(host.errors)}  "
        f"held {_pages(host.pages)}, ephemeral {_pages(host.ephemeral)}"
    )
    room = min(width - len(text) - 2, _SPARK_WIDTHS[1])
    return f"{text}  {sparkline(host.history, room, ramp)}" if room >= _SPARK_WIDTHS[0] else text


def _table(view: View, width: int, height: int, ramp: str) -> list[Line]:
    """Headings, and as many rows as there is room for, the selected one among them."""
    if height < 1:
        return []
    rows = ordered(view)
    columns, name_width, spark_width = _layout(view, rows, width)
    # The heading of the column that rows are sorted by is in capitals: there is no room for an arrow.
    names = [column.name.upper() if column.name == view.sort else column.name for column in columns]
    cells = (_cell(column, name, name_width) for column, name in zip(columns, names, strict=True))
    heading = " " + " ".join(cells)
    lines = [Line(f"{heading}  {'activity':<{spark_width}}" if spark_width else heading, "bold")]
    for row in _page_of(rows, view.selected, height - 1):
        text = " ".join(_cell(column, column.text(column.value(row)), name_width) for column in columns)
        if spark_width:
            text += f"  {sparkline(row.history, spark_width, ramp)}"
        chosen = row.key == view.selected
        lines.append(Line((">" if chosen else " ") + text, "reverse" if chosen else ""))
    if not rows:
        lines.append(Line(" no domain uses tmem"))
    return lines


def _layout(view: View, rows: Sequence[Activity], width: int) -> tuple[list[_Column], int, int]:
    """The columns that fit, the width of the name, and that of the sparkline (0: none)."""
    candidates = [column for column in _COLUMNS if view.by_pool or not column.of_pools_only]
    least, most = _NAME_WIDTHS
    longest = max([len("name"), *(display_width(_name(row.name)) for row in rows)])
    fitting: list[_Column] = []
    room = width - 1
    for column in sorted(candidates, key=lambda column: column.wanted):
        needed = (column.width or min(longest, least)) + 1
        if needed <= room:
            fitting.append(column)
            room -= needed
    spare = max(0, room - _SPARK_WIDTHS[0] - 1)
    name_width = min(longest, most, min(longest, least) + spare)
    room -= name_width - min(longest, least) + 1
    spark_width = min(room, _SPARK_WIDTHS[1]) if room >= _SPARK_WIDTHS[0] else 0
    return [column for column in candidates if column in fitting], name_width, spark_width


def _cell(column: _Column, text: str, name_width: int) -> str:
    width = column.width or name_width
    if display_width(text) > width:
        text = clip(text, max(width - 1, 0)) + "~"
    padding = " " * (width - display_width(text))
    return text + padding if column.left else padding + text


def _page_of(rows: Sequence[Activity], selected: Key, count: int) -> Sequence[Activity]:
    """`count` of the rows: the page that has the selected one on it."""
    if count < 1:
        return ()
    position = next((n for n, row in enumerate(rows) if row.key == selected), 0)
    start = position - position % count
    return rows[start : start + count]

# SPDX-License-Identifier: GPL-2.0-only
"""What of a listing is shown: a filter, an order, columns and units, each from a word on the command line.

Filter    see `filter`
Order     names separated by commas; a "-" before one turns it round: -pages,domain
Columns   names separated by commas, for those instead of the usual ones; a "+" before the first adds to them
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from xm_tmem.errors import BadInput
from xm_tmem.listing.fields import CLIENT_COLUMNS, FIELDS, POOL_COLUMNS, Field, Row, find_field, rows_of
from xm_tmem.listing.report import Report

UNITS = ("auto", "pages", "bytes", "KiB", "MiB")


class Selection:
    """What to show of a report, and in which units. Not changed once made.

    where      the test a row must pass; None: all pass
    order      fields to sort by, the most important first; True: descending
    by_client  one row for each client instead of one for each pool
    """

    __slots__ = ("by_client", "columns", "order", "units", "where")

    def __init__(
        self,
        columns: tuple[Field, ...],
        where: Callable[[Row], bool] | None = None,
        order: tuple[tuple[Field, bool], ...] = (),
        units: str = "auto",
        by_client: bool = False,
    ) -> None:
        self.columns, self.where, self.order = columns, where, order
        self.units, self.by_client = units, by_client

    def rows(self, report: Report) -> list[Row]:
        """The report's rows that pass, in order. None sorts last either way; the order is stable."""
        rows = rows_of(report, by_client=self.by_client)
        if self.where is not None:
            rows = [row for row in rows if self.where(row)]
        for field, descending in reversed(self.order):
            rows = _sorted(rows, field, descending=descending)
        return rows


def selection(
    *,
    columns: str | None = None,
    where: str | None = None,
    order: str | None = None,
    units: str = "auto",
    by_client: bool = False,
) -> Selection:
    """A Selection from what the user typed. Raises BadInput."""
    usual = CLIENT_COLUMNS if by_client else POOL_COLUMNS
    test = None
    if where is not None:
        from xm_tmem.listing.filter import parse_filter  # few listings are filtered

        test = parse_filter(where)
    return Selection(
        choose_columns(columns, usual),
        test,
        () if order is None else parse_order(order),
        check_units(units),
        by_client,
    )


def check_units(word: str) -> str:
    """The unit called `word`, whatever its case. Raises BadInput."""
    for unit in UNITS:
        if unit.lower() == word.lower():
            return unit
    raise BadInput(f"{word!r} is no unit to show: use {', '.join(UNITS[:-1])} or {UNITS[-1]}")


def choose_columns(words: str | None, usual: Sequence[str]) -> tuple[Field, ...]:
    """The fields that `words` names, see above. Raises BadInput."""
    if words is None:
        return tuple(FIELDS[name] for name in usual)
    added = words.startswith("+")
    chosen = [find_field(word) for word in _split(words.removeprefix("+"), "columns")]
    if added:
        chosen = [FIELDS[name] for name in usual] + chosen
    return tuple({field.name: field for field in chosen}.values())


def parse_order(words: str) -> tuple[tuple[Field, bool], ...]:
    """The sort keys that `words` names, the most important first. Raises BadInput."""
    return tuple(
        (find_field(word.removeprefix("-")), word.startswith("-")) for word in _split(words, "sort keys")
    )


def _split(words: str, what: str) -> list[str]:
    parts = [word.strip() for word in words.split(",")]
    if not all(parts):
        raise BadInput(f"{words!r} is no list of {what}: separate names with single commas")
    return parts


def _sorted(rows: Iterable[Row], field: Field, *, descending: bool) -> list[Row]:
    asked = [(field.of(row), row) for row in rows]
    with_value = [pair for pair in asked if pair[0] is not None]
    with_value.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in with_value] + [row for value, row in asked if value is None]

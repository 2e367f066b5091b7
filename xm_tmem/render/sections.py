# SPDX-License-Identifier: GPL-2.0-only
"""A report laid out as sections of columns and rows: what the table, the plain text and CSV have in common.

The short view is one section. The long one has a section for each type of line, with every value; a column in which
no row has a value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xm_tmem.listing import derive
from xm_tmem.listing.fields import FIELDS, Row
from xm_tmem.listing.records import (
    TIMED,
    ClientRecord,
    GlobalRecord,
    PerfRecord,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.report import Report, not_understood
from xm_tmem.listing.select import Selection
from xm_tmem.render.cells import is_memory


class Column:
    """A column; the unit says how its values become text (see `cells`)."""

    __slots__ = ("heading", "help", "unit", "values")

    def __init__(self, heading: str, unit: str, help: str, values: Sequence[Any]) -> None:  # noqa: A002
        self.heading, self.unit, self.help, self.values = heading, unit, help, values


class Section:
    """Rows under headings. All columns are of one length. `title` may be ""."""

    __slots__ = ("columns", "title")

    def __init__(self, title: str, columns: tuple[Column, ...]) -> None:
        self.title, self.columns = title, columns

    @property
    def row_count(self) -> int:
        return len(self.columns[0].values) if self.columns else 0


class Fact:
    """One named value of a thing that there is only one of."""

    __slots__ = ("help", "name", "unit", "value")

    def __init__(self, name: str, unit: str, help: str, value: Any) -> None:  # noqa: A002
        self.name, self.unit, self.help, self.value = name, unit, help, value


class Facts:
    """Named values, one to a line."""

    __slots__ = ("facts", "title")

    def __init__(self, title: str, facts: tuple[Fact, ...]) -> None:
        self.title, self.facts = title, facts


Block = Section | Facts


def short_view(report: Report, selection: Selection) -> list[Block]:
    """Clients with their pools, or clients alone, in the columns of the selection."""
    rows = selection.rows(report)
    columns = (
        Column(field.heading, field.unit, field.help, [field.of(row) for row in rows])
        for field in selection.columns
    )
    return [Section("", tuple(columns))]


def long_view(report: Report, selection: Selection) -> list[Block]:
    """Every value: the host, the selected clients and pools, the shared pools, the timings."""
    listing, rows = report.listing, selection.rows(report)
    blocks: list[Block] = []
    if listing.global_ is not None:
        blocks.append(host_facts(listing.global_))
    first_rows = {row.client.cli_id: row for row in reversed(rows) if row.client is not None}
    clients = [row for row in rows if row.client is not None and first_rows[row.client.cli_id] is row]
    blocks.append(_section("clients", _CLIENT_FIELDS, clients))
    if not selection.by_client:
        blocks.append(_section("pools", _POOL_FIELDS, [row for row in rows if row.pool is not None]))
    if shared := derive.shared_pools(listing):
        blocks.append(_shared_section(shared))
    if listing.perf is not None:
        blocks.append(_timing_section(listing.perf))
    return blocks


def host_facts(host: GlobalRecord) -> Facts:
    """The host's counters, and what follows from them."""
    facts = [Fact(tag.name, tag.unit, tag.help, value) for tag, value in zip(host.tags, host, strict=False)]
    facts += (Fact(name, "ratio", told, ask(host)) for name, told, ask in derive.HOST_RATIOS)
    return Facts("host", tuple(fact for fact in facts if fact.value is not None))


def legend(blocks: Iterable[Block], units: str = "pages") -> Section:
    """What the headings of `blocks` mean, where amounts of memory are shown in `units`."""
    known: dict[str, tuple[str, str]] = {}
    for block in blocks:
        if isinstance(block, Facts):
            known.update(
                (fact.name, (fact.unit, fact.help)) for fact in block.facts if fact.name not in known
            )
        else:
            for column in block.columns:
                known.setdefault(column.heading, (column.unit, column.help))
    return Section(
        "legend",
        (
            Column("heading", "text", "", list(known)),
            Column("unit", "text", "", [_shown_unit(unit, units) for unit, _ in known.values()]),
            Column("meaning", "text", "", [text for _, text in known.values()]),
        ),
    )


def _shown_unit(unit: str, units: str) -> str:
    if not is_memory(unit):
        return unit
    return "size" if units == "auto" else units  # auto: each value says its own


def warnings(report: Report) -> list[str]:
    """What a reader of the report must be told, each a sentence without its full stop."""
    listing = report.listing
    told = [f"the listing is cut short: {problem}" for problem in listing.problems]
    if report.truncated and not told:
        told.append("the listing is cut short: lines are missing")
    if listing.unknown:
        told.append(not_understood(len(listing.unknown)))
    return told


_CLIENT_FIELDS = (
    *("cli_id", "name"),
    *(tag.name for tag in ClientRecord.tags[1:]),
    *("share_by_weight", "share_held", "compression_ratio"),
)
_POOL_FIELDS = (
    *("cli_id", "name", "pool_id", "type", "uuid"),
    *(tag.name for tag in PoolRecord.tags[5:]),
    *("hit_rate", "put_success"),
)


def _section(title: str, names: Iterable[str], rows: Sequence[Row]) -> Section:
    fields = [FIELDS[name] for name in names]
    columns = (Column(each.heading, each.unit, each.help, [each.of(row) for row in rows]) for each in fields)
    return Section(title, tuple(_said(columns)))


def _shared_section(pools: Sequence[SharedPoolRecord]) -> Section:
    columns = (
        Column(_heading(tag.name), tag.unit, tag.help, [pool[position] for pool in pools])
        for position, tag in enumerate(SharedPoolRecord.tags)
    )
    return Section("shared pools", tuple(_said(columns)))


def _heading(name: str) -> str:
    return FIELDS[name].heading if name in FIELDS else name


def _timing_section(perf: PerfRecord) -> Section:
    timed = {
        what: timing for stem, (_, what) in TIMED.items() if (timing := perf.timing(stem)) and timing.samples
    }
    return Section(
        "timings",
        (
            Column("operation", "text", "what was timed", list(timed)),
            Column("samples", "calls", "how often", [each.samples for each in timed.values()]),
            Column(
                "mean_cycles",
                "cycles",
                "on average",
                [round(each.mean_cycles or 0) for each in timed.values()],
            ),
            Column("max_cycles", "cycles", "at most", [each.max_cycles for each in timed.values()]),
            Column("min_cycles", "cycles", "at least", [each.min_cycles for each in timed.values()]),
        ),
    )


def _said(columns: Iterable[Column]) -> Iterator[Column]:
    """The columns with at least one value, or any at all where there are no rows."""
    return (each for each in columns if not each.values or any(value is not None for value in each.values))

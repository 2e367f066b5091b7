# SPDX-License-Identifier: GPL-2.0-only
"""The course of chosen fields through a recording: a series for each domain or pool, and for the host.

A counter becomes its rate for each second since the capture before; a ratio is that of the time in between; all else
is as it was when captured. None stands where nothing is known: at the first capture, and while a domain is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from xm_tmem.errors import BadInput
from xm_tmem.listing.delta import compare, interval_report
from xm_tmem.listing.fields import Field, Row, find_field, rows_of
from xm_tmem.listing.records import ClientRecord, GlobalRecord, PoolRecord
from xm_tmem.listing.report import Report

HOST_PREFIX = "host."
_COUNTERS = {tag.name for kind in (ClientRecord, PoolRecord) for tag in kind.tags if tag.kind == "counter"}
_UNITS = frozenset(
    (
        *("pages", "frames", "bytes", "cycles", "calls", "objects", "nodes", "descriptors"),
        *("ratio", "number", "flag"),
    )
)


class Series(NamedTuple):
    """One field of one domain, pool or host: a value, or None, for each of the recording's times."""

    field: str
    unit: str  # of a field's values; "per second" of it where `is_rate`
    is_rate: bool
    domain: int | None  # None: the host
    name: str | None
    pool: int | None
    values: list[float | None]


class History(NamedTuple):
    """`times` in seconds since 1970; each series has a value for each of them."""

    times: list[float]
    series: list[Series]


class Wanted(NamedTuple):
    """A field to follow; `field` is None for one of the host's."""

    name: str
    unit: str
    is_rate: bool
    field: Field | None


def wanted_fields(words: str) -> list[Wanted]:
    """The fields that `words`, separated by commas, name; host.NAME is one of the host's. Raises BadInput."""
    found = []
    for word in dict.fromkeys(part.strip() for part in words.split(",")):
        if word.startswith(HOST_PREFIX):
            position = GlobalRecord.by_name.get(word.removeprefix(HOST_PREFIX))
            if position is None:
                raise BadInput(f"the host has no field {word!r}; `xm tmem-list -l` shows those it has")
            tag = GlobalRecord.tags[position]
            found.append(Wanted(tag.name, tag.unit, tag.kind == "counter", None))
            continue
        field = find_field(word)
        if field.unit not in _UNITS:
            raise BadInput(f"{word!r} is no amount: there is nothing to draw")
        found.append(Wanted(field.name, field.unit, field.name in _COUNTERS, field))
    return found


def history(
    reports: Iterable[Report], fields: Sequence[Wanted], *, by_pool: bool, domains: Sequence[str] = ()
) -> History:
    """The fields' course through `reports`, which are in order; of `domains` (ids or names) alone if there are any.

    Raises BadInput when a domain is in none of them.
    """
    times: list[float] = []
    found: dict[tuple[object, ...], Series] = {}
    seen: set[str] = set()
    before: Report | None = None
    for report in reports:
        if before is not None and report.timestamp <= before.timestamp:
            continue  # the clock was put back
        for key, series, value in _values(report, before, fields, by_pool=by_pool):
            names = {str(series.domain), series.name or ""}
            seen |= names
            if domains and series.domain is not None and not names & set(domains):
                continue
            values = found.setdefault(key, series).values
            values += [None] * (len(times) - len(values))
            values.append(value)
        times.append(report.timestamp)
        before = report
    for domain in domains:
        if domain not in seen:
            raise BadInput(f"the recording has no domain {domain!r}")
    for series in found.values():
        series.values.extend([None] * (len(times) - len(series.values)))
    order = {field.name: position for position, field in enumerate(fields)}
    return History(times, sorted(found.values(), key=lambda series: order[series.field]))


def _values(
    report: Report, before: Report | None, fields: Sequence[Wanted], *, by_pool: bool
) -> Iterator[tuple[tuple[object, ...], Series, float | None]]:
    """(key, an empty series, the value) of each field and row."""
    seconds = 0.0 if before is None else report.timestamp - before.timestamp
    delta = None if before is None else compare(before, report).host
    rows = rows_of(report if before is None else interval_report(before, report), by_client=not by_pool)
    for wanted in fields:
        if wanted.field is None:
            host = report.listing.global_
            value = None if host is None else getattr(host, wanted.name)
            if wanted.is_rate:
                value = None if delta is None else delta.rate(wanted.name, seconds)
            yield (
                (wanted.name, "host"),
                Series(wanted.name, wanted.unit, wanted.is_rate, None, None, None, []),
                value,
            )
            continue
        for row in rows:
            key, domain, pool = _place(row)
            value = wanted.field.of(row)
            if before is None and (wanted.is_rate or wanted.unit == "ratio"):
                value = None
            elif wanted.is_rate and value is not None:
                value = value / seconds
            series = Series(wanted.name, wanted.unit, wanted.is_rate, domain, row.name, pool, [])
            yield (wanted.name, *key), series, None if value is None else float(value)


def _place(row: Row) -> tuple[tuple[object, ...], int, int | None]:
    """What tells a row from all others, its domain, its pool."""
    record = row.client or row.pool
    assert record is not None
    pool = row.pool
    if pool is None or pool.pool_id is None:
        return (record.cli_id,), record.cli_id, None
    return (record.cli_id, *pool[1:5]), record.cli_id, pool.pool_id

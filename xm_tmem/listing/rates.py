# SPDX-License-Identifier: GPL-2.0-only
"""What a host, its domains and their pools do now: rates from one reading to the next, with a short history.

A rate is None until there are two readings, and where a release does not count. Xen counts evictions for the whole
host alone. A domain's rates are those of its private pools; a shared pool's are shown with each of its pools' sharers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeAlias

from xm_tmem.listing import derive
from xm_tmem.listing.delta import RecordDelta, compare, interval_report
from xm_tmem.listing.fields import FIELDS, Row, rows_of
from xm_tmem.listing.report import Report

HISTORY = 120
"""Readings that are remembered for each domain and pool."""
Key: TypeAlias = Hashable


class Activity(NamedTuple):
    """A domain (pool None) or one of its pools. Pages are those held now; rates are for each second."""

    key: Key  # the same from reading to reading
    domain: int
    name: str | None
    pool: int | None
    kind: str | None  # of a pool: ephemeral or persistent, and -shared where it is
    frozen: bool | None
    pages: int | None
    puts: float | None
    gets: float | None
    flushes: float | None
    refused: float | None
    hit_rate: float | None
    put_success: float | None
    history: Sequence[float]  # puts and gets together, the latest last


class HostActivity(NamedTuple):
    """The host; rates are for each second, pages those held now."""

    ops: float | None
    evictions: float | None
    errors: float | None
    ephemeral: int | None
    pages: int | None
    history: Sequence[float]  # hypercalls


class Rates(NamedTuple):
    """One reading, seen from the one before. `seconds` is None at the first."""

    report: Report
    seconds: float | None
    host: HostActivity
    domains: list[Activity]
    pools: list[Activity]


class Observer:
    """Turns a sequence of reports of one host into rates."""

    def __init__(self) -> None:
        self._before: Report | None = None
        self._past: dict[Key, deque[float]] = {}

    def observe(self, report: Report) -> Rates:
        """The rates since the report before this one. A report not later than that one has none."""
        before, self._before = self._before, report
        seconds = None if before is None else report.timestamp - before.timestamp
        if before is None or seconds is None or seconds <= 0:
            return self._rates(report, report, None, None)
        return self._rates(report, interval_report(before, report), compare(before, report).host, seconds)

    def _rates(
        self, report: Report, interval: Report, host: RecordDelta | None, seconds: float | None
    ) -> Rates:
        known = self._past
        self._past = {}  # what is gone is forgotten
        return Rates(
            report,
            seconds,
            self._of_host(report, host, seconds, known),
            [self._of_row(row, seconds, known) for row in rows_of(interval, by_client=True)],
            [self._of_row(row, seconds, known) for row in rows_of(interval) if row.pool is not None],
        )

    def _remember(self, key: Key, value: float | None, known: dict[Key, deque[float]]) -> Sequence[float]:
        past = self._past[key] = known.get(key, deque(maxlen=HISTORY))
        if value is not None:
            past.append(value)
        return past

    def _of_host(
        self, report: Report, delta: RecordDelta | None, seconds: float | None, known: dict[Key, deque[float]]
    ) -> HostActivity:
        def rate(name: str) -> float | None:
            return None if delta is None or seconds is None else delta.rate(name, seconds)

        host, ops = report.listing.global_, rate("ops")
        return HostActivity(
            ops,
            rate("evicted_pages"),
            rate("errored_ops"),
            None if host is None else host.eph_count,
            None if host is None else host.pgp_count,
            self._remember("host", ops, known),
        )

    def _of_row(self, row: Row, seconds: float | None, known: dict[Key, deque[float]]) -> Activity:
        pool = row.pool
        record = row.client or pool
        assert record is not None
        key = record.cli_id if pool is None or pool.pool_id is None else (record.cli_id, *pool[1:5])

        def rate(name: str) -> float | None:
            counted = None if pool is None else getattr(pool, name)
            return None if counted is None or seconds is None else counted / seconds

        puts, gets = rate("puts"), rate("gets")
        return Activity(
            key,
            record.cli_id,
            row.name,
            None if pool is None else pool.pool_id,
            FIELDS["type"].of(row),
            None if row.client is None or row.client.frozen is None else bool(row.client.frozen),
            None if pool is None else pool.pgp_count,
            puts,
            gets,
            rate("flushes"),
            rate("no_mem_puts"),
            None if pool is None or seconds is None else derive.hit_rate(pool),
            None if pool is None or seconds is None else derive.put_success(pool),
            self._remember(key, None if puts is None or gets is None else puts + gets, known),
        )

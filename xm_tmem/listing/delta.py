# SPDX-License-Identifier: GPL-2.0-only
"""What happened between two reports of one host: differences, rates, and counters that started again.

A counter is taken to have started again, from 0, where it or a high-water mark of its record fell; a client whose
domain changed its name is another domain under the same id; with the host, or a client, everything in it starts
again. What it counted since is then all there is: less than what really happened, and never negative.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from xm_tmem.listing.derive import shared_pools
from xm_tmem.listing.records import ClientRecord, Listing, PoolRecord, SharedPoolRecord
from xm_tmem.listing.report import Report
from xm_tmem.listing.tags import Record

SAME, NEW, GONE, RESET = "same", "new", "gone", "reset"


class RecordDelta(NamedTuple):
    """One record in both reports, or in one of them.

    state      same, new, gone, or reset: started again in between
    interval   a record of the later values with what each counter counted in between in place of its total, so that
               ratios derived from it are those of the interval; None when gone
    """

    state: str
    before: Any  # a record of the type of `after`, or None
    after: Any
    interval: Any

    def change(self, name: str) -> int | None:
        """How much a value grew, for counters since they started again; None where either value is unknown."""
        if self.after is None or self.before is None:
            return None
        position = self.after.by_name[name]
        if self.after.tags[position].kind == "counter":
            counted: int | None = self.interval[position]
            return counted
        before, after = self.before[position], self.after[position]
        return after - before if isinstance(before, int) and isinstance(after, int) else None

    def rate(self, name: str, seconds: float) -> float | None:
        """A counter's growth for each second; None where unknown or no time has passed."""
        grown = None if self.interval is None else self.interval[self.interval.by_name[name]]
        return None if grown is None or seconds <= 0 else grown / seconds


class ReportDelta(NamedTuple):
    """Everything in either report. `seconds` may be 0 or negative where the reports are out of order."""

    seconds: float
    host: RecordDelta | None  # None: neither report has the host's line, or only one has
    clients: tuple[RecordDelta, ...]
    pools: tuple[RecordDelta, ...]
    shared_pools: tuple[RecordDelta, ...]


def compare(before: Report, after: Report) -> ReportDelta:
    """What happened from `before` to `after`."""
    host = None
    if before.listing.global_ is not None and after.listing.global_ is not None:
        host = _delta(before.listing.global_, after.listing.global_, reset=False)
    all_again = host is not None and host.state == RESET

    def is_other_domain(client: ClientRecord) -> bool:
        was, now = before.name(client.cli_id), after.name(client.cli_id)
        return was is not None and now is not None and was != now

    clients = _pair(
        before.listing.clients,
        after.listing.clients,
        _client_key,
        lambda client: all_again or is_other_domain(client),
    )
    again = {delta.after.cli_id for delta in clients if delta.state in (RESET, NEW)}
    pools = _pair(
        before.listing.pools, after.listing.pools, _pool_key, lambda pool: all_again or pool.cli_id in again
    )
    shared = _pair(
        shared_pools(before.listing), shared_pools(after.listing), _shared_key, lambda _: all_again
    )
    return ReportDelta(after.timestamp - before.timestamp, host, clients, pools, shared)


def interval_report(before: Report, after: Report) -> Report:
    """`after` with what each counter counted since `before` in place of its total: for any renderer."""
    delta = compare(before, after)
    listing = after.listing
    interval = Listing(
        listing.raw,
        global_=listing.global_ if delta.host is None else delta.host.interval,
        shared=_intervals(each for each in delta.shared_pools if each.after in listing.shared),
        clients=_intervals(delta.clients),
        pools=_intervals(delta.pools),
        perf=None,
        unknown=listing.unknown,
        garbled=listing.garbled,
        problems=listing.problems,
    )
    return Report(
        interval,
        connection=after.connection,
        timestamp=after.timestamp,
        release=after.release,
        names=after.names,
        truncated=after.truncated,
    )


def _intervals(deltas: Iterable[RecordDelta]) -> tuple[Any, ...]:
    return tuple(delta.interval for delta in deltas if delta.interval is not None)


def _pair(
    before: Iterable[Any],
    after: Iterable[Any],
    key: Callable[[Any], Hashable],
    is_reset: Callable[[Any], bool],
) -> tuple[RecordDelta, ...]:
    """Records of the later report in its order, then those that are gone."""
    old = {key(record): record for record in before}
    deltas = []
    for record in after:
        earlier = old.pop(key(record), None)
        if earlier is None:
            deltas.append(RecordDelta(NEW, None, record, record))
        else:
            deltas.append(_delta(earlier, record, reset=is_reset(record)))
    return (*deltas, *(RecordDelta(GONE, record, None, None) for record in old.values()))


def _delta(before: Record, after: Record, *, reset: bool) -> RecordDelta:
    if reset or _started_again(before, after):
        return RecordDelta(RESET, before, after, after)
    values = [_counted(tag.kind, old, new) for tag, old, new in zip(after.tags, before, after, strict=False)]
    return RecordDelta(SAME, before, after, type(after)((*values, after.unknown)))


def _started_again(before: Record, after: Record) -> bool:
    return any(
        old is not None and new is not None and new < old
        for tag, old, new in zip(after.tags, before, after, strict=False)
        if tag.kind in ("counter", "high-water")
    )


def _counted(kind: str, before: Any, after: Any) -> Any:
    if kind != "counter":
        return after
    return None if before is None or after is None else after - before


def _client_key(client: ClientRecord) -> Hashable:
    return client.cli_id


def _pool_key(pool: PoolRecord) -> Hashable:
    return pool[:5]  # the ids, the type and the uuid: a shared pool's id is its owner's and may occur twice


def _shared_key(pool: SharedPoolRecord) -> Hashable:
    return pool.uuid_lo, pool.uuid_hi

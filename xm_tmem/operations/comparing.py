# SPDX-License-Identifier: GPL-2.0-only
"""Two reports put side by side: every value that changed, by how much, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xm_tmem.listing.delta import GONE, NEW, SAME, RecordDelta, compare
from xm_tmem.listing.report import Report

HOST, CLIENT, POOL, SHARED_POOL = "host", "client", "pool", "shared-pool"


class Change(NamedTuple):
    """One value of one record in two reports. A new or gone record, or one that started again, says so in `state`.

    `change` of a counter that started again is what it counted since; `per_second` is there for counters alone.
    """

    record: str  # HOST, CLIENT, POOL or SHARED_POOL
    domain: int | None
    name: str | None
    pool: str | None  # id of a pool, or the words of a shared pool's uuid
    state: str
    field: str
    unit: str
    before: int | None
    after: int | None
    change: int | None
    per_second: float | None


def changes(before: Report, after: Report, *, unchanged: bool = False) -> list[Change]:
    """What differs between the two, host first; with `unchanged` every value there is."""
    delta = compare(before, after)
    found: list[Change] = []
    if delta.host is not None:
        found += _of_record(HOST, None, None, None, delta.host, delta.seconds)
    for kind, deltas in ((CLIENT, delta.clients), (POOL, delta.pools)):
        for each in deltas:
            record = each.before if each.after is None else each.after
            name = (before if each.after is None else after).name(record.cli_id)
            pool = str(record.pool_id) if kind == POOL else None
            found += _of_record(kind, record.cli_id, name, pool, each, delta.seconds)
    for each in delta.shared_pools:
        record = each.before if each.after is None else each.after
        uuid = f"{record.uuid_lo or 0:x}.{record.uuid_hi or 0:x}"
        found += _of_record(SHARED_POOL, None, None, uuid, each, delta.seconds)
    return found if unchanged else [each for each in found if _differs(each)]


def _of_record(
    kind: str, domain: int | None, name: str | None, pool: str | None, delta: RecordDelta, seconds: float
) -> Iterator[Change]:
    record = delta.before if delta.after is None else delta.after
    for position, tag in enumerate(record.tags):
        if tag.kind == "id":
            continue
        before, after = (None if side is None else side[position] for side in (delta.before, delta.after))
        if before is None and after is None:
            continue
        rate = delta.rate(tag.name, seconds) if tag.kind == "counter" and delta.state != NEW else None
        yield Change(kind, domain, name, pool, delta.state, tag.name, tag.unit, before, after,
                     delta.change(tag.name), rate)  # fmt: skip


def _differs(change: Change) -> bool:
    """Is there something to tell? Of a record that came or went, each value that is not 0."""
    if change.state in (NEW, GONE):
        return bool(change.after or change.before)
    return bool(change.change) or change.state != SAME

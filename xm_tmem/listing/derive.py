# SPDX-License-Identifier: GPL-2.0-only
"""What follows from the counters: ratios, shares, totals, and the shared pools that `S=` lines do not tell.

A ratio is a float, usually from 0 to 1; None where a counter is missing or the whole is 0. Xen counts without locks,
so a part may exceed its whole: then the ratio exceeds 1 and is shown as it is. The formulas are those of
xen-tmem-list-parse where it has one.
"""

from __future__ import annotations

from collections.abc import Iterable

from xm_tmem.listing.records import (
    ClientRecord,
    GlobalRecord,
    Listing,
    PoolCounters,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.units import PAGE_BYTES


def ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def hit_rate(pool: PoolCounters) -> float | None:
    """Gets that found their page."""
    return ratio(pool.found_gets, pool.gets)


def put_success(pool: PoolCounters) -> float | None:
    """Puts that were taken."""
    return ratio(pool.good_puts, pool.puts)


def compression_ratio(client: ClientRecord) -> float | None:
    """Compressed size over original size, of the pages held in compressed form: 0.25 is a quarter."""
    pages = client.compressed_pages
    return ratio(client.compressed_bytes, None if pages is None else pages * PAGE_BYTES)


def dedup_average(host: GlobalRecord) -> float | None:
    """Ephemeral puts, since boot, whose contents were held already (C: parse_global)."""
    if not (host.pcd_count_max and host.eph_count and host.good_eph_puts):
        return None
    return ratio(host.deduped_puts, host.good_eph_puts)


def dedup_current(host: GlobalRecord) -> float | None:
    """Share of the ephemeral pages that need no contents of their own now (C: parse_global)."""
    if not (host.pcd_count_max and host.eph_count and host.good_eph_puts) or host.pcd_count is None:
        return None
    return 1 - host.pcd_count / host.eph_count


def trimming_savings(host: GlobalRecord) -> float | None:
    """What cutting trailing zeros saves of the distinct contents' size (C: parse_global, "tze savings")."""
    return _savings(host.pcd_tze_bytes, host.pcd_count)


def compression_savings(host: GlobalRecord) -> float | None:
    """What compression saves of the distinct contents' size, with deduplication (C: parse_global)."""
    return _savings(host.pcd_compressed_bytes, host.pcd_count)


def _savings(size_bytes: int | None, contents: int | None) -> float | None:
    whole = (contents or 0) * PAGE_BYTES
    return 1 - size_bytes / whole if size_bytes and size_bytes < whole else None


HOST_RATIOS = (
    ("dedup_average", "ephemeral puts whose contents were held already", dedup_average),
    ("dedup_current", "ephemeral pages without contents of their own", dedup_current),
    ("trimming_savings", "saved by cutting trailing zeros", trimming_savings),
    ("compression_savings", "saved by compression", compression_savings),
)
"""What follows from the host's own counters: name, meaning, and how it is had from them."""


class Totals:
    """Sums over a listing's clients, what shares are shares of. `eph_count` is in pages."""

    __slots__ = ("eph_count", "weight")

    def __init__(self, eph_count: int, weight: int) -> None:
        self.eph_count, self.weight = eph_count, weight

    @classmethod
    def of(cls, clients: Iterable[ClientRecord]) -> Totals:
        counted = list(clients)
        return cls(sum(each.eph_count or 0 for each in counted), sum(each.weight or 0 for each in counted))


def share_held(client: ClientRecord, totals: Totals) -> float | None:
    """The client's part of all ephemeral pages."""
    return ratio(client.eph_count, totals.eph_count)


def share_by_weight(client: ClientRecord, totals: Totals) -> float | None:
    """The part of the ephemeral memory that its weight stands for.

    The listed clients' weights are the whole; Xen's own sum also holds those of destroyed clients.
    """
    return ratio(client.weight, totals.weight)


_FIRST_COUNTER = PoolRecord.by_name["pgp_count"]
_COUNTERS = len(PoolRecord.tags) - _FIRST_COUNTER


def total(cli_id: int, pools: Iterable[PoolRecord]) -> PoolRecord:
    """The private pools of one client as one: each counter's sum, None where no pool has it.

    Shared pools are left out, since each sharer's lines would count them again. The sum of high-water marks is an
    upper bound.
    """
    sums: list[int | None] = [None] * _COUNTERS
    for pool in pools:
        if not pool.shared:
            sums = [_add(have, more) for have, more in zip(sums, pool[_FIRST_COUNTER:-1], strict=True)]
    return PoolRecord((cli_id, None, None, None, None, *sums, ()))


def _add(have: int | None, more: int | None) -> int | None:
    return have if more is None else more if have is None else have + more


def shared_pools(listing: Listing) -> list[SharedPoolRecord]:
    """Every shared pool: those of the believable `S=` lines, then those that only `P=` lines show.

    Every sharer has a `P=` line with the whole pool's counters, so all but the slot can be recovered; the sharers
    are those clients that this listing shows.
    """
    pools = list(listing.shared)
    known = {(pool.uuid_lo, pool.uuid_hi) for pool in pools}
    lines: dict[tuple[int | None, int | None], list[PoolRecord]] = {}
    for line in listing.pools:
        key = (line.uuid_lo, line.uuid_hi)
        if line.shared and key not in known:
            lines.setdefault(key, []).append(line)
    for (lo, hi), seen in lines.items():
        sharers = tuple(dict.fromkeys(line.cli_id for line in seen))
        counters = seen[0][_FIRST_COUNTER:-1]
        pools.append(SharedPoolRecord((None, seen[0].pool_type, lo, hi, sharers, *counters, ())))
    return pools

# SPDX-License-Identifier: GPL-2.0-only
"""Ratios, shares and totals; None where they are not defined."""

from __future__ import annotations

import pytest

from tests.xm_tmem.listing import texts
from xm_tmem.listing import derive
from xm_tmem.listing.parse import parse_listing
from xm_tmem.listing.records import ClientRecord, GlobalRecord, PoolRecord


def test_rates_are_parts_of_their_whole_or_unknown() -> None:
    pool = PoolRecord.of(cli_id=1, pool_id=0, gets=8, found_gets=6, puts=4, good_puts=1)
    assert derive.hit_rate(pool) == 0.75
    assert derive.put_success(pool) == 0.25
    assert derive.hit_rate(PoolRecord.of(cli_id=1, pool_id=0, gets=0, found_gets=0)) is None
    assert derive.hit_rate(PoolRecord.of(cli_id=1, pool_id=0)) is None


def test_a_racing_counter_may_make_a_rate_exceed_1() -> None:
    assert derive.hit_rate(PoolRecord.of(cli_id=1, pool_id=0, gets=4, found_gets=5)) == 1.25


def test_deduplication_needs_all_its_counters() -> None:
    host = GlobalRecord.of(pcd_count=3, pcd_count_max=3, eph_count=4, good_eph_puts=8, deduped_puts=2)
    assert derive.dedup_average(host) == 0.25
    assert derive.dedup_current(host) == 0.25
    without = GlobalRecord.of(pcd_count=3, pcd_count_max=0, eph_count=4, good_eph_puts=8, deduped_puts=2)
    assert derive.dedup_average(without) is None
    assert derive.dedup_current(without) is None


@pytest.mark.parametrize(("size", "savings"), [(6144, 0.5), (12288, None), (0, None), (None, None)])
def test_savings_are_told_where_something_is_saved(size: int | None, savings: float | None) -> None:
    host = GlobalRecord.of(pcd_count=3, pcd_tze_bytes=size, pcd_compressed_bytes=size)
    assert derive.trimming_savings(host) == savings
    assert derive.compression_savings(host) == savings


def test_shares_are_of_the_listed_clients() -> None:
    clients = [
        ClientRecord.of(cli_id=1, weight=30, eph_count=10),
        ClientRecord.of(cli_id=2, weight=10, eph_count=30),
    ]
    totals = derive.Totals.of(clients)
    assert [derive.share_by_weight(each, totals) for each in clients] == [0.75, 0.25]
    assert [derive.share_held(each, totals) for each in clients] == [0.25, 0.75]
    nothing = derive.Totals.of([ClientRecord.of(cli_id=1, weight=0)])
    assert derive.share_by_weight(ClientRecord.of(cli_id=1, weight=0), nothing) is None


def test_compression_is_compressed_size_over_original_size() -> None:
    assert (
        derive.compression_ratio(ClientRecord.of(cli_id=1, compressed_pages=2, compressed_bytes=2048)) == 0.25
    )
    assert derive.compression_ratio(ClientRecord.of(cli_id=1, compressed_pages=0, compressed_bytes=0)) is None


def test_a_total_leaves_shared_pools_out_and_keeps_unknown_unknown() -> None:
    pools = parse_listing(texts.recorded("4.12")).pools
    total = derive.total(0, [pool for pool in pools if pool.cli_id == 0])
    assert (total.pgp_count, total.good_puts, total.pool_id) == (11, 18, None)
    short = parse_listing(texts.recorded("4.12-shared-short")).pools
    assert derive.total(1, short).pgp_count is None


def test_a_shared_pool_told_by_its_line_is_not_told_twice() -> None:
    listing = parse_listing(texts.recorded("4.3"))
    assert derive.shared_pools(listing) == list(listing.shared)


def test_in_a_listing_of_one_client_its_shared_pools_are_found() -> None:
    text = b"".join(line for line in texts.recorded("4.12").splitlines(keepends=True) if line[2:6] == b"CI:1")
    pools = derive.shared_pools(parse_listing(text))
    assert [(pool.slot, pool.uuid_lo, pool.uuid_hi, pool.sharers) for pool in pools] == [
        (None, 0xABC, 0xDEF, (1,))
    ]

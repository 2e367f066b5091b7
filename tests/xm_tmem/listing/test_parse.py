# SPDX-License-Identifier: GPL-2.0-only
"""The parser on what real hypervisors wrote, on what Xen garbles, and on any bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import recordings
from tests.xm_tmem.listing import texts
from xm_tmem.listing import derive
from xm_tmem.listing.parse import U64_MAX, parse_listing
from xm_tmem.listing.records import RECORD_TYPES, ClientRecord, CycleCounter, PoolRecord, SharedPoolRecord

RECORDED = recordings.files("listings/*.txt")


def timing(counter: CycleCounter | None) -> tuple[int | None, ...] | None:
    if counter is None:
        return None
    return counter.samples, counter.sum_cycles, counter.max_cycles, counter.min_cycles


def test_every_value_of_a_line_has_its_place() -> None:
    listing = parse_listing(texts.recorded("4.3"))
    assert listing.clients[0] == ClientRecord.of(
        cli_id=0,
        weight=100,
        cap=1000,
        compress=1,
        frozen=1,
        total_cycles=17228944,
        succ_eph_gets=2,
        succ_pers_puts=8,
        succ_pers_gets=1,
        eph_count=14,
        eph_count_max=16,
        compressed_pages=19,
        compressed_bytes=665,
        compress_poor=3,
        compress_nomem=0,
    )
    assert listing.pools[2].pool_type == "ES"
    assert (listing.pools[2].uuid_lo, listing.pools[2].uuid_hi) == (0xABC, 0xDEF)
    assert (listing.pools[2].good_puts, listing.pools[2].puts, listing.pools[2].no_mem_puts) == (8, 9, 1)
    assert listing.shared[0].sharers == (0, 1)
    assert listing.global_ is not None
    assert (listing.global_.ops, listing.global_.good_eph_puts) == (157, 46)
    assert listing.perf is not None
    compress = listing.perf.timing("compress")
    assert compress is not None
    assert timing(compress) == (74, 8520546, 1268384, 52260)


@pytest.mark.parametrize("name", texts.NAMES)
def test_what_hypervisors_wrote_is_understood_whole(name: str) -> None:
    listing = parse_listing(texts.recorded(name))
    assert listing.unknown == ()
    assert listing.truncated == name.endswith("cut")
    assert bool(listing.garbled) == ("shared" in name)
    assert all(not record.unknown for record in (*listing.clients, *listing.pools, *listing.shared))


@pytest.mark.skipif(not RECORDED, reason=recordings.ABSENT)
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_every_recording_is_understood_whole(file: Path) -> None:
    text = file.read_bytes()
    listing = parse_listing(text)
    lines = text.count(b"\n")
    counted = (
        (listing.global_ is not None)
        + len(listing.shared)
        + len(listing.garbled)
        + len(listing.clients)
        + len(listing.pools)
        + (listing.perf is not None or text.endswith(b"\nT\n"))
    )
    assert (listing.unknown, listing.problems, counted) == ((), (), lines)


def test_the_cap_is_unknown_where_the_release_has_none() -> None:
    assert parse_listing(texts.recorded("4.6")).clients[0].cap == 1000
    assert parse_listing(texts.recorded("4.12")).clients[0].cap is None


def test_the_short_form_leaves_counters_unknown_and_not_zero() -> None:
    listing = parse_listing(texts.recorded("4.12-shared-short"))
    assert listing.pools[0].pgp_count is None
    assert listing.clients[0].eph_count is None
    assert listing.global_ is not None
    assert listing.global_.eph_count is None


def test_a_minimum_without_samples_is_unknown() -> None:
    perf = parse_listing(texts.recorded("4.3")).perf
    assert perf is not None
    failed = perf.timing("failed_get")
    assert failed is not None
    assert failed.samples == 0
    assert failed.min_cycles is None
    assert failed.mean_cycles is None


def test_unknown_tags_and_lines_are_kept() -> None:
    listing = parse_listing(b"C=CI:3,ww:1,Zz:9,Qq\nX=CI:1\nC=ww:5\nP=CI:3,PT:EP\nnonsense\nT\n")
    assert listing.clients[0].unknown == (("Zz", "9"), ("Qq", ""))
    assert listing.clients[0].weight == 1
    assert listing.unknown == ("X=CI:1", "C=ww:5", "P=CI:3,PT:EP", "nonsense")


def test_of_a_repeated_key_or_line_the_first_counts() -> None:
    listing = parse_listing(b"G=Tt:1,Tt:2\nG=Tt:3\nT\n")
    assert listing.global_ is not None
    assert listing.global_.ops == 1
    assert listing.global_.unknown == (("Tt", "2"),)
    assert listing.unknown == ("G=Tt:3",)


def test_a_last_key_without_its_value_is_no_value() -> None:
    listing = parse_listing(b"P=CI:1,PI:0,ot:5\nP=CI:1,PI:1,ot\n")
    assert [pool.flush_objs for pool in listing.pools] == [5, None]
    assert listing.pools[1].unknown == (("ot", ""),)


@pytest.mark.parametrize("fields", ["gs,5,gt:7", "gs:5:gt,7", "gs:5:gt:7", "gs:5,gt,7"])
def test_colons_and_commas_are_not_taken_for_each_other(fields: str) -> None:
    listing = parse_listing(f"P=CI:1,PI:0,gs:5,gt:7\nP=CI:1,PI:1,{fields}\n".encode())
    assert listing.pools[1].unknown


def test_lines_without_any_value_are_lines() -> None:
    listing = parse_listing(b"G=\nG=\nT=\nT=\nT\n")
    assert listing.global_ is not None
    assert listing.global_.ops is None
    assert listing.unknown == ("G=", "T=")


def test_keys_differ_by_case_and_by_line() -> None:
    listing = parse_listing(b"T=Gn:1,Gt:2,Gx:3,Gm:4,gn:5,gt:6,gx:7,gm:8\nP=CI:1,PI:0,gt:9\n")
    assert listing.perf is not None
    found, failed = listing.perf.timing("succ_get"), listing.perf.timing("failed_get")
    assert (timing(found), timing(failed)) == ((1, 2, 3, 4), (5, 6, 7, 8))
    assert listing.pools[0].gets == 9


def test_a_weight_beyond_31_bits_is_printed_negative_and_read_as_what_it_is() -> None:
    assert parse_listing(b"C=CI:1,ww:-2,ca:-1\n").clients[0][1:3] == (2**32 - 2, 2**32 - 1)


@pytest.mark.parametrize("value", ["1_0", "+1", " 1", "0x1", "", "1e3", "٣", str(U64_MAX + 1), "9" * 5000])
def test_what_is_no_number_is_no_value(value: str) -> None:
    before = "P=CI:1,PI:0,Pc:5\n"  # the second line is the one that the fast path would take
    listing = parse_listing(f"{before}P=CI:1,PI:1,Pc:{value}\n".encode())
    assert [pool.pgp_count for pool in listing.pools] == [5, None]
    assert listing.pools[1].unknown[0][0] == "Pc"


def test_the_largest_number_is_kept() -> None:
    assert parse_listing(f"P=CI:1,PI:1,gt:{U64_MAX}\n".encode()).pools[0].gets == U64_MAX


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "the text is empty"),
        (b"\0G=Tt:1\n", "the text is empty"),
        (b"G=Tt:1\nT", None),
        (b"G=Tt:1\n", "the T line is missing"),
        (b"C=CI:1\nT\n", "the G= line is missing"),
        (b"G=Tt:1\nP=CI:4,PI:1\nT\n", "no C= line for client 4"),
        (b"G=Tt:1\nC=CI:4,Ec:3\nT\n", "no P= line for client 4, which holds pages"),
        (b"C=CI:4\n", None),
    ],
)
def test_a_text_cut_short_is_noticed(text: bytes, problem: str | None) -> None:
    problems = parse_listing(text).problems
    if text.endswith(b"\nT"):
        problems = tuple(each for each in problems if each != "the last line is not finished")
    assert problems == ((problem,) if problem else ())


def test_an_unfinished_line_is_noticed_and_read() -> None:
    listing = parse_listing(b"G=Tt:1\nC=CI:1,ww:12")
    assert "the last line is not finished" in listing.problems
    assert listing.clients[0].weight == 12


@pytest.mark.parametrize("use_long", [True, False])
def test_the_defect_is_imitated_as_it_was_recorded(use_long: bool) -> None:
    text = texts.recorded("4.12-shared" if use_long else "4.12-shared-short").decode()
    counters = [pool[5:-1] for pool in parse_listing(texts.recorded("4.12-shared")).pools[2:5]]
    identities = [(0xABC, 0xDEF, (1, 2, 3)), (0x1122334455667788, 0x99AABBCCDDEEFF00, (1, 2)), (1, 2, (1,))]
    pools = [texts.Shared(slot, *identities[slot], counters[slot]) for slot in range(3)]
    recorded = text[text.index("S=") : text.index("C=")]
    assert texts.shared_lines(pools, use_long=use_long, defect=True) == recorded


@given(texts.shared_pools(), st.booleans())
def test_garbled_lines_are_told_and_their_pools_recovered(pools: list[texts.Shared], use_long: bool) -> None:
    """QUIRK tmemc_list_shared"""
    text = texts.shared_lines(pools, use_long=use_long, defect=True) + texts.pool_lines(
        pools, use_long=use_long
    )
    listing = parse_listing(text.encode())
    assert len(listing.shared) == 1
    assert len(listing.garbled) >= len(pools) - 1
    _assert_same(pools, derive.shared_pools(listing), use_long, slots_of=1)


@given(texts.shared_pools(), st.booleans())
def test_lines_of_a_hypervisor_without_the_defect_are_believed(
    pools: list[texts.Shared], use_long: bool
) -> None:
    listing = parse_listing(texts.shared_lines(pools, use_long=use_long, defect=False).encode())
    assert listing.garbled == ()
    _assert_same(pools, list(listing.shared), use_long, slots_of=len(pools))


def _assert_same(
    pools: list[texts.Shared], found: list[SharedPoolRecord], use_long: bool, slots_of: int
) -> None:
    assert {(each.uuid_lo, each.uuid_hi) for each in found} == {(pool.lo, pool.hi) for pool in pools}
    by_uuid = {(each.uuid_lo, each.uuid_hi): each for each in found}
    for number, pool in enumerate(pools):
        record = by_uuid[pool.lo, pool.hi]
        assert record.slot == (pool.slot if number < slots_of else None)
        assert record.sharers is not None
        assert set(record.sharers) == set(pool.sharers)
        assert record[5:-1] == (pool.counters if use_long else (None,) * 17)


@settings(max_examples=200)
@given(st.binary(max_size=300) | texts.mutilated())
def test_no_bytes_are_too_hostile(text: bytes) -> None:
    listing = parse_listing(text)
    assert listing.raw == text.partition(b"\0")[0]
    for record in (*listing.clients, *listing.pools, *listing.shared, listing.global_, listing.perf):
        for value in () if record is None else record[:-1]:
            assert value is None or isinstance(value, (str, tuple)) or -(2**64) < value <= U64_MAX


def test_a_record_tells_its_values_and_not_what_it_lacks() -> None:
    assert repr(PoolRecord.of(cli_id=1, pool_id=2)) == "PoolRecord(cli_id=1, pool_id=2)"


@pytest.mark.parametrize("record_type", RECORD_TYPES)
def test_no_key_and_no_name_is_used_twice(record_type: type[ClientRecord]) -> None:
    assert len(record_type.by_key) == len(record_type.by_name) == len(record_type.tags)

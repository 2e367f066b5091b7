# SPDX-License-Identifier: GPL-2.0-only
"""Formats A and B against bytes spelt out by hand, their oddities, and every way they can be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.xm_tmem.streams.samples import (
    END,
    EPHEMERAL_FLAGS,
    EXTRA,
    NO_OID,
    head_a,
    head_b,
    invalidation,
    page_of,
    page_record,
    pool_a,
    pool_b,
    read_all,
    saved_client,
    write_all,
)
from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput
from xm_tmem.ids import PoolId, SharedUuid
from xm_tmem.streams.items import MAX_INVALIDATIONS, End, Head, Item, LostPage, StreamFormat

PoolOf = Callable[[int, int], bytes]
OID = 0x0123_4567_89AB_CDEF_0011_2233_4455_6677_8899_AABB_CCDD_EEFF
PAGES = page_record(OID, 4, page_of("one")) + page_record(2, 0xFFFFFFFF, page_of("two"))
POOL_ITEMS: list[Item] = [
    PoolInfo(PoolId(1), False, False, 0, SharedUuid(8, 9)),
    PoolInfo(PoolId(3), True, False, 2, SharedUuid(1, 2)),
    SavedPage(PoolId(3), OID, 4, page_of("one")),
    SavedPage(PoolId(3), 2, 0xFFFFFFFF, page_of("two")),
]
STREAM_A = head_a() + pool_a(1, 0, flags=EPHEMERAL_FLAGS, uuid=(8, 9)) + pool_a(3, 2) + PAGES + END
STREAM_B = head_b(2) + pool_b(1, 0, flags=EPHEMERAL_FLAGS, uuid=(8, 9)) + pool_b(3, 2) + PAGES + END
INVALIDATIONS = EXTRA + invalidation(3, OID, 4) + invalidation(3, 77, 5) + END


def test_format_a_is_read_field_by_field() -> None:
    head = Head(StreamFormat.A, ClientInfo(weight=7, compress=True, frozen=False, cap=9))
    assert read_all(STREAM_A) == [head, *POOL_ITEMS, End(2)]


def test_format_b_is_read_field_by_field_and_its_frozen_flag_says_nothing() -> None:
    head = Head(StreamFormat.B, ClientInfo(weight=7, compress=True, frozen=False, nr_pools=2))
    assert read_all(STREAM_B) == [head, *POOL_ITEMS, End(2)]


def test_the_flags_of_a_and_b_have_different_bits() -> None:
    (a, *_), (b, *_) = read_all(head_a(flags=2) + END), read_all(head_b(1, flags=5) + pool_b(0, 0) + END)
    assert isinstance(a, Head)
    assert isinstance(b, Head)
    assert (a.client.compress, a.client.frozen) == (False, True)
    assert (b.client.compress, b.client.migrating) == (False, True)


@pytest.mark.parametrize("stream", [STREAM_A, STREAM_B])
def test_invalidations_follow(stream: bytes) -> None:
    assert read_all(stream + INVALIDATIONS)[-3:] == [
        Invalidation(PoolId(3), OID, 4),
        Invalidation(PoolId(3), 77, 5),
        End(2, 2),
    ]


@pytest.mark.parametrize("stream", [STREAM_A, STREAM_B])
@pytest.mark.parametrize("extra", [b"", INVALIDATIONS])
def test_the_writer_reproduces_every_byte(stream: bytes, extra: bytes) -> None:
    fmt = StreamFormat.A if stream is STREAM_A else StreamFormat.B
    assert write_all(read_all(stream + extra), fmt) == stream + extra


@pytest.mark.parametrize(("head", "pool"), [(head_a(), pool_a), (head_b(2), pool_b)])
@pytest.mark.parametrize("announced", [3, 5])
def test_a_list_that_ends_early_tells_what_is_missing(head: bytes, pool: PoolOf, announced: int) -> None:
    first = pool(0, announced) + PAGES + NO_OID
    items = read_all(head + first + pool(1, 0) + END)
    assert items[-1] == End(2, 0, {PoolId(0): announced - 2})
    assert write_all(items, StreamFormat.A if len(head) == len(head_a()) else StreamFormat.B) == (
        head + first + pool(1, 0) + END
    )


@pytest.mark.parametrize("rest", [END, pool_a(4, 0) + END, END + EXTRA + END, pool_a(4, 2) + PAGES + END])
def test_the_only_page_of_a_pool_may_be_left_out_without_a_mark_in_a(rest: bytes) -> None:
    items = read_all(head_a() + pool_a(3, 1) + rest)
    assert isinstance(items[-1], End)
    assert items[-1].missing == {3: 1}


@pytest.mark.parametrize(
    ("pools", "rest"), [(1, END), (2, pool_b(4, 0) + END), (2, pool_b(4, 2) + PAGES + END)]
)
def test_the_only_page_of_a_pool_may_be_left_out_without_a_mark_in_b(pools: int, rest: bytes) -> None:
    items = read_all(head_b(pools) + pool_b(3, 1) + rest)
    assert isinstance(items[-1], End)
    assert items[-1].missing == {3: 1}


@pytest.mark.parametrize("rest", [END, pool_a(4, 0) + END, END + EXTRA + END])
def test_the_only_page_of_a_pool_is_read_when_it_is_there(rest: bytes) -> None:
    # Its object id begins like the end of a pool list, its contents like a pool.
    record = page_record(0xFFFFFFFF, 3, pool_a(5, 0).ljust(4096, b"\0"))
    items = read_all(head_a() + pool_a(3, 1) + record + rest)
    assert isinstance(items[-1], End)
    assert (items[-1].pages, items[-1].missing) == (1, {})


def test_the_only_page_of_a_pool_may_be_left_out_with_a_mark() -> None:
    for raw in (head_a() + pool_a(3, 1) + NO_OID + END, head_b(1) + pool_b(3, 1) + NO_OID + END):
        items = read_all(raw)
        assert items[-1] == End(0, 0, {PoolId(3): 1})
        assert write_all(items, StreamFormat.A if raw[12:16] == END else StreamFormat.B) == raw


def test_pool_flags_of_4_1_3_have_no_version() -> None:
    pool = read_all(head_a() + pool_a(0, 0, flags=1) + END)[1]
    assert isinstance(pool, PoolInfo)
    assert pool.persistent


BROKEN = [
    (b"", 0, "marker"),
    (b"\xfb\xff\xff", 3, "marker"),
    (b"\0" * 40, 0, "marker 0 instead of -5"),
    (head_a()[:-1], 31, "settings"),
    (head_a().replace(b"\x01\0\0\0\x10", b"\x02\0\0\0\x10"), 4, "specification 2"),
    (head_a().replace(b"\x10\0\0\0", b"\x11\0\0\0"), 8, "17 pools"),
    (head_a(flags=4) + END, 16, "client flags 0x4"),
    (head_a()[:-4] + b"\0\0\0\0" + END, 28, "mark that ends the settings"),
    (head_a() + pool_a(16, 0) + END, 32, "pool id 16"),
    (head_a() + pool_a(2, 0) + pool_a(2, 0) + END, 60, "pool id 2 after 2"),
    (head_a() + pool_a(0, 0, flags=0x02000001) + END, 32, "pool flags"),
    (head_a() + pool_a(0, 0, flags=0x01000011) + END, 32, "pool flags"),
    (head_a() + pool_a(0, 1, flags=EPHEMERAL_FLAGS) + END, 32, "1 pages in an ephemeral pool"),
    (head_a() + pool_a(0, 2) + PAGES[:-1], 32 + 28 + 8247, "a page"),
    (head_a() + pool_a(0, 3) + PAGES, 32 + 28 + 8248, "an object id"),
    (head_a() + END[:3], 35, "a pool's header"),
    (STREAM_A + b"x", len(STREAM_A) + 1, "marker of the invalidations"),
    (STREAM_A + STREAM_A, len(STREAM_A), "marker -5 instead of -6"),
    (STREAM_A + INVALIDATIONS + b"x", len(STREAM_A + INVALIDATIONS), "follow the end"),
    (
        STREAM_A + EXTRA + invalidation(1, 1, 1) + END,
        len(STREAM_A) + 4,
        "pool 1, which is no persistent pool",
    ),
    (STREAM_A + EXTRA + invalidation(3, 1, 1), len(STREAM_A) + 36, "an invalidation"),
    (head_b(0) + END, 12, "0 pools"),
    (head_b(17) + END, 12, "17 pools"),
    (head_b(1, flags=8) + END, 16, "client flags"),
    (head_b(1)[:-4] + b"\0\0\0\0" + END, 24, "mark that ends the settings"),
    (head_b(1) + pool_b(0, 1 << 32) + END, 28, "4294967296 pages"),
    (head_b(1) + pool_b(0, 0, flags=1) + END, 28, "pool flags"),
    (head_b(1) + pool_b(0, 0) + b"\0\0\0\0", 60, "instead of the end of the pool list"),
]


@pytest.mark.parametrize(("raw", "offset", "what"), BROKEN, ids=[f"{what}@{at}" for _, at, what in BROKEN])
def test_what_is_wrong_is_named_with_its_offset(raw: bytes, offset: int, what: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_all(raw)
    assert f"byte {offset}: " in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize("stream", [STREAM_A + INVALIDATIONS, STREAM_B + INVALIDATIONS])
def test_every_truncation_is_noticed_except_between_the_two_chunks(stream: bytes) -> None:
    whole = {len(STREAM_A), len(STREAM_B), len(stream)}
    for length in [*range(200), *range(200, len(stream), 37), *range(len(stream) - 100, len(stream))]:
        if length not in whole:
            with pytest.raises(BadInput):
                read_all(stream[:length])


def test_too_many_invalidations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xm_tmem.streams.legacy.MAX_INVALIDATIONS", 2)
    read_all(STREAM_A + INVALIDATIONS)
    with pytest.raises(BadInput, match="more than 2 invalidations"):
        read_all(STREAM_A + EXTRA + invalidation(3, 1, 1) * 3 + END)
    assert MAX_INVALIDATIONS > 1_000_000


def test_a_huge_count_takes_no_memory() -> None:
    with pytest.raises(BadInput, match="an object id"):
        read_all(head_a() + pool_a(0, 0xFFFFFFFF) + PAGES)


def test_writers_refuse_what_the_formats_cannot_express() -> None:
    items = list(saved_client(1))
    ones = SavedPage(PoolId(0), (1 << 192) - 1, 0, page_of(""))
    with pytest.raises(BadInput, match="all ones"):
        write_all([*items[:2], ones], StreamFormat.A)
    with pytest.raises(BadInput, match="out of place"):
        write_all([*items[:3], items[2]], StreamFormat.A)
    with pytest.raises(BadInput, match="without pools"):
        write_all(saved_client(), StreamFormat.B)
    with pytest.raises(BadInput, match="more pools"):
        write_all([items[0], items[1], items[1]], StreamFormat.B)
    with pytest.raises(BadInput, match="1 pools fewer"):
        write_all([items[0], End(0)], StreamFormat.B)


def test_a_lost_page_is_left_out() -> None:
    items = list(saved_client(1))
    assert write_all([*items[:-1], LostPage(PoolId(0), 1, 1), End(1)], StreamFormat.A) == write_all(
        items, StreamFormat.A
    )

# SPDX-License-Identifier: GPL-2.0-only
"""The container keeps everything, and notices whatever happens to it."""

from __future__ import annotations

import json
import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from tests.xm_tmem.streams.samples import page_of, read_all, saved_client, write_all
from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput
from xm_tmem.ids import PoolId, SharedUuid
from xm_tmem.streams import chunks
from xm_tmem.streams.items import End, Head, Item, LostPage, Origin, StreamFormat

PREAMBLE_BYTES = 16
HEADER_BYTES = 32
CONTAINER = StreamFormat.CONTAINER


def chunks_of(raw: bytes) -> list[tuple[int, int]]:
    """Where each chunk of a good container begins and ends."""
    found = []
    start = PREAMBLE_BYTES
    while start < len(raw):
        end = start + HEADER_BYTES + int.from_bytes(raw[start + 16 : start + 20], "little")
        found.append((start, end))
        start = end
    return found


def forged(*parts: tuple[bytes, int, bytes], first: int = 0) -> bytes:
    """A container of these chunks, numbered from `first`, with every checksum right."""
    raw = chunks.MAGIC + (1).to_bytes(4, "little")
    chain = zlib.crc32(raw)
    raw += chain.to_bytes(4, "little")
    for number, (kind, count, payload) in enumerate(parts, first):
        fields = (number, 0, count, len(payload), len(payload), zlib.crc32(payload))
        header = kind + b"".join(field.to_bytes(4, "little") for field in fields)
        chain = zlib.crc32(header, chain)
        raw += header + chain.to_bytes(4, "little") + payload
    return raw


def record(**fields: object) -> bytes:
    return json.dumps(fields).encode()


CLIENT = {"weight": 0, "cap": None, "compress": False, "frozen": False, "nr_pools": None}
HEAD = (chunks.HEAD, 1, record(client=CLIENT, origin=None))
DONE = (chunks.DONE, 1, record(pages=0, invalidations=0, missing={}))


@pytest.fixture(scope="module")
def sample() -> bytes:
    """1 MiB of pages in sixteen pools, so that a chunk is 64 KiB."""
    return write_all(saved_client(*[16] * 16), CONTAINER)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("pools", [(), (0,), (1,), (2, 0, 1), (255, 256, 257)])
def test_every_item_comes_back(pools: tuple[int, ...], compress: bool) -> None:
    items = list(saved_client(*pools))
    assert read_all(write_all(items, CONTAINER, compress=compress)) == items


def test_invalidations_lost_pages_and_totals_come_back() -> None:
    head = Head(CONTAINER, ClientInfo(0xFFFFFFFF, False, True, cap=None, nr_pools=2), None)
    items: list[Item] = [
        head,
        PoolInfo(PoolId(2), False, True, 0, SharedUuid((1 << 64) - 1, 5)),
        PoolInfo(PoolId(15), True, True, 3, SharedUuid(0, 0)),
        SavedPage(PoolId(15), (1 << 192) - 1, 0xFFFFFFFF, page_of("one")),
        LostPage(PoolId(15), 3, 3),
        End(1, 0, {PoolId(15): 2}),
    ]
    assert read_all(write_all(items, CONTAINER)) == items
    live = list(saved_client(20, live=True, invalid=9))
    assert read_all(write_all(live, CONTAINER)) == live


def test_zeros_get_smaller_and_noise_does_not_grow() -> None:
    noise = list(saved_client(300))
    plain, deflated = (len(write_all(noise, CONTAINER, compress=compress)) for compress in (False, True))
    assert deflated <= plain
    zeros = [item._replace(page=bytes(4096)) if isinstance(item, SavedPage) else item for item in noise]
    assert len(write_all(zeros, CONTAINER, compress=True)) < plain / 50


def broken(raw: bytes) -> bool:
    try:
        read_all(raw)
    except BadInput:
        return True
    return False


def flips(raw: bytes, positions: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """`raw` with one byte changed, at each of `positions`."""
    work = bytearray(raw)
    for position in positions:
        was = work[position]
        work[position] ^= 1 + position % 255
        yield position, bytes(work)
        work[position] = was


def test_every_changed_byte_of_a_small_container_is_noticed() -> None:
    raw = write_all(saved_client(1, 0, 1), CONTAINER)
    unnoticed = [position for position, bad in flips(raw, iter(range(len(raw)))) if not broken(bad)]
    assert unnoticed == []


def test_changed_bits_of_every_frame_of_a_mebibyte_are_noticed(sample: bytes) -> None:
    frames = [range(PREAMBLE_BYTES), *(range(start, start + HEADER_BYTES) for start, _ in chunks_of(sample))]
    for position in (position for frame in frames for position in frame):
        for bit in (0, 7):
            bad = bytearray(sample)
            bad[position] ^= 1 << bit
            assert broken(bytes(bad)), (position, bit)


def test_changed_bytes_all_over_a_mebibyte_are_noticed(sample: bytes) -> None:
    positions = iter(range(5, len(sample), 2003))
    assert [position for position, bad in flips(sample, positions) if not broken(bad)] == []


@pytest.mark.long
def test_every_changed_byte_of_a_mebibyte_is_noticed(sample: bytes) -> None:
    # A chunk's own bytes decide whether it is accepted, so each is read by itself behind its predecessors' chain.
    import io

    from xm_tmem.streams.source import Source

    for number, (start, end) in enumerate(chunks_of(sample)):
        for position, bad in flips(sample[start:end], iter(range(end - start))):
            reader = chunks.ChunkReader(Source(io.BytesIO(sample[:PREAMBLE_BYTES] + bad)))
            reader._sequence = number
            previous = chunks_of(sample)[number - 1][0] if number else PREAMBLE_BYTES - HEADER_BYTES
            reader._chain = int.from_bytes(sample[previous + 28 : previous + 32], "little")
            with pytest.raises(BadInput):
                reader.read()
            assert position < end


def test_every_truncation_is_noticed() -> None:
    raw = write_all(saved_client(2, 1), CONTAINER)
    lengths = {*range(0, len(raw), 97), *(edge for chunk in chunks_of(raw) for edge in chunk)} - {len(raw)}
    assert [length for length in lengths if not broken(raw[:length])] == []
    assert broken(raw + b"\0")
    assert broken(raw + raw)


def test_chunks_cannot_be_dropped_doubled_or_moved() -> None:
    raw = write_all(saved_client(*[1] * 4), CONTAINER)
    parts = [raw[start:end] for start, end in chunks_of(raw)]
    shuffle = random.Random(3).shuffle
    for number, part in enumerate(parts):
        assert broken(raw[:16] + b"".join(parts[:number] + parts[number + 1 :]))
        assert broken(raw[:16] + b"".join([*parts[:number], part, *parts[number:]]))
    moved = parts[:]
    shuffle(moved)
    assert moved != parts
    assert broken(raw[:16] + b"".join(moved))


def test_chunks_of_another_container_do_not_fit() -> None:
    one, other = (write_all(saved_client(1, seed=seed), CONTAINER) for seed in (1, 2))
    assert chunks_of(one) == chunks_of(other)
    start = chunks_of(one)[3][0]  # up to the pages' chunk they are the same bytes
    assert broken(one[:start] + other[start:])


def test_forged_containers_with_right_checksums_are_read_strictly() -> None:
    pool = (chunks.POOL, 1, bytes.fromhex("01000001000000000100000000000000") + bytes(16))
    page = (chunks.PAGE, 1, bytes(32) + bytes(4096))
    handle = (chunks.INVL, 1, bytes(32))
    one = (chunks.DONE, 1, record(pages=1, invalidations=0, missing={}))
    assert [type(item) for item in read_all(forged(HEAD, pool, page, one))] == [
        Head,
        PoolInfo,
        SavedPage,
        End,
    ]
    with pytest.raises(BadInput, match="chunk 1 instead of 0"):
        read_all(forged(HEAD, DONE, first=1))
    two = (chunks.POOL, 1, pool[2].replace(b"\x01" + bytes(7), b"\x02" + bytes(7), 1))
    wrong = {
        "totals  ": (HEAD, two, page, one),
        "no HEAD": (DONE,),
        "a second HEAD": (HEAD, HEAD),
        "unknown kind": (HEAD, (b"WHAT", 1, b""), DONE),
        "impossible sizes": (HEAD, (chunks.PAGE, 2, bytes(4128)), DONE),
        "impossible sizes ": (HEAD, (chunks.PAGE, 0, b""), DONE),
        "impossible sizes  ": (HEAD, (chunks.DONE, 1, bytes(70000))),
        "out of place": (HEAD, page, DONE),
        "out of place ": (HEAD, pool, page, page, DONE),
        "pool 0 of 1 pages after pool 0": (HEAD, pool, pool, DONE),
        "no persistent pool": (HEAD, handle, DONE),
        "out of order": (HEAD, pool, handle, page, DONE),
        "totals": (HEAD, pool, page, DONE),
        "totals ": (HEAD, pool, one),
        "pages missing of": (HEAD, (chunks.DONE, 1, record(pages=0, invalidations=0, missing={"3": 1}))),
        "pages missing of ": (HEAD, (chunks.DONE, 1, record(pages=0, invalidations=0, missing={"x": 1}))),
        "no JSON": (HEAD, (chunks.DONE, 1, b"[" * 60000)),
        "no JSON object": (HEAD, (chunks.DONE, 1, b"[]")),
        "'pages'": (HEAD, (chunks.DONE, 1, record(pages=True, invalidations=0, missing={}))),
        "'pages' ": (HEAD, (chunks.DONE, 1, record(pages=-1, invalidations=0, missing={}))),
        "'new'": (HEAD, (chunks.DONE, 1, record(pages=0, invalidations=0, missing={}, new=1))),
        "'weight'": ((chunks.HEAD, 1, record(client=CLIENT | {"weight": 1 << 32}, origin=None)), DONE),
        "'origin'": ((chunks.HEAD, 1, record(client=CLIENT, origin=3)), DONE),
        "'frozen'": ((chunks.HEAD, 1, record(client=CLIENT | {"frozen": 1}, origin=None)), DONE),
    }
    for what, parts in wrong.items():
        with pytest.raises(BadInput) as caught:
            read_all(forged(*parts))
        assert what.strip() in str(caught.value)
        assert ": byte " in str(caught.value)


def test_a_deflated_chunk_may_not_grow_beyond_what_it_announced() -> None:
    bomb = zlib.compress(bytes(100_000_000), 1)
    raw = forged((chunks.HEAD, 1, bomb))
    header = bytearray(raw[16:48])
    header[8:12] = (1).to_bytes(4, "little")
    header[20:24] = (chunks.MAX_RECORD_BYTES).to_bytes(4, "little")
    small = bomb[:60000]
    header[16:20] = len(small).to_bytes(4, "little")
    header[24:28] = zlib.crc32(small).to_bytes(4, "little")
    header[28:] = zlib.crc32(header[:28], int.from_bytes(raw[12:16], "little")).to_bytes(4, "little")
    hostile = raw[:16] + bytes(header) + small
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="inflate to the 65536 bytes it announced"):
            read_all(hostile)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_another_version_is_told_from_a_broken_one() -> None:
    start = chunks.MAGIC + (2).to_bytes(4, "little")
    with pytest.raises(BadInput, match="container version 2"):
        read_all(start + zlib.crc32(start).to_bytes(4, "little"))


def test_a_domain_name_may_be_anything_and_long_ones_are_cut() -> None:
    origin = Origin("model:x", "4.3", "4.3", 1, "\u001b[31m\0" + "x" * 5000)
    raw = write_all([Head(CONTAINER, ClientInfo(0, False, False), origin), End(0)], CONTAINER)
    assert raw.isascii() is False  # the magic
    assert b"\x1b" not in raw[16:]
    head = read_all(raw)[0]
    assert isinstance(head, Head)
    assert head.origin is not None
    assert head.origin.domain_name == ("\u001b[31m\0" + "x" * 5000)[:1024]


def test_a_page_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(BadInput, match="4095 bytes"):
        write_all([SavedPage(PoolId(0), 0, 0, bytes(4095))], CONTAINER)
    assert Invalidation(PoolId(0), 1, 2) == (0, 1, 2)

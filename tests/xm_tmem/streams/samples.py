# SPDX-License-Identifier: GPL-2.0-only
"""Streams to test with: as items, and as bytes spelt out by hand from xc_tmem_save's sequence of writes."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterable, Iterator

from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.ids import PoolId, SharedUuid
from xm_tmem.streams.items import End, Head, Item, Origin, StreamFormat
from xm_tmem.streams.reader import open_writer, read_stream
from xm_tmem.streams.source import Source

PERSISTENT_FLAGS = 0x01000001
EPHEMERAL_FLAGS = 0x01000000
END = struct.pack("<I", 0xFFFFFFFF)
NO_OID = b"\xff" * 24
EXTRA = struct.pack("<i", -6)


def page_of(text: str) -> bytes:
    """A page that begins with `text`."""
    return text.encode().ljust(4096, b"\0")


def page_record(oid: int, index: int, page: bytes) -> bytes:
    """A page in A or B."""
    return oid.to_bytes(24, "little") + struct.pack("<I", index) + page


def head_a(*, flags: int = 1, weight: int = 7, cap: int = 9) -> bytes:
    return struct.pack("<iIIIIIII", -5, 1, 16, 0xFFFFFFFF, flags, weight, cap, 0xFFFFFFFF)


def pool_a(
    pool_id: int, n_pages: int, *, flags: int = PERSISTENT_FLAGS, uuid: tuple[int, int] = (1, 2)
) -> bytes:
    return struct.pack("<IIIQQ", pool_id, flags, n_pages, *uuid)


def head_b(nr_pools: int, *, flags: int = 3, weight: int = 7) -> bytes:
    return struct.pack("<iIIIIII", -5, 1, 16, nr_pools, flags, weight, 0xFFFFFFFF)


def pool_b(
    pool_id: int, n_pages: int, *, flags: int = PERSISTENT_FLAGS, uuid: tuple[int, int] = (1, 2)
) -> bytes:
    return struct.pack("<IIQQQ", flags, pool_id, n_pages, *uuid)


def invalidation(pool_id: int, oid: int, index: int) -> bytes:
    return struct.pack("<I", pool_id) + oid.to_bytes(24, "little") + struct.pack("<I", index)


def read_all(raw: bytes) -> list[Item]:
    return list(read_stream(Source(io.BytesIO(raw), "sample")))


def write_all(items: Iterable[Item], fmt: StreamFormat, *, compress: bool = False) -> bytes:
    file = io.BytesIO()
    writer = open_writer(file, fmt, compress=compress)
    for item in items:
        writer.write(item)
    return file.getvalue()


def saved_client(*pages_of_pool: int, seed: int = 1, live: bool = False, invalid: int = 0) -> Iterator[Item]:
    """A client with one persistent pool for each count; the first `invalid` pages of pool 0 are invalidated later."""
    random_page = random.Random(seed)
    pools = len(pages_of_pool)
    origin = Origin("model:sample", "4.3.4", "4.3", 5, "web", "6695eb01-f6a4-8304-79aa-97f2502e193f", live)
    yield Head(StreamFormat.CONTAINER, ClientInfo(70, True, False, cap=0, nr_pools=pools), origin)
    for number, pages in enumerate(pages_of_pool):
        yield PoolInfo(PoolId(number), True, False, pages, SharedUuid(number, 3))
        for index in range(pages):
            yield SavedPage(PoolId(number), index // 8, index, random_page.randbytes(4096))
    for index in range(invalid):
        yield Invalidation(PoolId(0), index // 8, index)
    yield End(sum(pages_of_pool), invalid)

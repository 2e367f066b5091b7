# SPDX-License-Identifier: GPL-2.0-only
"""Writes small tmem-ops/1 recordings."""

import gzip
import json
import struct
from collections.abc import Sequence
from pathlib import Path

TYPES = "IHhBBBBIIIQQQ"
Record = tuple[int, ...]


def block(records: Sequence[Record]) -> bytes:
    """Records as a block of byte planes."""
    out = [struct.pack("<I", len(records))]
    for place, kind in enumerate(TYPES):
        width = struct.calcsize(f"<{kind}")
        column = b"".join(struct.pack(f"<{kind}", record[place]) for record in records)
        out += [column[plane::width] for plane in range(width)]
    return b"".join(out)


def record(
    op: int,
    *,
    pool: int = 0,
    oid: int = 0,
    index: int = 0,
    ret: int = 1,
    content: int = 0,
    crc32: int = 0,
    zero: bool = False,
) -> Record:
    return (10, 1, ret, op, pool, int(zero), 1, index, crc32, content, oid, 0, 0)


def write_recording(path: Path, *, gets: bool = False, header: dict[str, object] | None = None) -> Path:
    """100 puts of 50 contents in a private pool, and with `gets` a get of each, in two blocks."""
    first = [record(1, index=0x1000000, ret=0)]
    first += [record(4, oid=7, index=number, content=number % 50, zero=number == 3) for number in range(100)]
    second = [record(5, oid=7, index=number) for number in range(100)] if gets else []
    return write_blocks(path, first, second, header=header)


def write_blocks(path: Path, *blocks: Sequence[Record], header: dict[str, object] | None = None) -> Path:
    """A recording of these records."""
    head: dict[str, object] = {
        "format": "tmem-ops/1",
        "types": TYPES,
        "t0_us": 1000,
        "records": sum(map(len, blocks)),
        **(header or {}),
    }
    with gzip.open(path, "wb") as stream:
        stream.write(json.dumps(head).encode() + b"\n" + b"".join(block(each) for each in blocks if each))
    return path

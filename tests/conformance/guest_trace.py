# SPDX-License-Identifier: GPL-2.0-only
"""Files of a real guest's hypercalls, `tmem-ops/1`: one JSON line, then blocks of records, column by column.

Beside NAME.tmemops.gz lies NAME.listings.json: Xen's own listings, taken between the records.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conformance.trace import TraceError

FORMAT: Final = "tmem-ops/1"
LISTINGS_FORMAT: Final = "tmem-ops-listings/1"
SUFFIX: Final = ".tmemops.gz"

# Values of the field op.
NEW_POOL, DESTROY_POOL, PUT, GET, FLUSH_PAGE, FLUSH_OBJECT = 1, 2, 4, 5, 6, 7
ZERO_PAGE: Final = 1  # in the field flags

_BLOCK_RECORDS: Final = 1 << 16

Block = dict[str, Sequence[int]]


@dataclass(frozen=True)
class Snapshot:
    """What Xen listed after so many records."""

    after_records: int
    tag: str
    listing: str


class GuestTrace:
    """A recorded run. `blocks` reads it anew, a block at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        with self._open() as file:
            self.header = self._read_header(file)
        xen = str(self.header.get("xen", ""))
        self.release = ".".join(xen.split(".")[:2])
        self.snapshots = self._read_snapshots()

    @property
    def records(self) -> int:
        return int(self.header["records"])

    def blocks(self) -> Iterator[Block]:
        """Columns by field name, for up to 65,536 records at a time. Raises TraceError for a damaged file."""
        types, fields = self.header["types"], self.header["fields"]
        try:
            with self._open() as file:
                file.readline()
                while head := file.read(4):
                    (count,) = struct.unpack("<I", head)
                    if not 0 < count <= _BLOCK_RECORDS:
                        raise TraceError(f"{self.path}: a block of {count} records")
                    yield {name: _column(kind, count, file) for name, kind in zip(fields, types, strict=True)}
        except (OSError, EOFError, struct.error) as error:
            raise TraceError(f"{self.path}: {error}") from None

    def _open(self) -> gzip.GzipFile:
        return gzip.open(self.path, "rb")

    def _read_header(self, file: gzip.GzipFile) -> dict[str, Any]:
        try:
            header = json.loads(file.readline())
        except (OSError, EOFError, ValueError) as error:
            raise TraceError(f"{self.path}: {error}") from None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise TraceError(f"{self.path}: not a {FORMAT} file")
        return header

    def _read_snapshots(self) -> list[Snapshot]:
        path = self.path.with_name(f"{self.name}.listings.json")
        try:
            listings = json.loads(path.read_bytes())
            if listings["format"] != LISTINGS_FORMAT:
                raise TraceError(f"{path}: not a {LISTINGS_FORMAT} file")
            return [Snapshot(s["after_records"], s["tag"], s["list"]) for s in listings["snapshots"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TraceError(f"{path}: {error!r}") from None


def _column(kind: str, count: int, file: gzip.GzipFile) -> array[int]:
    """One field of a block: its lowest bytes, then the next ones, and so on."""
    column = array(kind)
    width = column.itemsize
    planes = file.read(count * width)
    if len(planes) < count * width:
        raise EOFError("a block ends too soon")
    mixed = bytearray(len(planes))
    for plane in range(width):
        mixed[plane::width] = planes[plane * count : (plane + 1) * count]
    column.frombytes(bytes(mixed))
    if sys.byteorder == "big":
        column.byteswap()
    return column

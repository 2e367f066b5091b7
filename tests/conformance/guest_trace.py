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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.conformance.difference import counters
from tests.conformance.trace import TraceError

FORMAT: Final = "tmem-ops/1"
LISTINGS_FORMAT: Final = "tmem-ops-listings/1"
SUFFIX: Final = ".tmemops.gz"

# Values of the field op.
NEW_POOL: Final = 1
DESTROY_POOL: Final = 2
PUT: Final = 4
GET: Final = 5
FLUSH_PAGE: Final = 6
FLUSH_OBJECT: Final = 7
OPERATIONS: Final = {
    NEW_POOL: "new_pool",
    DESTROY_POOL: "destroy_pool",
    PUT: "put",
    GET: "get",
    FLUSH_PAGE: "flush_page",
    FLUSH_OBJECT: "flush_object",
}
ZERO_PAGE: Final = 1  # in the field flags

_BLOCK_RECORDS: Final = 1 << 16


@dataclass(frozen=True)
class Snapshot:
    """What Xen listed after so many records."""

    after_records: int
    tag: str
    listing: str


class GuestTrace:
    """A recorded run. `columns` reads it anew, a block at a time. Raises TraceError for a damaged file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(SUFFIX)
        with self._open() as file:
            self._header = self._read_header(file)
        try:
            self.release = ".".join(self._header["xen"].split(".")[:2])
            self.command_line = str(self._header["xen_args"])
            self.machine_pages = int(self._header["machine_mib"]) << 8
            self.records = int(self._header["records"])
            self._kinds = dict(zip(self._header["fields"], self._header["types"], strict=True))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise TraceError(f"{path}: its header is damaged: {error!r}") from None
        self.compresses = "tmem_compress=1" in self.command_line.split()
        self.snapshots = self._read_snapshots()
        last = counters(self.snapshots[-1].listing) if self.snapshots else {}
        self.evicted = int(last.get(("G", "Et"), "0"))
        self.most_pages = int(last.get(("G", "Pm"), "0"))
        # Were pages evicted, or puts refused? Xen counts a refused put as an error, a get of an empty pool too.
        self.short_of_memory = self.evicted > 0 or any(int(last[place]) for place in last if place[1] == "px")

    def columns(self, *names: str) -> Iterator[list[array[int]]]:
        """The fields `names` of the records, for up to 65,536 records at a time."""
        try:
            with self._open() as file:
                file.readline()
                while head := file.read(4):
                    (count,) = struct.unpack("<I", head)
                    if not 0 < count <= _BLOCK_RECORDS:
                        raise TraceError(f"{self.path}: a block of {count} records")
                    block = {name: _column(kind, count, file) for name, kind in self._kinds.items()}
                    yield [block[name] for name in names]
        except (OSError, EOFError, KeyError, struct.error) as error:
            raise TraceError(f"{self.path}: {error!r}") from None

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

# SPDX-License-Identifier: GPL-2.0-only
"""What is in a stream and where it breaks; its pages as files.

A description is made of what was read before the first error, so that a broken stream shows how far it goes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import BinaryIO

from xm_tmem.backends.interface import Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput, Failed
from xm_tmem.ids import PoolId
from xm_tmem.streams.items import End, Head, LostPage
from xm_tmem.streams.reader import Progress, read_stream
from xm_tmem.streams.source import Source
from xm_tmem.units import PAGE_BYTES

MAX_LOST_SHOWN = 1000
_REPORT_EVERY = 256  # pages


@dataclass(slots=True)
class PoolSummary:
    """A pool as announced, and what came of it."""

    pool: PoolInfo
    offset: int  # of the byte behind its header
    pages: int = 0
    zero_pages: int = 0
    objects: int = 0  # changes of the object id from page to page, plus one: exact if objects are contiguous
    invalidations: int = 0
    last_oid: int | None = None


@dataclass(slots=True)
class Summary:
    """A stream as far as it could be read; `broken` says what is wrong, None if nothing is."""

    head: Head | None = None
    pools: list[PoolSummary] = field(default_factory=list)
    lost: list[LostPage] = field(default_factory=list)  # the first MAX_LOST_SHOWN
    end: End | None = None
    size_bytes: int = 0  # read without an error
    broken: str | None = None

    @property
    def pages(self) -> int:
        return sum(pool.pages for pool in self.pools)

    @property
    def invalidations(self) -> int:
        return sum(pool.invalidations for pool in self.pools)


def summarise(
    file: BinaryIO, name: str, progress: Progress | None = None, sink: Extraction | None = None
) -> Summary:
    """Read `file` to its end or to the first error. `sink` gets the pages on the way."""
    source = Source(file, name)
    summary = Summary()
    of_pool: dict[PoolId, PoolSummary] = {}
    zero = bytes(PAGE_BYTES)
    pages = 0
    try:
        for item in read_stream(source):
            if isinstance(item, SavedPage):
                pool = of_pool[item.pool_id]
                pool.pages += 1
                pool.zero_pages += item.page == zero
                pool.objects += item.oid != pool.last_oid
                pool.last_oid = item.oid
                pages += 1
                if sink is not None:
                    sink.write(item)
                if progress is not None and pages % _REPORT_EVERY == 0:
                    progress(pages)
            elif isinstance(item, Head):
                summary.head = item
            elif isinstance(item, PoolInfo):
                of_pool[item.pool_id] = PoolSummary(item, source.offset)
                summary.pools.append(of_pool[item.pool_id])
            elif isinstance(item, Invalidation):
                of_pool[item.pool_id].invalidations += 1
            elif isinstance(item, LostPage):
                if len(summary.lost) < MAX_LOST_SHOWN:
                    summary.lost.append(item)
            else:
                summary.end = item
    except BadInput as error:
        summary.broken = str(error)
    summary.size_bytes = source.offset
    return summary


class Extraction:
    """Pages as files DIRECTORY/pool-P/OID-INDEX.page, the handle in hexadecimal.

    A guest's memory is nobody else's business: directories are made with mode 0700 and files with 0600, and nothing
    that is there already is overwritten or followed.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._made: set[int] = set()

    def write(self, page: SavedPage) -> None:
        """Raises Failed if it cannot be written, or is there already: twice in the stream, or an old extraction."""
        directory = os.path.join(self._directory, f"pool-{page.pool_id}")
        path = os.path.join(directory, f"{page.oid:048x}-{page.index:08x}.page")
        try:
            if page.pool_id not in self._made:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                os.makedirs(directory, mode=0o700, exist_ok=True)
                self._made.add(page.pool_id)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(page.page)
        except FileExistsError:
            raise Failed(f"{path} is there already: extract into a new directory") from None
        except OSError as error:
            raise Failed(f"cannot write {path}: {error.strerror}") from None

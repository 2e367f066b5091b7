# SPDX-License-Identifier: GPL-2.0-only
"""Save a client's tmem to a file, restore it from one, or move it from one hypervisor to another.

A save is an iterator of items (`saving`), a restore consumes one (`restoring`), and a file in between is written and
read by `streams`. What each release of Xen makes impossible is in `save_defects`.

Units     pages of 4096 bytes; limits in bytes each second.
Left out  the domain itself: its memory and its configuration are the business of whoever saves, stops and starts
          it. A domain that is not paused must be saved `live`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO, NamedTuple, TypeAlias

from xm_tmem.backends.interface import Backend, PoolInfo, SavedPage
from xm_tmem.errors import Failed
from xm_tmem.ids import DomainId
from xm_tmem.operations.restoring import INTO_NEW, Restoration, Restored, RestoreOptions, restoration
from xm_tmem.operations.saving import STILL, SaveOptions, refuse, saved_items, survey
from xm_tmem.operations.stopping import stoppable
from xm_tmem.streams.items import End, Head, Item, LostPage, StreamFormat
from xm_tmem.streams.reader import open_writer, read_stream, rewindable
from xm_tmem.streams.source import Source
from xm_tmem.units import PAGE_BYTES

Progress: TypeAlias = Callable[[int, int], None]
"""Called now and then with the pages done and those there are, as far as is known."""

_REPORT_EVERY = 64  # pages


def no_progress(done: int, total: int) -> None:
    """For callers that do not want to know."""


class Throttle:
    """Keeps the mean rate of `spend` to `limit` bytes each second, from the first call on; None: no limit."""

    def __init__(
        self,
        limit: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit, self._clock, self._sleep = limit, clock, sleep
        self._start: float | None = None
        self._spent_bytes = 0

    def spend(self, size_bytes: int) -> None:
        """Wait until `size_bytes` more may have been sent."""
        if self._limit is None:
            return
        if self._start is None:
            self._start = self._clock()
        self._spent_bytes += size_bytes
        early_s = self._spent_bytes / self._limit - (self._clock() - self._start)
        if early_s > 0.01:  # shorter sleeps cost more than they are worth
            self._sleep(early_s)


class Pace(NamedTuple):
    """How fast to copy, and whom to tell."""

    limit_bytes: int | None = None
    progress: Progress = no_progress


UNBOUND = Pace()
"""As fast as it goes, telling nobody."""


class Saved(NamedTuple):
    """What went into the file."""

    head: Head
    pools: tuple[PoolInfo, ...]
    end: End
    lost: int  # handles of pages that the hypervisor named and would not give


def save(
    backend: Backend,
    client: DomainId,
    file: BinaryIO,
    *,
    fmt: StreamFormat = StreamFormat.CONTAINER,
    compress: bool = False,
    options: SaveOptions = STILL,
    pace: Pace = UNBOUND,
) -> Saved:
    """Write `client` to `file`. The file is whole only if this returns.

    Raises what `saved_items` raises, and OSError from writing; the client is as it was in any case.
    """
    heads: list[Head] = []
    pools: list[PoolInfo] = []
    lost = 0
    with stoppable() as check, closing(saved_items(backend, client, options)) as items:
        pages = survey(backend, client).pages  # a host that cannot be asked leaves the file untouched
        writer = open_writer(file, fmt, compress=compress)
        for item in _paced(items, pages, pace, check):
            writer.write(item)
            if isinstance(item, Head):
                heads.append(item)
            elif isinstance(item, PoolInfo):
                pools.append(item)
            elif isinstance(item, LostPage):
                lost += 1
            elif isinstance(item, End):
                file.flush()
                return Saved(heads[0], tuple(pools), item, lost)
    raise AssertionError("a save ends with End")


def restore(
    backend: Backend,
    client: DomainId,
    file: BinaryIO,
    name: str,
    *,
    options: RestoreOptions = INTO_NEW,
    pace: Pace = UNBOUND,
) -> Restored:
    """Make `client` what the stream `file` says. The stream is read in full before anything is changed.

    Raises BadInput for a broken stream; Failed, with what was undone, when the target does not take it.
    """
    with stoppable() as check, rewindable(file) as stream:
        start = stream.tell()
        head, pools, end = _outline(read_stream(Source(stream, name)), check)
        _refuse_incomplete(end, name, options)
        stream.seek(start)
        with restoration(backend, client, options) as making:
            making.check(head, pools)
            return _fill(making, read_stream(Source(stream, name)), end.pages, pace, check)


def migrate(
    source: Backend,
    client: DomainId,
    target: Backend,
    target_client: DomainId,
    *,
    options: SaveOptions = STILL,
    into_existing: bool = False,
    pace: Pace = UNBOUND,
) -> tuple[Restored, End]:
    """Copy `client` to `target_client`; verified before the source is let go, which is then as it was found.

    Raises what `save` and `restore` raise; the target is undone, and the source as it was, on every way out.
    """
    with stoppable() as check:
        found = survey(source, client)
        refuse(found, client, options)
        restore_options = RestoreOptions(into_existing=into_existing, partial=options.partial)
        ends: list[End] = []

        def keep_end(items: Iterator[Item]) -> Iterator[Item]:
            for item in items:
                if isinstance(item, End):
                    ends.append(item)
                yield item

        with (
            restoration(target, target_client, restore_options) as making,
            closing(saved_items(source, client, options)) as items,
        ):
            making.check(Head(StreamFormat.CONTAINER, found.client), found.pools)
            return _fill(making, keep_end(items), found.pages, pace, check), ends[0]


def _fill(
    making: Restoration, items: Iterator[Item], total: int, pace: Pace, check: Callable[[], None]
) -> Restored:
    """Give all items to the target and verify it. The last item is held while it is verified."""
    for item in _paced(items, total, pace, check):
        making.take(item)
        if isinstance(item, End):
            return making.finish()
    raise AssertionError("a stream ends with End")


def _paced(items: Iterator[Item], total: int, pace: Pace, check: Callable[[], None]) -> Iterator[Item]:
    """The items, no faster than wanted, with reports of the pages that went by; `check` may stop it between two."""
    throttle = Throttle(pace.limit_bytes)
    done = 0
    for item in items:
        check()
        yield item
        if isinstance(item, SavedPage):
            throttle.spend(PAGE_BYTES)
            done += 1
            if done % _REPORT_EVERY == 0:
                pace.progress(done, max(done, total))
    pace.progress(done, done)


def _outline(items: Iterator[Item], check: Callable[[], None]) -> tuple[Head, list[PoolInfo], End]:
    """Head, pools and end of a whole stream. Raises BadInput if it is not whole."""
    heads: list[Head] = []
    pools: list[PoolInfo] = []
    for item in items:
        check()
        if isinstance(item, Head):
            heads.append(item)
        elif isinstance(item, PoolInfo):
            pools.append(item)
        elif isinstance(item, End):
            return heads[0], pools, item
    raise AssertionError("a stream ends with End")


def _refuse_incomplete(end: End, name: str, options: RestoreOptions) -> None:
    if not end.complete and not options.partial:
        what = ", ".join(f"{pages} of pool {pool_id}" for pool_id, pages in end.missing.items())
        raise Failed(
            f"{name} lacks pages ({what}): the guest would read wrong memory. --partial restores what there is"
        )

# SPDX-License-Identifier: GPL-2.0-only
"""Making a client from the items of a stream: all of it or, as far as Xen can take things back, nothing.

Models    xc_tmem_restore and xc_tmem_restore_extra, except that settings come last where a frozen client or one
          without compression would refuse its own pages.
Units     pages of 4096 bytes.
Undo      RESTORE_FLUSH_PAGE gives every page back that was put. No control operation destroys a pool or a client, so
          an empty client with empty pools stays until its domain goes; a later restore may use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from xm_tmem.backends.interface import (
    Backend,
    Capability,
    ClientInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    require,
)
from xm_tmem.errors import BadInput, Failed, NoClient, NoSuchDomain, TmemError, Unsupported
from xm_tmem.ids import DomainId, PoolId
from xm_tmem.operations.handles import HandleLog, packed
from xm_tmem.operations.interrupts import endings_wait
from xm_tmem.operations.save_defects import defects_of
from xm_tmem.operations.tuning import MAX_SETTING
from xm_tmem.streams.items import MAX_INVALIDATIONS, End, Head, Item, LostPage

UNTOUCHED = "Nothing was changed"
PAGES_AT_ONCE = 64
HANDLES_AT_ONCE = 1024


class RestoreOptions(NamedTuple):
    """How to restore. `into_existing` uses a client that is there if no page of it is in the way."""

    into_existing: bool = False
    partial: bool = False


INTO_NEW = RestoreOptions()
"""Into a domain that has not used tmem, and whole."""


class Restored(NamedTuple):
    """What is on the target now, verified."""

    pools: int
    pages: int
    invalidations: int
    refused: int  # pages the target would not take (partial only)
    notes: tuple[str, ...]  # what is not as it was, and does no harm


class Restoration:
    """A client in the making; made by `restoration`."""

    def __init__(self, backend: Backend, client: DomainId, options: RestoreOptions, log: HandleLog) -> None:
        self._backend, self._client, self._options = backend, client, options
        self._log = log
        self._invalid: set[bytes] = set()
        self._head: Head | None = None
        self._before: ClientInfo | None = None  # of a client that was there
        self._there: dict[PoolId, PoolInfo] = {}
        self._pools: dict[PoolId, PoolInfo] = {}
        self._put: dict[PoolId, int] = {}
        self._refused: set[bytes] = set()
        self._pages: list[SavedPage] = []  # taken, and not yet sent
        self._handles: list[Invalidation] = []
        self._must_compress = False
        self._touched = False
        self.finished = False

    def check(self, head: Head, pools: Sequence[PoolInfo]) -> None:
        """Would the target take this client? Changes nothing. Raises what `finish` and `take` might, and sooner."""
        backend, client = self._backend, self._client
        require(
            backend, Capability.RESTORE | Capability.SET_WEIGHT | Capability.SET_COMPRESS | Capability.FREEZE
        )
        defects = defects_of(backend.host())
        if defects.forbids is not None:
            raise Unsupported(defects.forbids)
        self._must_compress = defects.copies_compressed_only
        if not any(domain.domain_id == client for domain in backend.domains()):
            # QUIRK tmemc_save_subop: RESTORE_BEGIN for a domain that is not there fails and leaks the client.
            raise NoSuchDomain(f"{backend.name} has no domain {client} to restore into")
        for what, value in (("weight", head.client.weight), ("cap", head.client.cap or 0)):
            if value > MAX_SETTING:
                raise BadInput(f"the stream's {what} {value} cannot be set: it goes to {MAX_SETTING}")
        for pool in pools:
            if pool.shared and pool.persistent:
                raise Unsupported(
                    f"pool {pool.pool_id} is shared and persistent, which no Xen handles safely"
                )
        try:
            self._before = backend.client_info(client)
        except NoClient:
            return
        self._there = {pool.pool_id: pool for pool in backend.pools(client)}
        if not self._options.into_existing:
            held = sum(pool.n_pages for pool in self._there.values())
            raise Failed(
                f"domain {client} of {backend.name} uses tmem already ({len(self._there)} pools, {held} pages): "
                "restore into a domain that has not, or add to it with --into-existing"
            )
        for pool in pools:
            self._check_free(pool)

    def _check_free(self, pool: PoolInfo) -> None:
        """Is the pool id free, or taken by an empty pool of the same kind? Raises Failed."""
        there = self._there.get(pool.pool_id)
        if there is None:
            return
        if (there.persistent, there.shared) != (pool.persistent, pool.shared):
            raise Failed(f"domain {self._client} has a pool {pool.pool_id} already, of another kind")
        if there.persistent and there.n_pages:
            raise Failed(f"domain {self._client} has {there.n_pages} pages in pool {pool.pool_id} already")
        if there.shared and there.uuid != pool.uuid:
            raise Failed(f"domain {self._client} shares another pool as pool {pool.pool_id} already")

    def take(self, item: Item) -> None:
        """Do what the next item says. What it raises must leave the context of `restoration`, which undoes."""
        if isinstance(item, SavedPage):
            self._pages.append(item)
            if len(self._pages) == PAGES_AT_ONCE:
                self._send()
            return
        if isinstance(item, Invalidation):
            self._handles.append(item)
            if len(self._handles) == HANDLES_AT_ONCE:
                self._send()
            return
        self._send()
        if isinstance(item, Head):
            self._begin(item)
        elif isinstance(item, PoolInfo):
            self._pools[item.pool_id] = item
            self._put[item.pool_id] = 0
            if item.pool_id not in self._there:
                self._backend.restore_pool(self._client, item)
        else:
            assert isinstance(item, LostPage | End)

    def _begin(self, head: Head) -> None:
        backend, client = self._backend, self._client
        self._head = head
        self._touched = True
        if self._before is None:
            backend.restore_begin(client)
        elif self._before.frozen:
            backend.thaw(client)  # a frozen client takes no page, its own neither
        compress = head.client.compress or self._must_compress
        if backend.client_info(client).compress != compress:
            backend.set_compress(client, compress)

    def _send(self) -> None:
        """Put the pages that were taken, and flush those that went invalid, in a round trip each."""
        pages, self._pages = self._pages, []
        for page in pages:
            # Logged first: an interrupt may come when it is put and before we know.
            self._log.add(page)
        errors = self._backend.restore_pages(self._client, pages) if pages else []
        for page, error in zip(pages, errors, strict=True):
            if error is None:
                self._put[page.pool_id] += 1
            elif self._options.partial and isinstance(error, Failed):
                self._refused.add(packed(page))
            else:
                raise Failed(f"a page of pool {page.pool_id} was not taken: {error}") from error
        handles, self._handles = self._handles, []
        if handles:
            # Flushing what is not there is harmless: the handle may be that of a page flushed before it was copied.
            self._backend.restore_invalidations(self._client, handles)
            self._invalid.update(map(packed, handles))
            if len(self._invalid) > MAX_INVALIDATIONS:
                raise BadInput(f"more than {MAX_INVALIDATIONS} invalidations")

    def finish(self) -> Restored:
        """Verify what is there now, and give the client its settings. Raises Failed; until then all can be undone."""
        assert self._head is not None
        notes: list[str] = []
        self._verify(notes)
        self._settle(self._head.client, notes)
        self.finished = True
        pages = sum(self._put.values())
        return Restored(len(self._pools), pages, len(self._invalid), len(self._refused), tuple(notes))

    def _verify(self, notes: list[str]) -> None:
        there = {pool.pool_id: pool for pool in self._backend.pools(self._client)}
        stale = self._log.count_of_each_pool(self._invalid - self._refused)
        for pool_id, pool in self._pools.items():
            found = there.get(pool_id)
            if found is None or found.persistent != pool.persistent:
                raise Failed(f"the target has no such pool {pool_id} as it was asked to make")
            if pool.shared and not found.shared:
                notes.append(
                    f"pool {pool_id} is private now: allow the domain its uuid (tmem-shared-auth) beforehand"
                )
            elif pool.shared and found.uuid != pool.uuid:
                raise Failed(f"the target's pool {pool_id} has another uuid")
            expected = self._put[pool_id] - stale.get(pool_id, 0)
            if pool.persistent and found.n_pages != expected:
                raise Failed(f"the target's pool {pool_id} has {found.n_pages} pages instead of {expected}")

    def _settle(self, wanted: ClientInfo, notes: list[str]) -> None:
        """The settings that were not set at the start; freezing last."""
        backend, client = self._backend, self._client
        now = backend.client_info(client)
        if wanted.weight != now.weight:
            backend.set_weight(client, wanted.weight)
        if wanted.cap and Capability.SET_CAP not in backend.capabilities:
            notes.append(f"the cap {wanted.cap} is dropped: this release has none")
        elif wanted.cap is not None and wanted.cap != now.cap and Capability.SET_CAP in backend.capabilities:
            backend.set_cap(client, wanted.cap)
        if wanted.compress != now.compress:
            backend.set_compress(client, wanted.compress)
        if wanted.frozen != now.frozen:
            (backend.freeze if wanted.frozen else backend.thaw)(client)
        now = backend.client_info(client)
        for what in ("weight", "compress", "frozen"):
            if getattr(now, what) != getattr(wanted, what):
                notes.append(f"{what} is {getattr(now, what)} and not {getattr(wanted, what)} as saved")

    def undo(self) -> str:
        """Take back what was done, and say what is left of it. Raises what the backend raises."""
        if not self._touched:
            return UNTOUCHED
        backend, client = self._backend, self._client
        try:
            now = backend.client_info(client)
        except NoSuchDomain:
            return "The client is gone, and all of it"
        if now.frozen:
            backend.thaw(client)
        for handles in self._log.batches():
            # A page may be listed that was never put, or that is flushed already: both are harmless.
            backend.restore_invalidations(client, handles)
        left = {pool.pool_id: pool for pool in backend.pools(client)}
        if any(left[p].n_pages for p, pool in self._pools.items() if pool.persistent and p in left):
            raise Failed(f"pages are left in domain {client}")
        if self._before is not None:
            self._settle(self._before, [])
        made = [pool_id for pool_id in left if pool_id in self._pools and pool_id not in self._there]
        self._touched = False
        if not made and self._before is not None:
            return "All of it was taken back"
        return (
            f"Every page was taken back; a client with {len(made)} empty pools stays until domain {client} goes "
            "(--into-existing restores into it)"
        )


@contextmanager
def restoration(backend: Backend, client: DomainId, options: RestoreOptions) -> Iterator[Restoration]:
    """A Restoration that is undone when the block is left by an exception before `finish` has come to its end.

    An error says what the undo left behind. Nothing interrupts an undo.
    """
    with HandleLog() as log:
        making = Restoration(backend, client, options, log)
        try:
            yield making
        except TmemError as error:
            if making.finished:
                raise
            with endings_wait():
                raise _with_outcome(error, making) from error
        except BaseException:
            if not making.finished:
                with endings_wait():
                    making.undo()
            raise


def _with_outcome(error: TmemError, making: Restoration) -> TmemError:
    """`error` and what became of the undo."""
    try:
        outcome = making.undo()
    except TmemError as second:
        return Failed(
            f"{error}. Taking it back failed too ({second}): destroy the domain, its tmem is not whole"
        )
    if outcome == UNTOUCHED:
        return error
    kind = Failed if isinstance(error, Failed) else type(error)
    return kind(f"{error}. {outcome}")

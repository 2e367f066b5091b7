# SPDX-License-Identifier: GPL-2.0-only
"""Reading a client's tmem from a hypervisor as the items of a stream, around what Xen does wrong.

Models    xc_tmem_save and xc_tmem_save_extra, and what docs/design/save-around-defects.md says instead.
Units     pages of 4096 bytes.
Promise   what cannot be saved whole is refused before anything changes; the client is as frozen as it was found on
          every path out, an interrupt included.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from xm_tmem.backends.interface import (
    Backend,
    Capability,
    ClientInfo,
    HostInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    require,
)
from xm_tmem.errors import Failed, NoSuchDomain, TmemError, Unsupported
from xm_tmem.ids import DomainId, PoolId
from xm_tmem.listing.parse import parse_listing
from xm_tmem.operations.handles import HandleLog, packed
from xm_tmem.operations.interrupts import endings_wait
from xm_tmem.operations.save_defects import Defects, defects_of
from xm_tmem.streams.items import MAX_INVALIDATIONS, End, Head, Item, LostPage, Origin, StreamFormat

MAX_ROUNDS = 100
"""Readings of the invalidations before a guest that goes on changing pages is given up on."""


class SaveOptions(NamedTuple):
    """How to save. `switch` is called once all pages are copied and before the last invalidations are read."""

    live: bool = False
    partial: bool = False
    risk_host: bool = False
    switch: Callable[[], None] | None = None


STILL = SaveOptions()
"""Of a client that does not change meanwhile, and whole."""


class Loss(NamedTuple):
    """Pages that a save is bound to miss: `pages` of `pool_id`, or up to `pages` somewhere."""

    pool_id: PoolId | None
    pages: int
    why: str

    def __str__(self) -> str:
        where = f"{self.pages} of pool {self.pool_id}" if self.pool_id is not None else f"up to {self.pages}"
        return f"{where} ({self.why})"


class Survey(NamedTuple):
    """What a save would find; nothing was changed to learn it."""

    host: HostInfo
    defects: Defects
    client: ClientInfo
    pools: tuple[PoolInfo, ...]
    losses: tuple[Loss, ...]

    @property
    def pages(self) -> int:
        """Persistent pages, those a save can never reach included."""
        return sum(pool.n_pages for pool in self.pools if pool.persistent)


def survey(backend: Backend, client: DomainId) -> Survey:
    """Ask what there is to save. Raises Unsupported, TmemOff, NoSuchDomain, NoClient."""
    require(backend, Capability.SAVE | Capability.FREEZE | Capability.LIST)
    host = backend.host()
    defects = defects_of(host)
    if defects.forbids is not None:
        raise Unsupported(defects.forbids)
    info = backend.client_info(client)
    pools = tuple(sorted(backend.pools(client), key=lambda pool: pool.pool_id))
    return Survey(host, defects, info, pools, _losses(backend, client, defects, pools))


def _losses(
    backend: Backend, client: DomainId, defects: Defects, pools: Sequence[PoolInfo]
) -> tuple[Loss, ...]:
    losses = []
    if defects.skips_first_page:
        why = "Xen skips the first page of a pool that has several"
        losses += [Loss(pool.pool_id, 1, why) for pool in pools if pool.persistent and pool.n_pages > 1]
    persistent = sum(pool.n_pages for pool in pools if pool.persistent)
    if defects.copies_compressed_only and persistent:
        clients = parse_listing(backend.list_text(client, use_long=True)).clients
        held, compressed = (clients[0].eph_count, clients[0].compressed_pages) if clients else (None, None)
        whole = persistent + (held or 0) - (compressed or 0)
        if whole > 0:
            losses.append(
                Loss(None, min(whole, persistent), "Xen does not give pages that it stores uncompressed")
            )
    return tuple(losses)


def refuse(found: Survey, client: DomainId, options: SaveOptions) -> None:
    """Raises Unsupported if a save with `options` must not be tried."""
    if options.live and found.defects.live_may_crash and not options.risk_host:
        raise Unsupported(
            f"a live save can crash Xen {found.host.xen_version}: its lists break when the guest flushes the page "
            "being copied; pause the domain and save without --live, or accept that with --risk-host"
        )
    if found.losses and not options.partial:
        what = ", ".join(map(str, found.losses))
        raise Unsupported(
            f"domain {client} cannot be saved whole by Xen {found.host.xen_version}, and nothing was changed. Out of "
            f"reach: {what}. Let the guest take its pages back first (swapoff), or save the rest with --partial"
        )


def saved_items(backend: Backend, client: DomainId, options: SaveOptions) -> Generator[Item, None, None]:
    """The client as a stream. Close the iterator (contextlib.closing): that is what releases the client.

    Until `End` has been consumed the client stays held, so that a copy can be verified before it is let go. Raises
    Unsupported and NoClient before anything changes; Failed when the guest changed pages meanwhile, or when pages
    did not come and `options.partial` is not set.
    """
    found = survey(backend, client)
    refuse(found, client, options)
    if not found.pools:
        yield _head(backend, client, found, options)
        yield End(0)
        return
    # SAVE_END reads freed memory once invalidations were left by an earlier live save, and SAVE_BEGIN forgets the
    # state it finds if it comes twice. A host with such defects is spared both where freezing does as well.
    plain = found.defects.live_may_crash and not options.live
    with _held(backend, client, frozen=found.client.frozen, live=options.live, plain=plain):
        pools = tuple(sorted(backend.pools(client), key=lambda pool: pool.pool_id))
        found = found._replace(pools=pools, losses=_losses(backend, client, found.defects, pools))
        refuse(found, client, options)
        yield _head(backend, client, found, options)
        with HandleLog() as log:
            if options.live:
                yield from _live_pages(backend, client, found, options, log)
            else:
                yield from _still_pages(backend, client, found, options)


def _head(backend: Backend, client: DomainId, found: Survey, options: SaveOptions) -> Head:
    domain = next((domain for domain in backend.domains() if domain.domain_id == client), None)
    origin = Origin(
        connection=backend.name,
        xen_version=found.host.xen_version,
        release=found.host.release,
        domain_id=client,
        domain_name=domain.name if domain else None,
        domain_uuid=domain.uuid if domain else None,
        live=options.live,
    )
    settings = found.client._replace(migrating=options.live, nr_pools=len(found.pools))
    return Head(StreamFormat.CONTAINER, settings, origin)


def _still_pages(backend: Backend, client: DomainId, found: Survey, options: SaveOptions) -> Iterator[Item]:
    """Pools, pages and end of a client that must not change meanwhile."""
    before = _changes(backend, client)
    read: dict[PoolId, int] = {}
    lost: list[LostPage] = []
    for pool in found.pools:
        yield pool
        read[pool.pool_id] = 0
        if pool.persistent:
            for page in _pages(backend, client, pool, options, lost):
                yield page
                read[pool.pool_id] += 1
    if _changes(backend, client) != before:
        raise Failed(
            f"domain {client} changed its pages while they were read: pause it, or save it with --live"
        )
    yield from lost
    missing = {p.pool_id: p.n_pages - read[p.pool_id] for p in found.pools if p.persistent}
    yield _end(client, read, 0, missing, options)


def _live_pages(
    backend: Backend, client: DomainId, found: Survey, options: SaveOptions, log: HandleLog
) -> Iterator[Item]:
    """Pools, pages, invalidations and end of a client whose guest goes on flushing."""
    read: dict[PoolId, int] = {}
    lost: list[LostPage] = []
    for pool in found.pools:
        yield pool
        read[pool.pool_id] = 0
        if pool.persistent:
            for page in _pages(backend, client, pool, options, lost):
                yield page
                log.add(page)
                read[pool.pool_id] += 1
    if options.switch is not None:
        options.switch()
    known: set[bytes] = set()
    for _ in range(MAX_ROUNDS):
        new = 0
        for handle in backend.save_invalidations(client):
            if packed(handle) not in known:
                known.add(packed(handle))
                new += 1
                yield handle
            if len(known) > MAX_INVALIDATIONS:
                raise Failed(
                    f"domain {client}: more than {MAX_INVALIDATIONS} pages changed while they were copied"
                )
        left = {pool.pool_id: pool.n_pages for pool in backend.pools(client) if pool.persistent}
        if not new:
            break
    else:
        raise Failed(f"domain {client} goes on changing pages: pause it once they are copied (--switch)")
    stale = log.count_of_each_pool(known)
    missing = {p: pages - (read[p] - stale.get(p, 0)) for p, pages in left.items()}
    yield from (
        page for page in lost if packed(Invalidation(page.pool_id, page.oid, page.index)) not in known
    )
    yield _end(client, read, len(known), missing, options)


def _pages(
    backend: Backend, client: DomainId, pool: PoolInfo, options: SaveOptions, lost: list[LostPage]
) -> Iterator[SavedPage]:
    """Pages of one pool as far as they come; those only named go to `lost`."""
    for page in backend.save_pages(client, pool.pool_id):
        if page.page:
            yield page
        elif options.partial:
            lost.append(LostPage(page.pool_id, page.oid, page.index))
        else:
            raise Failed(
                f"domain {client}: Xen does not give a page of pool {pool.pool_id}, stored uncompressed"
            )


def _end(
    client: DomainId,
    read: dict[PoolId, int],
    invalidations: int,
    missing: dict[PoolId, int],
    options: SaveOptions,
) -> End:
    """The totals. Raises Failed for pages that should have come."""
    missing = {pool_id: pages for pool_id, pages in missing.items() if pages}
    if any(pages < 0 for pages in missing.values()):
        raise Failed(f"domain {client}: more pages came than its pools hold; the save cannot be trusted")
    if missing and not options.partial:
        what = ", ".join(f"{pages} of pool {pool_id}" for pool_id, pages in missing.items())
        raise Failed(
            f"domain {client}: pages did not come: {what}. Xen hands out each page once: an earlier save or migration, "
            "also one that failed, has had them. --partial saves what is left"
        )
    return End(sum(read.values()), invalidations, missing)


def _changes(backend: Backend, client: DomainId) -> list[tuple[int | None, ...]]:
    """Counters of each pool that move when a guest changes pages, and stand still when its puts are refused."""
    return [
        (
            pool.pool_id,
            pool.pgp_count,
            pool.good_puts,
            pool.dup_puts_flushed,
            pool.flushes_found,
            pool.flush_objs_found,
        )
        for pool in parse_listing(backend.list_text(client, use_long=True)).pools
        if pool.persistent
    ]


@contextmanager
def _held(backend: Backend, client: DomainId, *, frozen: bool, live: bool, plain: bool) -> Iterator[None]:
    """Inside, the client takes no new page; afterwards it is `frozen` or not, as it was."""
    begun = False
    try:
        if plain:
            backend.freeze(client)
        else:
            begun = True  # before it is: an interrupt leaves unknown whether it was
            try:
                backend.save_begin(client, live=live)
            except TmemError:
                begun = False
                raise
        yield
    finally:
        with endings_wait():
            _release(backend, client, frozen=frozen, begun=begun)


def _release(backend: Backend, client: DomainId, *, frozen: bool, begun: bool) -> None:
    """Raises Failed if the client could not be brought back to its state."""
    trouble: TmemError | None = None
    if begun:
        try:
            backend.save_end(client)
        except TmemError as error:
            trouble = error  # thawing may work nevertheless, and matters more
    try:
        # SAVE_END restores what SAVE_BEGIN found, which is not what we found if it came twice.
        if backend.client_info(client).frozen != frozen:
            (backend.freeze if frozen else backend.thaw)(client)
    except NoSuchDomain:
        return  # it went away meanwhile, and its tmem with it
    except TmemError as error:
        state, verb = ("frozen", "freeze") if frozen else ("thawed", "thaw")
        raise Failed(
            f"domain {client} may not be {state} again ({error}): check, and `xm tmem-{verb} {client}`"
        ) from error
    if trouble is not None:
        raise Failed(
            f"domain {client}: the save may not have ended for the hypervisor ({trouble})"
        ) from trouble

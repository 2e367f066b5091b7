# SPDX-License-Identifier: GPL-2.0-only
"""Questions that change nothing: listings, the domains of a host, its settings, how much could be freed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from xm_tmem.backends.interface import Backend, Capability, DomainInfo, require
from xm_tmem.errors import NoClient, TmemOff
from xm_tmem.ids import DomainId
from xm_tmem.listing.parse import parse_listing
from xm_tmem.listing.records import ClientRecord, Listing, PoolRecord
from xm_tmem.listing.report import Report, read_report
from xm_tmem.operations.outcome import Outcome, Target, for_each
from xm_tmem.operations.resolve import label
from xm_tmem.units import PAGES_PER_MB


def listing(backend: Backend, *, use_long: bool = True) -> Listing:
    """What the hypervisor lists of the whole host."""
    require(backend, Capability.LIST)
    return parse_listing(backend.list_text(None, use_long=use_long))


class Listed:
    """A listing with its circumstances, and what became of each domain that was asked for by itself."""

    __slots__ = ("outcomes", "report")

    def __init__(self, report: Report, outcomes: Sequence[Outcome]) -> None:
        self.report, self.outcomes = report, outcomes

    @property
    def found(self) -> bool:
        """Is there something to show: the whole host, or at least one of the domains asked for?"""
        return not self.outcomes or any(outcome.error is None for outcome in self.outcomes)


def listed(
    backend: Backend,
    wanted: Sequence[Target] | None = None,
    *,
    use_long: bool = True,
    now: Callable[[], float] = time.time,
) -> Listed:
    """The report on `wanted`, or on the whole host (None). Raises Unsupported, TmemOff."""
    require(backend, Capability.LIST)
    texts: list[bytes] = []

    def list_one(target: Target) -> str:
        texts.append(backend.list_text(target.domain_id, use_long=use_long))
        return "listed"

    outcomes = for_each(wanted, list_one) if wanted is not None else []
    if wanted is None:
        texts.append(backend.list_text(None, use_long=use_long))
    host, timestamp = backend.host(), now()
    names = {int(domain.domain_id): domain.name for domain in backend.domains() if domain.name}
    report = read_report(
        b"".join(texts),
        connection=backend.name,
        timestamp=timestamp if host.recorded_at is None else host.recorded_at,
        release=host.release or None,
        names=names,
    )
    return Listed(report, outcomes)


def client_targets(backend: Backend) -> list[Target]:
    """A target for every domain that has used tmem: what `-a` means where each has to be treated by itself."""
    names = {domain.domain_id: label(domain) for domain in backend.domains()}
    ids = [DomainId(client.cli_id) for client in listing(backend, use_long=False).clients]
    return [Target(names.get(cli_id, f"domain {cli_id}"), cli_id) for cli_id in ids]


class DomainSummary:
    """A domain and its tmem in one line. Pages; None where nobody said, zero for a domain without a client."""

    __slots__ = ("client", "domain", "ephemeral", "found_gets", "gets", "persistent", "pools")

    def __init__(self, domain: DomainInfo, client: ClientRecord | None, pools: Iterable[PoolRecord]) -> None:
        self.domain, self.client = domain, client
        own = list(pools)
        self.pools = len(own)
        self.ephemeral = client.eph_count if client is not None else 0
        self.persistent = sum(pool.pgp_count or 0 for pool in own if (pool.pool_type or "").startswith("P"))
        self.gets = sum(pool.gets or 0 for pool in own)
        self.found_gets = sum(pool.found_gets or 0 for pool in own)


def summaries(backend: Backend) -> list[DomainSummary]:
    """Every domain of the host, by id, with a summary of its tmem. A client that no directory knows is there too.

    Where there is no tmem the domains are there all the same.
    """
    try:
        whole = listing(backend)
    except TmemOff:
        return [DomainSummary(domain, None, ()) for domain in backend.domains()]
    clients = {client.cli_id: client for client in whole.clients}
    pools: dict[int, list[PoolRecord]] = {}
    for pool in whole.pools:
        pools.setdefault(pool.cli_id, []).append(pool)
    domains = {int(domain.domain_id): domain for domain in backend.domains()}
    for cli_id in clients:
        domains.setdefault(cli_id, DomainInfo(DomainId(cli_id)))
    return [DomainSummary(domains[key], clients.get(key), pools.get(key, ())) for key in sorted(domains)]


class Freeable:
    """What could be freed. `freeable_mb` is the hypervisor's answer; the pages are its listing's."""

    __slots__ = ("ephemeral", "freeable_mb", "idle")

    def __init__(self, freeable_mb: int, idle: int | None, ephemeral: int | None) -> None:
        self.freeable_mb, self.idle, self.ephemeral = freeable_mb, idle, ephemeral


def freeable(backend: Backend) -> Freeable:
    """How much tmem could give back: ephemeral pages, and frames idle on its own free list.

    The figure is asked of the hypervisor itself; xl of 4.8 and later printed 0 whatever it was.
    """
    if Capability.FREEABLE in backend.capabilities:
        host = listing(backend).global_ if Capability.LIST in backend.capabilities else None
        idle, ephemeral = (host.avail_pages, host.eph_count) if host else (None, None)
        return Freeable(backend.freeable_mb(), idle, ephemeral)
    host = listing(backend).global_
    if host is None or host.avail_pages is None or host.eph_count is None:
        require(backend, Capability.FREEABLE)
        raise NoClient("the listing does not say how much could be freed")
    return Freeable((host.avail_pages + host.eph_count) // PAGES_PER_MB, host.avail_pages, host.eph_count)

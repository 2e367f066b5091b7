# SPDX-License-Identifier: GPL-2.0-only
"""Pools and clients come and go.

Models    do_tmem_new_pool, do_tmem_destroy_pool, pool_flush, client_flush, client_free, tmem_destroy of tmem.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypervisor_model.host.domain import Domain
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_POOL_PAGESIZE_MASK,
    TMEM_POOL_PAGESIZE_SHIFT,
    TMEM_POOL_PERSIST,
    TMEM_POOL_PRECOMPRESSED,
    TMEM_POOL_RESERVED_BITS,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_MASK,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
)
from hypervisor_model.public.xen import EPERM
from hypervisor_model.tmem.client import NO_UUID, Client, client_of
from hypervisor_model.tmem.page import free_invalidated
from hypervisor_model.tmem.pool import Pool
from hypervisor_model.tmem.shared import authorised, destroy_objects_of, give_back_pages, join, quit_pool

if TYPE_CHECKING:
    from hypervisor_model.tmem.state import Tmem


def _flags_refused(tmem: Tmem, flags: int) -> bool:
    return (
        (flags >> TMEM_POOL_VERSION_SHIFT & TMEM_POOL_VERSION_MASK) != TMEM_SPEC_VERSION
        or (flags >> TMEM_POOL_PAGESIZE_SHIFT & TMEM_POOL_PAGESIZE_MASK) != 0
        or bool(flags & (TMEM_POOL_PRECOMPRESSED | TMEM_POOL_RESERVED_BITS))
        or (
            tmem.release.client_info_abi
            and bool(flags & TMEM_POOL_SHARED)
            and bool(flags & TMEM_POOL_PERSIST)
        )
    )


def new_pool(
    tmem: Tmem, client: Client | None, pool_id: int | None, flags: int, uuid: tuple[int, int]
) -> int:
    """Make a pool, or join a shared one: its id or -EPERM (C: do_tmem_new_pool).

    `pool_id` None takes the first free slot, as a guest gets it; a number is what restore asks for.
    """
    if _flags_refused(tmem, flags) or client is None:
        return -EPERM
    if pool_id is None:
        if None not in client.pools:
            return -EPERM
        pool_id = client.pools.index(None)
    elif pool_id >= MAX_POOLS_PER_DOMAIN or client.pools[pool_id] is not None:
        return -EPERM
    # A shared pool that may not be shared becomes a private one, without a word to the guest.
    shared = bool(flags & TMEM_POOL_SHARED) and uuid != NO_UUID and authorised(tmem, client, uuid)
    pool = Pool(tmem, client, pool_id, persistent=bool(flags & TMEM_POOL_PERSIST), shared=shared, uuid=uuid)
    if shared and not _share(tmem, client, pool):
        return -EPERM
    if not shared:
        client.pools[pool_id] = pool
    client.nr_pools += 1
    return pool_id


def _share(tmem: Tmem, client: Client, pool: Pool) -> bool:
    """Join the shared pool of the same uuid, or make `pool` a new one; its slot is `pool.pool_id` either way."""
    for known in tmem.shared_pools:
        if known is not None and known.uuid == pool.uuid:
            # In 4.12 a failed join leaves the client with a pointer to a freed pool; here it has no pool. 4.3
            # never looks whether joining worked.
            if not join(tmem, known, client) and tmem.release.client_info_abi:
                return False
            client.pools[pool.pool_id] = known
            return True
    if None not in tmem.shared_pools:
        return False
    slot = tmem.shared_pools.index(None)
    if not join(tmem, pool, client) and tmem.release.client_info_abi:
        return False
    tmem.shared_pools[slot] = pool
    client.pools[pool.pool_id] = pool
    return True


def destroy_pool(tmem: Tmem, client: Client, pool_id: int) -> int:
    """1, or 0 if there is no such pool (C: do_tmem_destroy_pool)."""
    if not 0 <= pool_id < MAX_POOLS_PER_DOMAIN:
        return 0
    pool = client.pools[pool_id]
    if pool is None:
        return 0
    client.pools[pool_id] = None
    flush_pool(tmem, pool, client)
    client.nr_pools -= 1
    return 1


def flush_pool(tmem: Tmem, pool: Pool, client: Client) -> None:
    """`client` is done with the pool; it goes unless others share it (C: pool_flush)."""
    if pool.shared and quit_pool(tmem, pool, client) > 0:
        return
    if pool.client.live_migrating:
        # QUIRK pool_flush: a pool can't be destroyed during a live save. Its client has lost it all the same.
        tmem.lost_pools.append(pool)
        _keep_statistics(tmem, pool)
        return
    destroy_objects_of(tmem, pool, None)
    _keep_statistics(tmem, pool)
    if pool.pool_id < MAX_POOLS_PER_DOMAIN and pool.client.pools[pool.pool_id] is pool:
        pool.client.pools[pool.pool_id] = None


def _keep_statistics(tmem: Tmem, pool: Pool) -> None:
    """What the totals have of a pool that goes."""
    tmem.other_ops += pool.operations
    if not pool.persistent:
        tmem.past_good_eph_puts += pool.good_puts - pool.dup_puts_replaced
    if pool.private_ephemeral:
        pool.client.other_eph_gets += pool.found_gets


def destroy_client(tmem: Tmem, domain: Domain) -> None:
    """The domain is dying: its pools go, then its client (C: tmem_destroy, client_flush, client_free)."""
    client = client_of(domain)
    if client is None:
        return
    tmem.current = None  # the idle domain
    # In C a client that dies during its own live save leaves its pools behind, pointing to it.
    client.live_migrating = False
    for pool_id, pool in enumerate(client.pools):
        if pool is not None:
            flush_pool(tmem, pool, client)
            client.pools[pool_id] = None
    for pool in [lost for lost in tmem.lost_pools if lost.client is client]:
        # In C its pages stay. The persistent ones are merely lost; the ephemeral ones, still listed, point to a client
        # that is gone.
        if tmem.documented or not pool.persistent:
            tmem.lost_pools.remove(pool)
            destroy_objects_of(tmem, pool, None)
    give_back_pages(client)
    for handle in client.invalidated:
        free_invalidated(tmem, handle)
    client.invalidated.clear()
    tmem.clients.remove(client)
    if tmem.documented:
        # QUIRK client_free: the weight of a client that is gone stays in the total.
        tmem.client_weight_total -= client.weight
    domain.tmem = None

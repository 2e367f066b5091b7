# SPDX-License-Identifier: GPL-2.0-only
"""Shared pools: who uses them, who owns them, who may.

Models    shared_pool_join, shared_pool_quit, shared_pool_reassign, tmemc_shared_pool_auth of tmem.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypervisor_model.public.tmem import MAX_POOLS_PER_DOMAIN
from hypervisor_model.public.xen import EINVAL, ENOMEM
from hypervisor_model.tmem.client import NO_UUID, Client
from hypervisor_model.tmem.memory import free, malloc
from hypervisor_model.tmem.obj import NO_CLIENT, destruction_order
from hypervisor_model.tmem.ops import obj_destroy
from hypervisor_model.tmem.page import append
from hypervisor_model.tmem.pool import Pool, Sharer

if TYPE_CHECKING:
    from hypervisor_model.tmem.state import Tmem


def join(tmem: Tmem, pool: Pool, client: Client) -> bool:
    """Add `client` to the users of `pool`. False: no memory (C: shared_pool_join)."""
    sharer = Sharer(client)
    if not malloc(tmem, sharer, tmem.release.sharelist_bytes, None):
        return False
    pool.sharers.append(sharer)
    return True


def quit_pool(tmem: Tmem, pool: Pool, client: Client) -> int:
    """`client` leaves `pool`, and its objects go; the number of users left, -1 if it was none.

    C: shared_pool_quit.
    """
    was_dying = pool.is_dying
    destroy_objects_of(tmem, pool, client.cli_id)
    if tmem.documented:
        # QUIRK pool_destroy_objs: it marks the pool as dying although others go on using it, and from then on none
        # of its pages can be evicted.
        pool.is_dying = was_dying
    sharer = next((sharer for sharer in pool.sharers if sharer.client is client), None)
    if sharer is None:
        return -1
    pool.sharers.remove(sharer)
    # In C the list entry of a persistent pool goes back to an allocator it did not come from.
    free(tmem, sharer, None)
    if pool.client is client:
        _reassign(tmem, pool)
    if not pool.sharers:
        for number, shared in enumerate(tmem.shared_pools):
            if shared is pool:
                tmem.shared_pools[number] = None
                break
    return len(pool.sharers)


def destroy_objects_of(tmem: Tmem, pool: Pool, cli_id: int | None) -> None:
    """Destroy the objects that `cli_id` used last, or all (C: pool_destroy_objs)."""
    pool.is_dying = True
    for obj in destruction_order(pool):
        if cli_id is None or obj.last_client == cli_id:
            obj_destroy(tmem, obj)


def _reassign(tmem: Tmem, pool: Pool) -> None:
    """Give the pool to the first client that still shares it (C: shared_pool_reassign)."""
    if not pool.sharers:
        return
    old = pool.client
    old.pools[pool.pool_id] = None
    new = pool.sharers[0].client
    pool.client = new
    slot = new.pools.index(pool) if pool in new.pools else MAX_POOLS_PER_DOMAIN
    pool.pool_id = slot
    if pool.persistent:
        # 4.3 alone lets a pool be shared and persistent, and leaves its pages to a domain that may soon be gone.
        old.domain.tot_pages -= pool.pgp_count
        new.domain.tot_pages += pool.pgp_count
        return
    if new is old:
        return  # a client that joined twice; C splices its list into itself
    new.eph_count += pool.pgp_count
    old.eph_count -= pool.pgp_count
    # QUIRK shared_pool_reassign: it moves *all* ephemeral pages of the old owner, also those of its other pools.
    _splice(old, new, pool if tmem.documented else None)
    tmem.lists_mixed = tmem.lists_mixed or not tmem.documented


def _splice(old: Client, new: Client, only: Pool | None) -> None:
    """Move the pages of `old`'s list, or those of one pool, to the old end of `new`'s."""
    head = old.ephemeral_head
    target = new.ephemeral_head
    pgp = head.list_prev
    while pgp is not head:
        before = pgp.list_prev
        if only is None or pgp.obj.pool is only:
            pgp.list_prev.list_next = pgp.list_next
            pgp.list_next.list_prev = pgp.list_prev
            first = target.list_next
            pgp.list_prev = target
            pgp.list_next = first
            target.list_next = pgp
            first.list_prev = pgp
        pgp = before


def give_back_pages(client: Client) -> None:
    """Pages of others on the list of a client that dies go back to their owners' lists.

    They came there when it took over a shared pool. C frees the client, and they point to freed memory.
    """
    head = client.ephemeral_head
    while (pgp := head.list_next) is not head:
        head.list_next = pgp.list_next
        pgp.list_next.list_prev = head
        append(pgp, pgp.obj.pool.client.ephemeral_head)


def authorise(tmem: Tmem, client: Client | None, cli_id: int, uuid: tuple[int, int], allow: int) -> int:
    """Let a client share pools of this uuid, or no longer (C: tmemc_shared_pool_auth); 1, 0 or -errno.

    `allow` is the guest's number: 4.3 takes 0 and 1 for what they are, and others for neither.
    """
    if cli_id == NO_CLIENT:
        tmem.global_shared_auth = allow != 0
        return 1
    if client is None:
        return -EINVAL
    uuids = client.shared_auth_uuids
    if tmem.release.client_info_abi:
        # QUIRK tmemc_shared_pool_auth: 4.12 does not look whether the uuid is there already.
        if not allow:
            if uuid not in uuids:
                return 0
            uuids[uuids.index(uuid)] = NO_UUID
            return 1
        if NO_UUID not in uuids:
            return -ENOMEM
        uuids[uuids.index(NO_UUID)] = uuid
        return 1
    if uuid in uuids:
        if not allow:
            uuids[uuids.index(uuid)] = NO_UUID
        return 1
    if not allow:
        return 0
    if NO_UUID not in uuids:
        return -ENOMEM
    uuids[uuids.index(NO_UUID)] = uuid
    return 1


def authorised(tmem: Tmem, client: Client, uuid: tuple[int, int]) -> bool:
    """May `client` join a shared pool of this uuid?"""
    return not client.shared_auth_required or tmem.global_shared_auth or uuid in client.shared_auth_uuids

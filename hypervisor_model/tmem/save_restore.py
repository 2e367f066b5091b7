# SPDX-License-Identifier: GPL-2.0-only
"""Save, restore and live migration of a client's persistent pages.

Models    tmemc_save_subop, tmemc_save_get_next_page, tmemc_save_get_next_inv, tmemc_restore_put_page,
          tmemc_restore_flush_page of tmem.c. Results are C's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypervisor_model.host.guest_memory import Buffers
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_CLIENT_COMPRESS,
    TMEM_CLIENT_FROZEN,
    TMEM_HANDLE,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
    oid_to_bytes,
)
from hypervisor_model.public.xen import EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, PAGE_SIZE
from hypervisor_model.tmem import ops
from hypervisor_model.tmem.client import Client, client_create, client_of
from hypervisor_model.tmem.fill import NO_PLAIN_COPY, Part, Restored
from hypervisor_model.tmem.page import free_invalidated
from hypervisor_model.tmem.pool import Pool

if TYPE_CHECKING:
    from hypervisor_model.tmem.page import Pgp
    from hypervisor_model.tmem.state import Tmem

_U32 = (1 << 32) - 1


def pool_of(client: Client | None, pool_id: int) -> Pool | None:
    """The pool of that id; none outside 0..15."""
    if client is None or not 0 <= pool_id < MAX_POOLS_PER_DOMAIN:
        return None
    return client.pools[pool_id]


def save_begin(tmem: Tmem, client: Client | None, live: int) -> int:
    """Freeze the client, and with `live` set note what it invalidates from now on.

    4.3: 1, or 0 if it has no pool; 4.12: 0 or -ENOENT.
    """
    new_abi = tmem.release.client_info_abi
    if client is None or all(pool is None for pool in client.pools):
        return -ENOENT if new_abi else 0
    # QUIRK tmemc_save_subop: a second SAVE_BEGIN takes the frozen state of the first for the client's own.
    if not (tmem.documented and client.saving):
        client.was_frozen = client.frozen
    client.saving = True
    client.frozen = True
    if live:
        client.live_migrating = True
    if tmem.documented:
        for pool in client.pools:
            if pool is not None:
                pool.cur_pgp = None
    return 0 if new_abi else 1


def save_end(tmem: Tmem, client: Client | None) -> int:
    """Thaw the client unless it was frozen before, and forget its invalidated pages."""
    if client is None:
        return -ENOENT if tmem.release.client_info_abi else -EPERM
    client.live_migrating = False
    for handle in client.invalidated:
        free_invalidated(tmem, handle)
    # In C the list goes on pointing to what was just freed.
    client.invalidated.clear()
    client.cur_inv = -1
    client.frozen = client.was_frozen
    client.saving = False
    return 0


def restore_begin(tmem: Tmem, cli_id: int) -> int:
    """Make the client of a domain. 4.3: 1 or -EPERM; 4.12: 0, -EEXIST or -ENOMEM."""
    domain = tmem.domains.get(cli_id)
    if client_of(domain) is not None:
        return -EEXIST if tmem.release.client_info_abi else -EPERM
    made = client_create(tmem, domain)
    if tmem.release.client_info_abi:
        return -ENOMEM if made is None else 0
    return -EPERM if made is None else 1


def client_flags(client: Client) -> int:
    """SAVE_GET_CLIENT_FLAGS: compression, and whether it was frozen before the save."""
    return (TMEM_CLIENT_COMPRESS if client.compress else 0) | (TMEM_CLIENT_FROZEN if client.was_frozen else 0)


def pool_flags(pool: Pool) -> int:
    """The flags that make an equal pool."""
    return (
        (TMEM_POOL_PERSIST if pool.persistent else 0)
        | (TMEM_POOL_SHARED if pool.shared else 0)
        | TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT
    )


def _handle(pool_id: int, oid: int, index: int) -> bytes:
    return TMEM_HANDLE.pack(pool_id & _U32, index, oid_to_bytes(oid))


def save_get_next_page(
    tmem: Tmem, client: Client | None, pool_id: int, buffers: Buffers, address: int, length: int
) -> int:
    """The next persistent page with its handle in front: 1, -EPERM at the end, 0 for nothing at all.

    QUIRK tmemc_save_get_next_page: the first call makes the first page the cursor and hands out the second. In a
    pool of one page it then takes the head of the list for a page, which is in no object: 0, and the page comes
    with the next call. The cursor is never reset, so that a second save finds nothing.
    """
    pool = pool_of(client, pool_id)
    if pool is None or not pool.persistent:
        return -EPERM
    if length < PAGE_SIZE + TMEM_HANDLE.size:
        return -ENOMEM
    head = pool.persistent_head
    cursor = pool.cur_pgp
    if head.list_next is head:
        return -EPERM
    if cursor is None:
        cursor = head if tmem.documented else head.list_next
    elif cursor.list_next is head:
        return -EPERM
    pgp = cursor.list_next
    pool.cur_pgp = pgp
    # Of the head C makes a handle from what lies around it; here that is all zeros.
    oid, index = (0, 0) if pgp is head else (pgp.obj.oid, pgp.index)
    written = buffers.write(address, _handle(pool_id, oid, index))
    if not written and tmem.release.client_info_abi:
        return -EFAULT
    tmem.other_ops -= 1  # the pool counts a get that no guest has made
    if pgp is head:
        pool.missed_gets += 1
        return 0
    return _hand_out(tmem, pool, pgp, buffers, address + TMEM_HANDLE.size)


def _hand_out(tmem: Tmem, pool: Pool, pgp: Pgp, buffers: Buffers, address: int) -> int:
    """do_tmem_get of a page that is there, into a buffer."""
    if tmem.release.client_info_abi and pgp.store is None and not tmem.documented:
        # QUIRK tmem_copy_to_client: since 4.6 an uncompressed page can't be copied to a buffer.
        pool.missed_gets += 1
        tmem.failed_copies += 1
        return -EINVAL
    if pgp.data is None or not buffers.write(address, pgp.data):
        pool.missed_gets += 1
        tmem.failed_copies += 1
        return -EFAULT
    pool.found_gets += 1
    pool.client.succ_pers_gets += 1
    return 1


def save_get_next_inv(tmem: Tmem, client: Client | None, buffers: Buffers, address: int, length: int) -> int:
    """The handle of the next page that was invalidated during a live save: 1, or 0 at the end."""
    if client is None or length < TMEM_HANDLE.size or not client.invalidated:
        return 0
    if client.cur_inv == len(client.invalidated) - 1:
        client.cur_inv = -1
        return 0
    client.cur_inv += 1
    handle = client.invalidated[client.cur_inv]
    pool_id = handle.pool.pool_id
    if (
        not buffers.write(address, _handle(pool_id, handle.oid, handle.index))
        and tmem.release.client_info_abi
    ):
        return -EFAULT
    return 1


def _put(tmem: Tmem, pool: Pool, oid: int, index: int, page: bytes | None, part: Part | None = None) -> int:
    """A put that no guest has made, although the pool counts it."""
    tmem.other_ops -= 1
    return ops.put(tmem, pool, oid, index, page, part)


def restore_put_page(
    tmem: Tmem,
    client: Client | None,
    pool_id: int,
    oid: int,
    index: int,
    buffers: Buffers,
    address: int,
    length: int,
) -> int:
    """Put a page from a buffer: 1, -EPERM without a pool, or what put answers."""
    pool = pool_of(client, pool_id)
    if pool is None or client is None:
        return -EPERM
    page = buffers.read(address, PAGE_SIZE)
    frame_zero = None if tmem.current is None else tmem.current.memory.read_frame(0)
    if not address and not tmem.documented:
        page = frame_zero  # QUIRK tmem_copy_from_client: without a buffer it takes the frame of the put, which is 0
    if tmem.release.client_info_abi:
        if length != PAGE_SIZE:
            return -EINVAL
        if tmem.documented or not address:
            return _put(tmem, pool, oid, index, page)
        # QUIRK tmem_copy_from_client: since 4.6 a page can come from a buffer only if it is compressed.
        return _put(tmem, pool, oid, index, page, Restored(NO_PLAIN_COPY, (frame_zero, None)))
    if page is None and not client.compress and length < PAGE_SIZE:
        start = buffers.read(address, length)
        page = None if start is None else start + bytes(PAGE_SIZE - length)
    part = Part(0, 0, length)
    if tmem.documented:
        return _put(tmem, pool, oid, index, page, part)
    return _put(tmem, pool, oid, index, page, Restored(part, (frame_zero, part)))


def restore_flush_page(tmem: Tmem, client: Client | None, pool_id: int, oid: int, index: int) -> int:
    """Drop a page that was invalidated after it had been saved."""
    pool = pool_of(client, pool_id)
    if pool is None:
        return -EPERM
    tmem.other_ops -= 1  # as `_put`
    return ops.flush_page(tmem, pool, oid, index)

# SPDX-License-Identifier: GPL-2.0-only
"""Control operations: what dom0 asks of all clients or of one.

Models    "TMEM CONTROL OPERATIONS" of tmem.c and tmem_control.c: tmemc_freeze_pools, tmemc_flush_mem, tmemc_set_var,
          tmemc_set_client_info, tmemc_get_client_info, tmemc_get_pool, tmemc_set_pools, tmemc_auth_pools.
          Decoding and privilege are in `hypercall.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypervisor_model.host.guest_memory import Buffers
from hypervisor_model.public.sysctl import (
    TMEM_CLIENT,
    TMEM_CLIENT_FLAG_COMPRESS,
    TMEM_CLIENT_FLAG_FROZEN,
    TMEM_CLIENT_FLAG_MIGRATING,
    TMEM_POOL_FLAG_AUTH,
    TMEM_POOL_INFO,
)
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_SPEC_VERSION,
    TMEMC_SET_CAP,
    TMEMC_SET_WEIGHT,
)
from hypervisor_model.public.xen import (
    CLI_ID_ALL,
    E2BIG,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOMEM,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from hypervisor_model.tmem.client import Client, client_create, client_of
from hypervisor_model.tmem.evict import relinquish_npages
from hypervisor_model.tmem.lifecycle import flush_pool, new_pool
from hypervisor_model.tmem.save_restore import pool_flags
from hypervisor_model.tmem.shared import authorise

if TYPE_CHECKING:
    from hypervisor_model.tmem.state import Tmem

_U32: Final = (1 << 32) - 1
_PAGE_KB: Final = 4


def client_named(tmem: Tmem, cli_id: int) -> Client | None:
    """The client of a domain, by id."""
    return client_of(tmem.domains.get(cli_id))


def freeze(tmem: Tmem, cli_id: int, *, frozen: bool, destroy: bool = False) -> int:
    """FREEZE, THAW and DESTROY of one client or all: 0, or -EPERM without such a client.

    QUIRK tmemc_freeze_pools: DESTROY only thaws.
    """
    if cli_id == CLI_ID_ALL:
        clients = tmem.clients
    else:
        client = client_named(tmem, cli_id)
        if client is None:
            return -EPERM
        clients = [client]
    for client in clients:
        client.frozen = frozen
        if destroy and tmem.documented:
            _destroy_pools(tmem, client)
    return 0


def _destroy_pools(tmem: Tmem, client: Client) -> None:
    """What the documents promise of DESTROY."""
    for pool_id, pool in enumerate(client.pools):
        if pool is not None:
            client.pools[pool_id] = None
            flush_pool(tmem, pool, client)
            client.nr_pools -= 1


def flush(tmem: Tmem, cli_id: int, size_kb: int) -> int:
    """Take `size_kb` back from all clients: KiB given to the heap, or -EPERM if one client was named."""
    if cli_id != CLI_ID_ALL:
        return -EPERM
    # QUIRK tmemc_flush_mem: 32-bit arithmetic, so that the largest amounts wrap round to nothing.
    wanted = size_kb + _PAGE_KB - 1
    pages = relinquish_npages(tmem, (wanted if tmem.documented else wanted & _U32) // _PAGE_KB)
    released_kb = pages * _PAGE_KB & _U32
    return released_kb if released_kb < 1 << 31 else released_kb - (1 << 32)


def set_weight(tmem: Tmem, client: Client, weight: int) -> None:
    """Set a weight, and the total that eviction compares with."""
    tmem.client_weight_total += weight - client.weight
    client.weight = weight


def set_var(tmem: Tmem, cli_id: int, subop: int, value: int) -> int:
    """SET_WEIGHT, SET_CAP, SET_COMPRESS (to 4.7): 0, or -EPERM without such a client.

    QUIRK tmemc_set_var: with deduplication on compression can't be changed, and the answer is 0 all the same.
    """
    if cli_id == CLI_ID_ALL:
        clients = tmem.clients
    else:
        client = client_named(tmem, cli_id)
        if client is None:
            return -EPERM
        clients = [client]
    for client in clients:
        if subop == TMEMC_SET_WEIGHT:
            set_weight(tmem, client, value)
        elif subop == TMEMC_SET_CAP:
            client.cap = value
        elif not tmem.dedup:
            client.compress = value != 0
    return 0


def freeable_mb(tmem: Tmem) -> int:
    """QUERY_FREEABLE_MB."""
    return tmem.heap.freeable // 256


# Client info (from 4.8).


def get_client_info(tmem: Tmem, cli_id: int, buffers: Buffers, address: int) -> int:
    """0 or -EFAULT. QUIRK tmemc_get_client_info: who is no client gets defaults and no error."""
    client = client_named(tmem, cli_id)
    if client is None:
        info = TMEM_CLIENT.pack(TMEM_SPEC_VERSION, MAX_POOLS_PER_DOMAIN, 0, 0, 0)
    else:
        flags = (
            (TMEM_CLIENT_FLAG_FROZEN if client.frozen else 0)
            | (TMEM_CLIENT_FLAG_COMPRESS if client.compress else 0)
            | (TMEM_CLIENT_FLAG_MIGRATING if client.live_migrating else 0)
        )
        info = TMEM_CLIENT.pack(
            TMEM_SPEC_VERSION, MAX_POOLS_PER_DOMAIN, client.nr_pools & _U32, flags, client.weight
        )
    return 0 if buffers.write(address, info) else -EFAULT


def set_client_info(tmem: Tmem, cli_id: int, buffers: Buffers, address: int) -> int:
    """Weight and compression, both at once, of one client or all: 0, -ENOENT, -EFAULT, -EOPNOTSUPP, -ERANGE."""
    if cli_id == CLI_ID_ALL:
        clients = tmem.clients
    else:
        client = client_named(tmem, cli_id)
        clients = [] if client is None else [client]
    if not clients:
        return -ENOENT
    raw = buffers.read(address, TMEM_CLIENT.size)
    if raw is None:
        return -EFAULT
    version, maxpools, _nr_pools, flags, weight = TMEM_CLIENT.unpack(raw)
    if version != TMEM_SPEC_VERSION:
        return -EOPNOTSUPP
    if maxpools > MAX_POOLS_PER_DOMAIN:
        return -ERANGE
    for client in clients:
        set_weight(tmem, client, weight)
        client.compress = bool(flags & TMEM_CLIENT_FLAG_COMPRESS)
    return 0


def _pool_infos(length: int) -> int:
    """How many xen_tmem_pool_info the caller speaks of, or -EINVAL, -E2BIG."""
    count, rest = divmod(length, TMEM_POOL_INFO.size)
    if rest:
        return -EINVAL
    return -E2BIG if count > MAX_POOLS_PER_DOMAIN else count


def get_pools(tmem: Tmem, cli_id: int, buffers: Buffers, address: int, length: int) -> int:
    """How many pools were described, or -EINVAL, -E2BIG, -EFAULT.

    QUIRK tmemc_get_pool: it writes one even if there is room for none.
    """
    room = _pool_infos(length)
    if room < 0:
        return room
    client = client_named(tmem, cli_id)
    if client is None:
        return -EINVAL
    count = 0
    for slot, pool in enumerate(client.pools):
        if pool is None:
            continue
        if tmem.documented and count >= room:
            break
        info = TMEM_POOL_INFO.pack(pool_flags(pool), slot, pool.pgp_count, *pool.uuid)
        if not buffers.write(address + count * TMEM_POOL_INFO.size, info):
            return -EFAULT
        count += 1
        if count >= room:
            break
    return count


def set_pools(tmem: Tmem, cli_id: int, buffers: Buffers, address: int, length: int) -> int:
    """Make the pools described. QUIRK tmemc_set_pools: the id of the last one, or their number if that is 0."""
    return _each_pool_info(tmem, cli_id, buffers, address, length, make=True)


def auth_pools(tmem: Tmem, cli_id: int, buffers: Buffers, address: int, length: int) -> int:
    """Authorise or revoke the uuids described. QUIRK tmemc_auth_pools: 1 or 0 for the last one, not a number.

    QUIRK tmemc_auth_pools: for all clients (0xffff) it seeks a client of that id, makes one, fails: -ENOMEM.
    """
    return _each_pool_info(tmem, cli_id, buffers, address, length, make=False)


def _each_pool_info(
    tmem: Tmem, cli_id: int, buffers: Buffers, address: int, length: int, *, make: bool
) -> int:
    count = _pool_infos(length)
    if count < 0:
        return count
    everybody = tmem.documented and not make and cli_id == CLI_ID_ALL
    client = client_named(tmem, cli_id)
    if client is None and not everybody:
        client = client_create(tmem, tmem.domains.get(cli_id))
        if client is None:
            return -ENOMEM
    rc = 0
    for number in range(count):
        where = address + number * TMEM_POOL_INFO.size
        raw = buffers.read(where, TMEM_POOL_INFO.size)
        if raw is None:
            return -EFAULT
        flags, pool_id, n_pages, *uuid = TMEM_POOL_INFO.unpack(raw)
        if n_pages:
            return -EINVAL
        pair = (uuid[0], uuid[1])
        if not make:
            rc = authorise(tmem, client, cli_id, pair, flags & TMEM_POOL_FLAG_AUTH)
            if rc < 0:
                return rc
            continue
        rc = new_pool(tmem, client, pool_id, flags, pair)
        if rc < 0:
            return rc
        if not buffers.write(where, TMEM_POOL_INFO.pack(flags, rc, 0, *pair)):
            return -EFAULT
    return rc or count

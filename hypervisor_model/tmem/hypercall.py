# SPDX-License-Identifier: GPL-2.0-only
"""The binary door to tmem: HYPERVISOR_tmem_op and XEN_SYSCTL_tmem_op, decoded as Xen does.

Models    do_tmem_op and do_tmem_control of tmem.c, tmem_control of tmem_control.c, with who may call what.
Left out  32-bit guests' structs; XSM policies other than the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypervisor_model.host.domain import Domain
from hypervisor_model.host.guest_memory import Buffers
from hypervisor_model.public.sysctl import (
    TMEM_OP_GET_CLIENT_INFO,
    TMEM_OP_GET_POOLS,
    TMEM_OP_SET_AUTH,
    TMEM_OP_SET_CLIENT_INFO,
    TMEM_OP_SET_POOLS,
    XEN_SYSCTL_HEADER,
    XEN_SYSCTL_TMEM,
)
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_AUTH,
    TMEM_CONTROL,
    TMEM_DESTROY_POOL,
    TMEM_FLUSH_OBJECT,
    TMEM_FLUSH_PAGE,
    TMEM_GET_PAGE,
    TMEM_NEW_PAGE,
    TMEM_NEW_POOL,
    TMEM_OP_BYTES,
    TMEM_OP_CREAT,
    TMEM_OP_CTRL,
    TMEM_OP_GEN,
    TMEM_PUT_PAGE,
    TMEM_READ,
    TMEM_RESTORE_NEW,
    TMEM_SPEC_VERSION,
    TMEM_WRITE,
    TMEMC_DESTROY,
    TMEMC_FLUSH,
    TMEMC_FREEZE,
    TMEMC_LIST,
    TMEMC_QUERY_FREEABLE_MB,
    TMEMC_RESTORE_BEGIN,
    TMEMC_RESTORE_FLUSH_PAGE,
    TMEMC_RESTORE_PUT_PAGE,
    TMEMC_SAVE_BEGIN,
    TMEMC_SAVE_END,
    TMEMC_SAVE_GET_CLIENT_CAP,
    TMEMC_SAVE_GET_CLIENT_FLAGS,
    TMEMC_SAVE_GET_CLIENT_WEIGHT,
    TMEMC_SAVE_GET_MAXPOOLS,
    TMEMC_SAVE_GET_NEXT_INV,
    TMEMC_SAVE_GET_NEXT_PAGE,
    TMEMC_SAVE_GET_POOL_FLAGS,
    TMEMC_SAVE_GET_POOL_NPAGES,
    TMEMC_SAVE_GET_POOL_UUID,
    TMEMC_SAVE_GET_VERSION,
    TMEMC_SET_CAP,
    TMEMC_SET_COMPRESS,
    TMEMC_SET_WEIGHT,
    TMEMC_THAW,
    oid_from_bytes,
)
from hypervisor_model.public.xen import (
    CLI_ID_ALL,
    EACCES,
    EFAULT,
    EINVAL,
    ENODEV,
    EOPNOTSUPP,
    EPERM,
)
from hypervisor_model.tmem import control, save_restore
from hypervisor_model.tmem.client import Client, client_of
from hypervisor_model.tmem.fill import Part
from hypervisor_model.tmem.guest_ops import Guest
from hypervisor_model.tmem.lifecycle import new_pool
from hypervisor_model.tmem.listing import list_clients
from hypervisor_model.tmem.shared import authorise

if TYPE_CHECKING:
    from hypervisor_model.tmem.state import Tmem

_DOMID: Final = 0xFFFF  # C: domid_t has 16 bits, and ids are cut to it before anything looks at them
_NO_WEIGHT: Final = 0xFFFFFFFF
_SIGN: Final = 1 << 31


def do_tmem_op(tmem: Tmem, guest: Guest, argument: bytes | bytearray, buffers: Buffers) -> int:
    """HYPERVISOR_tmem_op by `guest` with the struct `argument` (too short a one faults)."""
    domain = guest.domain
    if not tmem.initialized:
        return -ENODEV
    client = client_of(domain)
    if len(argument) < TMEM_OP_BYTES or (client is not None and domain.dying):
        tmem.other_ops += 1
        tmem.errored_tmem_ops += 1
        return -ENODEV if client is not None and domain.dying else -EFAULT
    cmd = int.from_bytes(argument[:4], "little")
    if cmd in (TMEM_PUT_PAGE, TMEM_GET_PAGE, TMEM_FLUSH_PAGE):
        _, pool_id, raw_oid, index, _, _, _, gfn = TMEM_OP_GEN.unpack_from(argument)
        oid = oid_from_bytes(raw_oid)
        if cmd == TMEM_PUT_PAGE:
            return guest.put(pool_id, oid, index, domain.memory.read_frame(gfn))
        if cmd == TMEM_FLUSH_PAGE:
            return guest.flush_page(pool_id, oid, index)
        if domain.memory.writable(gfn):
            rc, page = guest.get(pool_id, oid, index)
        else:
            rc, page = guest.get_to(pool_id, oid, index, False)
        if page is not None:
            domain.memory.store(gfn, page)
        return rc
    if cmd == TMEM_NEW_POOL:
        _, _, uuid_lo, uuid_hi, flags, _ = TMEM_OP_CREAT.unpack_from(argument)
        return guest.new_pool_of(flags, (uuid_lo, uuid_hi))
    if cmd in (TMEM_CONTROL, TMEM_AUTH, TMEM_RESTORE_NEW):
        return _privileged_op(tmem, domain, cmd, argument, buffers)
    return _rare_op(guest, cmd, argument)


def _rare_op(guest: Guest, cmd: int, argument: bytes | bytearray) -> int:
    _, pool_id, raw_oid, index, tmem_offset, pfn_offset, length, gfn = TMEM_OP_GEN.unpack_from(argument)
    oid = oid_from_bytes(raw_oid)
    memory = guest.domain.memory
    if cmd == TMEM_FLUSH_OBJECT:
        return guest.flush_object(pool_id, oid)
    if cmd == TMEM_DESTROY_POOL:
        return guest.destroy_pool(pool_id)
    if cmd == TMEM_NEW_PAGE:
        return guest.new_page(pool_id, oid, index)
    if cmd == TMEM_WRITE:
        part = Part(tmem_offset, pfn_offset, length)
        return guest.write(pool_id, oid, index, memory.read_frame(gfn), part)
    if cmd == TMEM_READ:
        part = Part(tmem_offset, pfn_offset, length)
        rc, page, got = guest.read(pool_id, oid, index, part, memory.writable(gfn))
        if page is not None:
            if got is not None:
                old = memory.read_frame(gfn)
                assert old is not None  # it was found writable
                new = page[got.tmem_offset : got.tmem_offset + got.length]
                page = old[: got.pfn_offset] + new + old[got.pfn_offset + got.length :]
            memory.store(gfn, page)
        return rc
    return guest.other(pool_id)


def _privileged_op(
    tmem: Tmem, domain: Domain, cmd: int, argument: bytes | bytearray, buffers: Buffers
) -> int:
    """TMEM_CONTROL, TMEM_AUTH and TMEM_RESTORE_NEW, which left this hypercall in 4.6 and 4.9."""
    tmem.other_ops += 1
    tmem.current = domain
    if tmem.release.client_info_abi:
        rc = -EOPNOTSUPP
    elif cmd == TMEM_CONTROL:
        rc = _control(tmem, domain, argument, buffers)
    # QUIRK do_tmem_op: any guest may authorise, and make pools for, any other.
    elif tmem.strict_privilege and not domain.privileged:
        rc = -EPERM
    else:
        _, pool_id, uuid_lo, uuid_hi, flags, cli_id = TMEM_OP_CREAT.unpack_from(argument)
        cli_id &= _DOMID
        uuid = (uuid_lo, uuid_hi)
        client = control.client_named(tmem, cli_id)
        if cmd == TMEM_AUTH:
            rc = authorise(tmem, client, cli_id, uuid, flags & 0xFF)
        elif cli_id == CLI_ID_ALL:
            # Means the caller's own client, in any slot; C crashes if it has none.
            rc = new_pool(tmem, client_of(domain), None, flags, uuid)
        else:
            rc = new_pool(tmem, client, pool_id if pool_id >= 0 else MAX_POOLS_PER_DOMAIN, flags, uuid)
    if rc < 0:
        tmem.errored_tmem_ops += 1
    return rc


def _list(
    tmem: Tmem, cli_id: int, buffers: Buffers, address: int, length: int, use_long: int, client: Client | None
) -> int:
    if cli_id != CLI_ID_ALL and client is None:
        return -EPERM

    def write(offset: int, data: bytes) -> bool:
        return buffers.write(address + offset, data)

    list_clients(tmem, client, write, length, use_long=bool(use_long))
    return 0


def _control(tmem: Tmem, caller: Domain, argument: bytes | bytearray, buffers: Buffers) -> int:
    """do_tmem_control of 4.0 to 4.5."""
    if not caller.privileged:
        return -EPERM
    _, pool_id, subop, cli_id, arg1, arg2, raw_oid, address = TMEM_OP_CTRL.unpack_from(argument)
    cli_id &= _DOMID
    client = None if cli_id == CLI_ID_ALL else control.client_named(tmem, cli_id)
    if subop in (TMEMC_THAW, TMEMC_FREEZE, TMEMC_DESTROY):
        return control.freeze(tmem, cli_id, frozen=subop == TMEMC_FREEZE, destroy=subop == TMEMC_DESTROY)
    if subop == TMEMC_FLUSH:
        return control.flush(tmem, cli_id, arg1)
    if subop == TMEMC_LIST:
        # QUIRK tmemc_list: a bool_t of 4.3 is a char, so that 256 asks for the short form.
        return _list(tmem, cli_id, buffers, address, arg1, arg2 if tmem.documented else arg2 & 0xFF, client)
    if subop in (TMEMC_SET_WEIGHT, TMEMC_SET_CAP, TMEMC_SET_COMPRESS):
        return control.set_var(tmem, cli_id, subop, arg1)
    if subop == TMEMC_QUERY_FREEABLE_MB:
        return control.freeable_mb(tmem)
    if subop == TMEMC_SAVE_BEGIN:
        return save_restore.save_begin(tmem, client, arg1)
    if subop == TMEMC_SAVE_END:
        return save_restore.save_end(tmem, client)
    if subop == TMEMC_SAVE_GET_NEXT_PAGE:
        return save_restore.save_get_next_page(tmem, client, pool_id, buffers, address, arg1)
    if subop == TMEMC_SAVE_GET_NEXT_INV:
        return save_restore.save_get_next_inv(tmem, client, buffers, address, arg1)
    if subop == TMEMC_RESTORE_BEGIN:
        return save_restore.restore_begin(tmem, cli_id)
    oid = oid_from_bytes(raw_oid)
    if subop == TMEMC_RESTORE_PUT_PAGE:
        return save_restore.restore_put_page(tmem, client, pool_id, oid, arg2, buffers, address, arg1)
    if subop == TMEMC_RESTORE_FLUSH_PAGE:
        return save_restore.restore_flush_page(tmem, client, pool_id, oid, arg2)
    return _save_get(client, pool_id, subop, buffers, address)


def _save_get(client: Client | None, pool_id: int, subop: int, buffers: Buffers, address: int) -> int:
    """The questions a save asks, one for each number (4.0 to 4.7); -EPERM without client or pool."""
    if subop == TMEMC_SAVE_GET_VERSION:
        return TMEM_SPEC_VERSION
    if subop == TMEMC_SAVE_GET_MAXPOOLS:
        return MAX_POOLS_PER_DOMAIN
    if client is None:
        return -EPERM
    if subop == TMEMC_SAVE_GET_CLIENT_WEIGHT:
        return _as_int(client.weight)
    if subop == TMEMC_SAVE_GET_CLIENT_CAP:
        return _as_int(client.cap)
    if subop == TMEMC_SAVE_GET_CLIENT_FLAGS:
        return save_restore.client_flags(client)
    pool = save_restore.pool_of(client, pool_id)
    if pool is None:
        return -EPERM
    if subop == TMEMC_SAVE_GET_POOL_FLAGS:
        return save_restore.pool_flags(pool)
    if subop == TMEMC_SAVE_GET_POOL_NPAGES:
        return pool.pgp_count
    if subop == TMEMC_SAVE_GET_POOL_UUID:
        # QUIRK tmemc_save_subop: 0 comes back also if the uuid could not be copied.
        buffers.write(address, b"".join(word.to_bytes(8, "little") for word in pool.uuid))
        return 0
    return -EPERM


def _as_int(value: int) -> int:
    """A setting as a result. QUIRK tmemc_save_subop: the largest is told from an error by calling it -2."""
    if value == _NO_WEIGHT:
        return -2
    return value - 2 * _SIGN if value & _SIGN else value


def do_sysctl_tmem(tmem: Tmem, caller: Domain, argument: bytes | bytearray, buffers: Buffers) -> int:
    """XEN_SYSCTL_tmem_op of 4.8 to 4.12; the caller has found the command number. Not counted in `Tt`."""
    if not caller.privileged:
        return -EPERM
    if len(argument) < XEN_SYSCTL_TMEM.size:
        return -EFAULT
    _, version = XEN_SYSCTL_HEADER.unpack_from(argument)
    if version != tmem.release.sysctl_interface_version:
        return -EACCES
    _, _, cmd, pool_id, cli_id, length, arg, pad, raw_oid, address = XEN_SYSCTL_TMEM.unpack_from(argument)
    if pad:
        return -EINVAL
    tmem.current = caller
    cli_id &= _DOMID
    client = None if cli_id == CLI_ID_ALL else control.client_named(tmem, cli_id)
    if cmd in (TMEMC_THAW, TMEMC_FREEZE, TMEMC_DESTROY):
        return control.freeze(tmem, cli_id, frozen=cmd == TMEMC_FREEZE, destroy=cmd == TMEMC_DESTROY)
    if cmd == TMEMC_FLUSH:
        return control.flush(tmem, cli_id, arg)
    if cmd == TMEMC_LIST:
        return _list(tmem, cli_id, buffers, address, length, arg, client)
    if cmd == TMEM_OP_GET_CLIENT_INFO:
        return control.get_client_info(tmem, cli_id, buffers, address)
    if cmd == TMEM_OP_SET_CLIENT_INFO:
        return control.set_client_info(tmem, cli_id, buffers, address)
    if cmd == TMEM_OP_GET_POOLS:
        return control.get_pools(tmem, cli_id, buffers, address, length)
    if cmd == TMEM_OP_SET_POOLS:
        return control.set_pools(tmem, cli_id, buffers, address, length)
    if cmd == TMEM_OP_SET_AUTH:
        return control.auth_pools(tmem, cli_id, buffers, address, length)
    if cmd == TMEMC_QUERY_FREEABLE_MB:
        return control.freeable_mb(tmem)
    if cmd == TMEMC_SAVE_BEGIN:
        return save_restore.save_begin(tmem, client, arg)
    if cmd == TMEMC_SAVE_END:
        return save_restore.save_end(tmem, client)
    if cmd == TMEMC_RESTORE_BEGIN:
        return save_restore.restore_begin(tmem, cli_id)
    if cmd == TMEMC_SAVE_GET_NEXT_PAGE:
        return save_restore.save_get_next_page(tmem, client, pool_id, buffers, address, length)
    if cmd == TMEMC_SAVE_GET_NEXT_INV:
        return save_restore.save_get_next_inv(tmem, client, buffers, address, length)
    oid = oid_from_bytes(raw_oid)
    if cmd == TMEMC_RESTORE_PUT_PAGE:
        return save_restore.restore_put_page(tmem, client, pool_id, oid, arg, buffers, address, length)
    if cmd == TMEMC_RESTORE_FLUSH_PAGE:
        return save_restore.restore_flush_page(tmem, client, pool_id, oid, arg)
    return -EPERM

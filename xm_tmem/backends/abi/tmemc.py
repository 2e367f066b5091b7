# SPDX-License-Identifier: GPL-2.0-only
"""The control ABI of Xen 4.0 to 4.5: TMEM_CONTROL, a command of hypercall tmem_op (C: do_tmem_control)."""

from __future__ import annotations

from hypervisor_model.public import tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import EPERM, HYPERCALL_TMEM_OP
from xm_tmem.backends.abi import listed
from xm_tmem.backends.abi.control import (
    ONE_CLIENT_LIST_BYTES,
    Ask,
    ControlAbi,
    checked,
    listed_text,
    pool_info,
)
from xm_tmem.backends.interface import ClientInfo, PoolInfo
from xm_tmem.errors import BadListing, HypercallError
from xm_tmem.ids import DomainId

_UNKNOWN_SUBOP = 99


class TmemcAbi(ControlAbi):
    """Settings are numbers, one command each; they are read back from the listing, where every release has them."""

    def control(
        self,
        command: int,
        client: int,
        *,
        pool: int = 0,
        first: int = 0,
        second: int = 0,
        oid: int = 0,
        buffer: bytearray | None = None,
    ) -> Call:
        argument = tmem.TMEM_OP_CTRL.pack(
            tmem.TMEM_CONTROL, pool, command, client, first, second, tmem.oid_to_bytes(oid), 0
        )
        return Call(
            HYPERCALL_TMEM_OP, argument, None if buffer is None else tmem.TMEM_OP_CTRL_BUF_OFFSET, buffer
        )

    def probe(self) -> Call:
        """EPERM, as any unknown command, when tmem is on. (All zeros would not do: that is THAW of domain 0.)"""
        return TmemcAbi.control(self, _UNKNOWN_SUBOP, 0)

    def set_weight(self, ask: Ask, client: DomainId, weight: int) -> None:
        checked("SET_WEIGHT", ask([self.control(tmem.TMEMC_SET_WEIGHT, client, first=weight)])[0])

    def set_cap(self, ask: Ask, client: DomainId, cap: int) -> None:
        checked("SET_CAP", ask([self.control(tmem.TMEMC_SET_CAP, client, first=cap)])[0])

    def set_compress(self, ask: Ask, client: DomainId, compress: bool) -> None:
        """Reads it back: with tmem_dedup on the hypervisor changes nothing, and answers 0 all the same."""
        listing = self.list_text(client, bytearray(ONE_CLIENT_LIST_BYTES), use_long=False)
        values = ask([self.control(tmem.TMEMC_SET_COMPRESS, client, first=int(compress)), listing])
        checked("SET_COMPRESS", values[0])
        checked("LIST", values[1])
        if listed.client_info(listed_text(listing)).compress is not compress:
            raise HypercallError("SET_COMPRESS", EPERM)

    def read_client(self, ask: Ask, client: DomainId) -> ClientInfo:
        call = self.list_text(client, bytearray(ONE_CLIENT_LIST_BYTES), use_long=False)
        checked("LIST", ask([call])[0])
        return listed.client_info(listed_text(call))

    def read_pools(self, ask: Ask, client: DomainId) -> list[PoolInfo]:
        """By SAVE_GET_POOL_*, which answer EPERM for an id without a pool, and LIST, which does without a client.

        A shared pool's line in the listing shows its owner's pool id; these commands know the client's own. Uuids
        come from those lines, which are in the order of the client's ids; they show zeros for a private pool.
        """
        listing = self.list_text(client, bytearray(ONE_CLIENT_LIST_BYTES), use_long=False)
        ids = range(tmem.MAX_POOLS_PER_DOMAIN)
        flags = [self.control(tmem.TMEMC_SAVE_GET_POOL_FLAGS, client, pool=pool) for pool in ids]
        sizes = [self.control(tmem.TMEMC_SAVE_GET_POOL_NPAGES, client, pool=pool) for pool in ids]
        listed_value, *values = ask([listing, *flags, *sizes])
        checked("LIST", listed_value)
        for value in values:
            if value != -EPERM:
                checked("SAVE_GET_POOL", value)
        flag_values, size_values = values[: len(ids)], values[len(ids) :]
        there = [pool for pool in ids if flag_values[pool] >= 0 and size_values[pool] >= 0]
        uuids = listed.pool_uuids(listed_text(listing))
        if len(uuids) != len(there):
            raise BadListing(f"the pools of domain {client} changed while they were read; try again")
        return [
            pool_info(pool, flag_values[pool], size_values[pool], uuid)
            for pool, uuid in zip(there, uuids, strict=True)
        ]

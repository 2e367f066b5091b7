# SPDX-License-Identifier: GPL-2.0-only
"""The control ABI of Xen 4.8 to 4.12: settings and pools of a client travel as structs (C: tmem_control)."""

from __future__ import annotations

from collections.abc import Sequence

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import CLI_ID_ALL
from xm_tmem.backends.abi.control import (
    ONE_CLIENT_LIST_BYTES,
    Ask,
    checked,
    pool_flags,
    pool_info,
)
from xm_tmem.backends.abi.sysctl import SysctlCommands
from xm_tmem.backends.interface import ClientInfo, PoolInfo
from xm_tmem.errors import BadListing, Unsupported
from xm_tmem.ids import DomainId, SharedUuid


class ClientInfoAbi(SysctlCommands):
    """Settings are read, modified and written back: a struct without the compression flag would turn it off."""

    def flush(self, size_kb: int) -> Call:
        return self.control(tmem.TMEMC_FLUSH, CLI_ID_ALL, second=size_kb)

    def save_begin(self, client: int, *, live: bool) -> Call:
        return self.control(tmem.TMEMC_SAVE_BEGIN, client, second=int(live))

    def read_client(self, ask: Ask, client: DomainId) -> ClientInfo:
        """LIST first: GET_CLIENT_INFO answers with defaults for a client, or even a domain, that is not there."""
        listing = self.list_text(client, bytearray(ONE_CLIENT_LIST_BYTES), use_long=False)
        get = self.get_client_info(client)
        values = ask([listing, get])
        checked("LIST", values[0])
        checked("GET_CLIENT_INFO", values[1])
        _, _, nr_pools, flags, weight = _client(get)
        return ClientInfo(
            weight=weight,
            compress=bool(flags & sysctl.TMEM_CLIENT_FLAG_COMPRESS),
            frozen=bool(flags & sysctl.TMEM_CLIENT_FLAG_FROZEN),
            migrating=bool(flags & sysctl.TMEM_CLIENT_FLAG_MIGRATING),
            nr_pools=nr_pools,
        )

    def set_weight(self, ask: Ask, client: DomainId, weight: int) -> None:
        _, _, _, flags, _ = self._read(ask, client)
        self._write(ask, client, flags, weight)

    def set_cap(self, ask: Ask, client: DomainId, cap: int) -> None:
        raise Unsupported(f"Xen {self.release.name} has no caps: they were retired in Xen 4.8")

    def set_compress(self, ask: Ask, client: DomainId, compress: bool) -> None:
        _, _, _, flags, weight = self._read(ask, client)
        others = flags & ~sysctl.TMEM_CLIENT_FLAG_COMPRESS
        self._write(ask, client, others | (sysctl.TMEM_CLIENT_FLAG_COMPRESS if compress else 0), weight)

    def _read(self, ask: Ask, client: DomainId) -> tuple[int, int, int, int, int]:
        get = self.get_client_info(client)
        checked("GET_CLIENT_INFO", ask([get])[0])
        return _client(get)

    def _write(self, ask: Ask, client: DomainId, flags: int, weight: int) -> None:
        # Xen takes no other flag than compression from here, and ENOENT is its word for "no such client".
        call = self.set_client_info(client, flags & sysctl.TMEM_CLIENT_FLAG_COMPRESS, weight)
        checked("SET_CLIENT_INFO", ask([call])[0])

    def get_client_info(self, client: int) -> Call:
        """The struct is left in the call's buffer."""
        buffer = bytearray(sysctl.TMEM_CLIENT.size)
        return self.control(sysctl.TMEM_OP_GET_CLIENT_INFO, client, first=len(buffer), buffer=buffer)

    def set_client_info(self, client: int, flags: int, weight: int) -> Call:
        buffer = bytearray(
            sysctl.TMEM_CLIENT.pack(tmem.TMEM_SPEC_VERSION, tmem.MAX_POOLS_PER_DOMAIN, 0, flags, weight)
        )
        return self.control(sysctl.TMEM_OP_SET_CLIENT_INFO, client, first=len(buffer), buffer=buffer)

    def read_pools(self, ask: Ask, client: DomainId) -> list[PoolInfo]:
        call = self.get_pools(client)
        count = checked("GET_POOLS", ask([call])[0])
        assert call.buffer is not None
        if count > tmem.MAX_POOLS_PER_DOMAIN:
            raise BadListing(f"GET_POOLS says that domain {client} has {count} pools")
        pools = (
            sysctl.TMEM_POOL_INFO.unpack_from(call.buffer, n * sysctl.TMEM_POOL_INFO.size)
            for n in range(count)
        )
        return [
            pool_info(pool_id, flags, n_pages, SharedUuid(lo, hi))
            for flags, pool_id, n_pages, lo, hi in pools
        ]

    def get_pools(self, client: int) -> Call:
        """The value is the number of structs filled; EINVAL where there is no client."""
        buffer = bytearray(tmem.MAX_POOLS_PER_DOMAIN * sysctl.TMEM_POOL_INFO.size)
        return self.control(sysctl.TMEM_OP_GET_POOLS, client, first=len(buffer), buffer=buffer)

    def restore_pools(self, client: int, pools: Sequence[PoolInfo]) -> list[Call]:
        """One SET_POOLS of all, or where the release lacks it (4.8) a TMEM_RESTORE_NEW each.

        The value says nothing of use: the id of the last pool made, or the number of pools when that id is 0.
        """
        if not self.release.pools_by_sysctl:
            return super().restore_pools(client, pools)
        infos = [
            sysctl.TMEM_POOL_INFO.pack(pool_flags(pool), pool.pool_id, 0, pool.uuid.lo, pool.uuid.hi)
            for pool in pools
        ]
        buffer = bytearray(b"".join(infos))
        return [self.control(sysctl.TMEM_OP_SET_POOLS, client, first=len(buffer), buffer=buffer)]

    def shared_auth(self, client: int, uuid: SharedUuid, *, allow: bool) -> Call:
        if not self.release.pools_by_sysctl:
            return super().shared_auth(client, uuid, allow=allow)
        flags = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT
        if allow:
            flags |= sysctl.TMEM_POOL_FLAG_AUTH
        buffer = bytearray(sysctl.TMEM_POOL_INFO.pack(flags, 0, 0, uuid.lo, uuid.hi))
        return self.control(sysctl.TMEM_OP_SET_AUTH, client, first=len(buffer), buffer=buffer)


def _client(call: Call) -> tuple[int, int, int, int, int]:
    """version, maxpools, nr_pools, flags, weight of an answered GET_CLIENT_INFO."""
    assert call.buffer is not None
    version, maxpools, nr_pools, flags, weight = sysctl.TMEM_CLIENT.unpack(call.buffer)
    return version, maxpools, nr_pools, flags, weight

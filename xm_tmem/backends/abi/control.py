# SPDX-License-Identifier: GPL-2.0-only
"""The tmem control verbs, spelt as hypercalls: what all three control ABIs have in common.

An ABI makes `Call`s and reads answers; it sends nothing itself. Where one verb takes several calls, the method is
given `ask`, which sends a batch and returns the values (>= 0, or -errno). A subclass says in `control` which struct
carries a command, and in the other methods where it differs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hypervisor_model.public import tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import CLI_ID_ALL, HYPERCALL_TMEM_OP, PAGE_SIZE
from xm_tmem.backends.abi.releases import Release
from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import HypercallError
from xm_tmem.ids import DomainId, PoolId, SharedUuid

Ask: TypeAlias = Callable[[Sequence[Call]], list[int]]

ONE_CLIENT_LIST_BYTES = 32 << 10
"""Room for the listing of one client: 16 pools of at most 400 bytes, several times over."""

SAVED_PAGE_BYTES = tmem.TMEM_HANDLE.size + PAGE_SIZE
_PERSIST_AND_SHARED = tmem.TMEM_POOL_PERSIST | tmem.TMEM_POOL_SHARED
_FLAGS_VERSION = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT


class ControlAbi(abc.ABC):
    """How the control verbs of one release are spelt. A client is a number, CLI_ID_ALL for every client."""

    def __init__(self, release: Release) -> None:
        self.release = release

    @abc.abstractmethod
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
        """One command. `first` and `second` are its two numbers: (arg1, arg2), from 4.8 on (len, arg)."""

    @abc.abstractmethod
    def probe(self) -> Call:
        """A call that changes nothing and tells, by its errno, whether tmem is there."""

    # Settings and pools: spelt differently by each ABI.

    @abc.abstractmethod
    def read_client(self, ask: Ask, client: DomainId) -> ClientInfo: ...

    @abc.abstractmethod
    def read_pools(self, ask: Ask, client: DomainId) -> list[PoolInfo]: ...

    @abc.abstractmethod
    def set_weight(self, ask: Ask, client: DomainId, weight: int) -> None: ...

    @abc.abstractmethod
    def set_cap(self, ask: Ask, client: DomainId, cap: int) -> None: ...

    @abc.abstractmethod
    def set_compress(self, ask: Ask, client: DomainId, compress: bool) -> None: ...

    # Verbs of every release.

    def freeze(self, client: int) -> Call:
        return self.control(tmem.TMEMC_FREEZE, client)

    def thaw(self, client: int) -> Call:
        return self.control(tmem.TMEMC_THAW, client)

    def destroy(self, client: int) -> Call:
        return self.control(tmem.TMEMC_DESTROY, client)

    def list_text(self, client: int, buffer: bytearray, *, use_long: bool) -> Call:
        """The text goes into `buffer`, up to a NUL, and lines that do not fit are left out without a sign."""
        return self.control(tmem.TMEMC_LIST, client, first=len(buffer), second=int(use_long), buffer=buffer)

    def flush(self, size_kb: int) -> Call:
        """The value is the KiB freed. Of one client's pages: EPERM, in every release."""
        return self.control(tmem.TMEMC_FLUSH, CLI_ID_ALL, first=size_kb)

    def freeable(self) -> Call:
        """The value is MiB, rounded down."""
        return self.control(tmem.TMEMC_QUERY_FREEABLE_MB, 0)

    # Save and restore.

    def save_begin(self, client: int, *, live: bool) -> Call:
        return self.control(tmem.TMEMC_SAVE_BEGIN, client, first=int(live))

    def save_next_page(self, client: int, pool: int) -> Call:
        """The buffer is a handle and a page, for `saved_page`. EPERM is the end."""
        buffer = bytearray(SAVED_PAGE_BYTES)
        return self.control(
            tmem.TMEMC_SAVE_GET_NEXT_PAGE, client, pool=pool, first=len(buffer), buffer=buffer
        )

    def save_next_invalidation(self, client: int) -> Call:
        """The buffer is a handle, for `invalidation`. 0 is the end."""
        buffer = bytearray(tmem.TMEM_HANDLE.size)
        return self.control(tmem.TMEMC_SAVE_GET_NEXT_INV, client, first=len(buffer), buffer=buffer)

    def save_end(self, client: int) -> Call:
        return self.control(tmem.TMEMC_SAVE_END, client)

    def restore_begin(self, client: int) -> Call:
        return self.control(tmem.TMEMC_RESTORE_BEGIN, client)

    def restore_page(self, client: int, page: SavedPage) -> Call:
        return self.control(
            tmem.TMEMC_RESTORE_PUT_PAGE,
            client,
            pool=page.pool_id,
            first=len(page.page),
            second=page.index,
            oid=page.oid,
            buffer=bytearray(page.page),
        )

    def restore_invalidation(self, client: int, handle: Invalidation) -> Call:
        return self.control(
            tmem.TMEMC_RESTORE_FLUSH_PAGE, client, pool=handle.pool_id, second=handle.index, oid=handle.oid
        )

    # Shared pools and restored pools: up to 4.8 these are commands of the guests' own hypercall.

    def restore_pools(self, client: int, pools: Sequence[PoolInfo]) -> list[Call]:
        """Calls that make `pools`, empty, under their ids."""
        return [
            _creat(tmem.TMEM_RESTORE_NEW, client, pool.uuid, pool_flags(pool), pool_id=pool.pool_id)
            for pool in pools
        ]

    def shared_auth(self, client: int, uuid: SharedUuid, *, allow: bool) -> Call:
        return _creat(tmem.TMEM_AUTH, client, uuid, int(allow))


def _creat(command: int, client: int, uuid: SharedUuid, flags: int, *, pool_id: int = 0) -> Call:
    """The member is shorter than the union it is in, which Xen copies whole."""
    member = tmem.TMEM_OP_CREAT.pack(command, pool_id, uuid.lo, uuid.hi, flags, client)
    return Call(HYPERCALL_TMEM_OP, member.ljust(tmem.TMEM_OP_BYTES, b"\0"))


def pool_flags(pool: PoolInfo) -> int:
    """The flags word of `pool` as TMEM_NEW_POOL and its kin want it."""
    persist = tmem.TMEM_POOL_PERSIST if pool.persistent else 0
    shared = tmem.TMEM_POOL_SHARED if pool.shared else 0
    return _FLAGS_VERSION | persist | shared


def pool_info(pool_id: int, flags: int, n_pages: int, uuid: SharedUuid) -> PoolInfo:
    """A pool of the hypervisor's numbers; all flags but two are version and page size."""
    kind = flags & _PERSIST_AND_SHARED
    persistent, shared = bool(kind & tmem.TMEM_POOL_PERSIST), bool(kind & tmem.TMEM_POOL_SHARED)
    return PoolInfo(PoolId(pool_id), persistent, shared, n_pages, uuid)


def saved_page(call: Call) -> SavedPage:
    """The page in the buffer of an answered `save_next_page`."""
    assert call.buffer is not None
    pool_id, index, oid = tmem.TMEM_HANDLE.unpack_from(call.buffer)
    page = bytes(call.buffer[tmem.TMEM_HANDLE.size :])
    return SavedPage(PoolId(pool_id), tmem.oid_from_bytes(oid), index, page)


def invalidation(call: Call) -> Invalidation:
    """The handle in the buffer of an answered `save_next_invalidation`."""
    assert call.buffer is not None
    pool_id, index, oid = tmem.TMEM_HANDLE.unpack_from(call.buffer)
    return Invalidation(PoolId(pool_id), tmem.oid_from_bytes(oid), index)


def listed_text(call: Call) -> bytes:
    """The text in the buffer of an answered `list_text`: all of it where there is no NUL."""
    assert call.buffer is not None
    end = call.buffer.find(0)
    return bytes(call.buffer if end < 0 else memoryview(call.buffer)[:end])


def checked(operation: str, value: int) -> int:
    """`value` if it is an answer. Raises HypercallError if it is an errno."""
    if value < 0:
        raise HypercallError(operation, -value)
    return value

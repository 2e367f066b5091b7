# SPDX-License-Identifier: GPL-2.0-only
"""dom0 as a user of tmem: the hypercalls that a guest's cleancache and frontswap make.

Values are Xen's: >= 0 or -errno. `frame` is the machine frame of `page`, through which every page goes.
"""

from __future__ import annotations

from hypervisor_model.public import tmem
from hypervisor_model.public.xen import HYPERCALL_TMEM_OP, PAGE_SIZE
from tests.system.dom0.hypercalls import Hypercalls, Memory


class Guest:
    """Pools made here are destroyed by `leave`; the client that the first one made stays until Xen ends."""

    def __init__(self, calls: Hypercalls, page: Memory, frame: int) -> None:
        self._calls, self._page, self._frame = calls, page, frame
        self._pools: list[int] = []

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        """The id of a new pool, or -errno."""
        flags = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT
        flags |= (tmem.TMEM_POOL_PERSIST if persistent else 0) | (tmem.TMEM_POOL_SHARED if shared else 0)
        pool = self._creat(tmem.TMEM_NEW_POOL, uuid=uuid, flags=flags)
        if pool >= 0:
            self._pools.append(pool)
        return pool

    def destroy_pool(self, pool: int) -> int:
        """1 if there was one."""
        if pool in self._pools:
            self._pools.remove(pool)
        return self._creat(tmem.TMEM_DESTROY_POOL, pool)

    def put(self, pool: int, oid: int, index: int, page: bytes) -> int:
        """1 if the page was taken."""
        self._page.put(page)
        return self._gen(tmem.TMEM_PUT_PAGE, pool, oid, index, self._frame)

    def get(self, pool: int, oid: int, index: int) -> tuple[int, bytes]:
        """(1, the page), or another value and what stood in the page before: 0 for a miss."""
        self._page.put(bytes(PAGE_SIZE))
        value = self._gen(tmem.TMEM_GET_PAGE, pool, oid, index, self._frame)
        return value, self._page.bytes[:PAGE_SIZE]

    def flush_page(self, pool: int, oid: int, index: int) -> int:
        """1 if there was such a page."""
        return self._gen(tmem.TMEM_FLUSH_PAGE, pool, oid, index, 0)

    def flush_object(self, pool: int, oid: int) -> int:
        """1 if there was such an object."""
        return self._gen(tmem.TMEM_FLUSH_OBJECT, pool, oid, 0, 0)

    def leave(self) -> None:
        """Destroy the pools that are left."""
        for pool in list(self._pools):
            self.destroy_pool(pool)

    def _creat(self, command: int, pool: int = 0, *, uuid: tuple[int, int] = (0, 0), flags: int = 0) -> int:
        return self._op(tmem.TMEM_OP_CREAT.pack(command, pool, *uuid, flags, 0))

    def _gen(self, command: int, pool: int, oid: int, index: int, frame: int) -> int:
        return self._op(tmem.TMEM_OP_GEN.pack(command, pool, tmem.oid_to_bytes(oid), index, 0, 0, 0, frame))

    def _op(self, member: bytes) -> int:
        return self._calls.call_struct(HYPERCALL_TMEM_OP, member.ljust(tmem.TMEM_OP_BYTES, b"\0"))

# SPDX-License-Identifier: GPL-2.0-only
"""Where tmem's own memory comes from: descriptors and small data from TLSF pools, pages from the heap.

Models    "MEMORY ALLOCATION INTERFACE" of tmem.c: tmem_malloc, tmem_free, tmem_page_alloc, tmem_page_free, and the
          page_get and page_put functions of the two kinds of pool in tmem_xen.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from hypervisor_model.host.domain import Domain
from hypervisor_model.lib.tlsf import Block, TlsfPool, units_of

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem


def malloc(tmem: Tmem, block: Block, size_bytes: int, pool: Pool | None) -> bool:
    """Place a descriptor: in the client's pool of a persistent one, else in the global one. Counts a failure."""
    if not tmem.exact:
        return True
    mempool = tmem.mempool if pool is None else pool.mempool
    if mempool.place(block, units_of(size_bytes)):
        return True
    tmem.alloc_failed += 1
    return False


def free(tmem: Tmem, block: Block, pool: Pool | None) -> None:
    """Give a descriptor's room back."""
    if tmem.exact:
        (tmem.mempool if pool is None else pool.mempool).release(block)


def malloc_bytes(tmem: Tmem, size_bytes: int, pool: Pool) -> Block | None:
    """Room for compressed or trimmed data; None without memory. Counts a failure."""
    block = Block()
    if pool.mempool.place(block, units_of(size_bytes)):
        return block
    tmem.alloc_failed += 1
    return None


def free_bytes(block: Block, pool: Pool) -> None:
    """Give the room of compressed or trimmed data back."""
    pool.mempool.release(block)


def page_alloc(tmem: Tmem, pool: Pool) -> bool:
    """A frame for a page's data, owned by the pool's domain if it is persistent (C: tmem_page_alloc)."""
    if not pool.persistent:
        got = tmem.heap.alloc_data_page()
    elif got := tmem.heap.alloc_page_for(pool.client.domain):
        tmem.persistent_frames += 1
    if not got:
        tmem.alloc_page_failed += 1
        return False
    tmem.page_count_max = max(tmem.page_count_max, tmem.page_count)
    return True


def page_free(tmem: Tmem, pool: Pool) -> None:
    """C: tmem_page_free."""
    if pool.persistent:
        tmem.heap.free_page_of(pool.client.domain)
        tmem.persistent_frames -= 1
    else:
        tmem.heap.data_pages -= 1


@mypyc_attr(allow_interpreted_subclasses=True)
class EphemeralPages:
    """Pages for the global pool (C: tmh_mempool_page_get, tmh_mempool_page_put)."""

    __slots__ = ("_tmem",)

    def __init__(self, tmem: Tmem) -> None:
        self._tmem = tmem

    def get(self) -> object | None:
        return self if self._tmem.heap.alloc_mempool_page() else None

    def put(self, page: object) -> None:
        self._tmem.heap.free_mempool_page()


@mypyc_attr(allow_interpreted_subclasses=True)
class PersistentPages:
    """Pages for a client's own pool (C: tmh_persistent_pool_page_get, _put).

    QUIRK tmh_persistent_pool_page_get: billed to whoever makes the hypercall, which for RESTORE_PUT_PAGE is dom0
    and not the client.
    """

    __slots__ = ("_documented", "_owner", "_tmem")

    def __init__(self, tmem: Tmem, owner: Domain) -> None:
        self._tmem = tmem
        self._owner = owner
        self._documented = tmem.documented

    def get(self) -> object | None:
        domain = self._owner if self._documented else self._tmem.current
        if domain is None or not self._tmem.heap.alloc_page_for(domain):
            return None
        return domain

    def put(self, page: object) -> None:
        assert isinstance(page, Domain)
        self._tmem.heap.free_page_of(page)


def ephemeral_pool(tmem: Tmem) -> TlsfPool:
    """The pool of everything that no domain owns."""
    pages = EphemeralPages(tmem)
    return TlsfPool(pages.get, pages.put)


def persistent_pool(tmem: Tmem, owner: Domain) -> TlsfPool:
    """The pool of one client's persistent data."""
    pages = PersistentPages(tmem, owner)
    return TlsfPool(pages.get, pages.put)

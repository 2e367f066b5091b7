# SPDX-License-Identifier: GPL-2.0-only
"""Page descriptors and the lists they are on (C: struct tmem_page_descriptor).

Models    "PAGE DESCRIPTOR MANIPULATION ROUTINES" of tmem.c: pgp_free_data, pgp_free, pgp_delist, pgp_delete.
Left out  the time stamp: the life time it serves to sum up is never shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.lib.tlsf import Block
from hypervisor_model.tmem.content import Pcd, disassociate
from hypervisor_model.tmem.memory import free, free_bytes, page_free

if TYPE_CHECKING:
    from hypervisor_model.tmem.client import Client
    from hypervisor_model.tmem.obj import Obj
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

INVALID_SIZE: Final = -1


class Pgp(Block):
    """One page of a guest. It lives in tmem's allocator, hence a Block.

    An ephemeral page is on the global list by `global_*` and on its client's by `list_*`, a persistent one on its
    pool's by `list_*`.
    """

    __slots__ = (
        "data",
        "eviction_attempted",
        "global_next",
        "global_prev",
        "index",
        "list_next",
        "list_prev",
        "obj",
        "size",
        "store",
    )
    # There is no __init__: `new_pgp` and the put set in place what is needed.
    obj: Obj
    index: int
    data: bytes | None  # the page in full, however it is stored; None: no data
    size: (
        int  # 0: in a page frame (or deduplicated whole); else the compressed size in bytes, or INVALID_SIZE
    )
    store: Block | None  # the compressed bytes' block, or the shared content (Pcd)
    global_prev: Pgp
    global_next: Pgp
    list_prev: Pgp
    list_next: Pgp
    eviction_attempted: bool  # of deduplicated pages only


def new_pgp() -> Pgp:
    """A descriptor as a put expects it, and as `spare_pgps` keeps them: without data, in no object, on no list."""
    pgp = Pgp()
    pgp.size = 0
    pgp.store = None
    return pgp


def count_descriptor(tmem: Tmem, pool: Pool) -> None:
    """Count one more (C: pgp_alloc)."""
    tmem.pgp_count += 1
    tmem.pgp_count_max = max(tmem.pgp_count_max, tmem.pgp_count)
    pool.pgp_count += 1
    pool.pgp_count_max = max(pool.pgp_count_max, pool.pgp_count)


def empty_list() -> Pgp:
    """The head of a circular list of pages: a descriptor of none, linked to itself (C: struct list_head)."""
    head = Pgp()
    head.global_prev = head.global_next = head.list_prev = head.list_next = head
    return head


@mypyc_attr(allow_interpreted_subclasses=True)
class Invalidated:
    """What is left of a persistent page that went during a live save: its handle, and its descriptor's room."""

    __slots__ = ("index", "oid", "pgp", "pool")

    def __init__(self, pgp: Pgp) -> None:
        self.pgp = pgp
        self.pool = pgp.obj.pool
        self.oid = pgp.obj.oid
        self.index = pgp.index


def free_data(tmem: Tmem, pgp: Pgp, pool: Pool) -> None:
    """C: pgp_free_data."""
    if pgp.data is None:
        return
    size = pgp.size
    store = pgp.store
    if store is None:
        page_free(tmem, pool)
    elif isinstance(store, Pcd):
        disassociate(tmem, pgp, store, pool)
    else:
        free_bytes(store, pool)
        pgp.store = None
    if size > 0:
        client = pool.client
        client.compressed_pages -= 1
        client.compressed_sum_size -= size
    pgp.data = None
    pgp.size = INVALID_SIZE


def pgp_free(tmem: Tmem, pgp: Pgp) -> None:
    """Free a descriptor that is on no list any more, and its data (C: pgp_free)."""
    pool = pgp.obj.pool
    if pgp.data is not None:
        free_data(tmem, pgp, pool)
    tmem.pgp_count -= 1
    pool.pgp_count -= 1
    if pool.persistent:
        tmem.persistent_pgps -= 1
        if pool.client.live_migrating:
            return  # the descriptor stays, as the handle of an invalidated page
    if tmem.exact:
        free(tmem, pgp, pool)


def pgp_recycle(tmem: Tmem, pgp: Pgp, pool: Pool) -> None:
    """`pgp_free` of an ephemeral page in a frame of its own, whose descriptor the next put takes."""
    tmem.heap.data_pages -= 1
    tmem.pgp_count -= 1
    pool.pgp_count -= 1
    if tmem.exact:
        pool.mempool.release(pgp)
    pgp.data = None
    tmem.spare_pgps.append(pgp)


def free_invalidated(tmem: Tmem, handle: Invalidated) -> None:
    """Give back the descriptor that a handle lives in (C: pgp_free_from_inv_list, __pgp_free)."""
    free(tmem, handle.pgp, handle.pool)


def unlist_ephemeral(pgp: Pgp) -> None:
    """Take a page off the global list and its client's; counting is the caller's business."""
    before, behind = pgp.global_prev, pgp.global_next
    before.global_next = behind
    behind.global_prev = before
    before, behind = pgp.list_prev, pgp.list_next
    before.list_next = behind
    behind.list_prev = before


def delist(tmem: Tmem, pgp: Pgp) -> None:
    """Take a listed page off its lists (C: pgp_delist)."""
    pool = pgp.obj.pool
    client = pool.client
    if not pool.persistent:
        client.eph_count -= 1
        unlist_ephemeral(pgp)
        return
    if client.live_migrating:
        client.invalidated.append(Invalidated(pgp))
    before, behind = pgp.list_prev, pgp.list_next
    if pool.cur_pgp is pgp:
        # In C the save's cursor is left pointing to freed memory. Here it steps back, so that the save goes on
        # with the page behind.
        pool.cur_pgp = before
    before.list_next = behind
    behind.list_prev = before


def pgp_delete(tmem: Tmem, pgp: Pgp) -> None:
    """Take a page that has left its object off its lists and free it (C: pgp_delete, pgp_delist_free)."""
    delist(tmem, pgp)
    pool = pgp.obj.pool
    if pgp.store is None and pgp.data is not None and not pool.persistent:
        pgp_recycle(tmem, pgp, pool)
    else:
        pgp_free(tmem, pgp)


def append_ephemeral(tmem: Tmem, pgp: Pgp, client: Client) -> None:
    """Put a page at the young end of both lists."""
    head = tmem.ephemeral_head
    last = head.global_prev
    pgp.global_prev = last
    pgp.global_next = head
    last.global_next = pgp
    head.global_prev = pgp
    append(pgp, client.ephemeral_head)


def append(pgp: Pgp, head: Pgp) -> None:
    """Put a page at the end of the list of a client or a pool."""
    last = head.list_prev
    pgp.list_prev = last
    pgp.list_next = head
    last.list_next = pgp
    head.list_prev = pgp


def move_to_young_end(tmem: Tmem, pgp: Pgp) -> None:
    """Let a page live through one more round of eviction (C: the two list_del, list_add_tail pairs)."""
    unlist_ephemeral(pgp)
    append_ephemeral(tmem, pgp, pgp.obj.pool.client)

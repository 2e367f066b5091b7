# SPDX-License-Identifier: GPL-2.0-only
"""A recount of tmem's whole state from its lists and trees, to be compared with its counters.

It says nothing of how the state came about: each figure is counted anew from what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypervisor_model.lib.tlsf import Block
from hypervisor_model.public.xen import PAGE_SIZE
from hypervisor_model.tmem.content import Pcd
from hypervisor_model.tmem.page import Pgp
from hypervisor_model.tmem.pool import Pool

if TYPE_CHECKING:
    from hypervisor_model.tmem.client import Client
    from hypervisor_model.tmem.state import Tmem


class _Count:
    """What has been found so far."""

    def __init__(self) -> None:
        self.pgps = self.objs = self.nodes = self.ephemeral = 0
        self.frames = 0  # page frames that hold data
        self.ephemeral_frames = 0
        self.blocks: dict[int, list[Block]] = {}  # by identity of their TLSF pool
        self.contents: dict[int, int] = {}  # references by identity of the content
        self.compressed: dict[int, list[int]] = {}  # cli_id -> [pages, bytes]
        self.frames_of: dict[int, int] = {}  # domid -> persistent page frames

    def block(self, pool: object, block: Block) -> None:
        self.blocks.setdefault(id(pool), []).append(block)


def check(tmem: Tmem) -> None:
    """Raise AssertionError where a counter does not tell what is there."""
    found = _Count()
    pools = _pools(tmem)
    for pool in pools:
        _check_pool(tmem, pool, found)
    _check_lists(tmem, pools)
    _check_totals(tmem, found)
    for client in tmem.clients:
        _check_client(tmem, client, pools, found)
    _check_contents(tmem, found)
    _check_memory(tmem, found)


def _pools(tmem: Tmem) -> list[Pool]:
    """Each pool once, with those that only the table of shared pools knows, or nobody."""
    seen = {id(pool): pool for pool in tmem.lost_pools}
    for client in tmem.clients:
        for pool in client.pools:
            if pool is not None:
                seen[id(pool)] = pool
    for pool in tmem.shared_pools:
        if pool is not None:
            seen[id(pool)] = pool
    return list(seen.values())


def _check_pool(tmem: Tmem, pool: Pool, found: _Count) -> None:
    pages = nodes = 0
    for oid, obj in pool.objs.items():
        assert obj.oid == oid
        assert obj.pool is pool
        nodes += obj.check()
        items = list(obj.items())
        assert items, oid
        pages += len(items)
        for index, pgp in items:
            assert pgp.index == index
            assert pgp.obj is obj
            _check_page(tmem, pool, pgp, found)
        if tmem.exact:
            found.block(pool.mempool, obj.block)
            for node in obj.nodes():
                assert isinstance(node.memory, Block)
                found.block(pool.mempool, node.memory)
    assert pool.pgp_count == pages <= pool.pgp_count_max, (pool.pgp_count, pages)
    assert pool.obj_count == len(pool.objs) <= pool.obj_count_max
    assert pool.objnode_count == nodes <= pool.objnode_count_max, (pool.objnode_count, nodes)
    assert pool.no_mem_puts + pool.dup_puts_flushed <= pool.failed_puts
    found.pgps += pages
    found.objs += len(pool.objs)
    found.nodes += nodes
    if not pool.persistent:
        found.ephemeral += pages


def _check_page(tmem: Tmem, pool: Pool, pgp: Pgp, found: _Count) -> None:
    assert pgp.data is not None
    assert not tmem.page_bytes or len(pgp.data) == tmem.page_bytes
    store = pgp.store
    if tmem.exact:
        found.block(pool.mempool, pgp)
    if store is None:
        assert pgp.size == 0
        found.frames += 1
        if pool.persistent:
            domid = pool.client.domain.domid
            found.frames_of[domid] = found.frames_of.get(domid, 0) + 1
        else:
            found.ephemeral_frames += 1
    elif isinstance(store, Pcd):
        assert tmem.dedup
        assert not pool.persistent
        assert store.page == pgp.data
        assert pgp.size == (store.size if store.compressed else 0)
        if id(store) not in found.contents and store.size == PAGE_SIZE:
            found.frames += 1
            found.ephemeral_frames += 1
        found.contents[id(store)] = found.contents.get(id(store), 0) + 1
    else:
        found.block(pool.mempool, store)
    if pgp.size > 0:
        pair = found.compressed.setdefault(pool.client.cli_id, [0, 0])
        pair[0] += 1
        pair[1] += pgp.size


def _check_lists(tmem: Tmem, pools: list[Pool]) -> None:
    """Each page of an ephemeral pool is on both lists, each of a persistent one on its pool's."""
    on_global = _walk_global(tmem)
    on_clients = [pgp for client in tmem.clients for pgp in _walk(client.ephemeral_head)]
    in_pools = {
        id(pgp)
        for pool in pools
        if not pool.persistent
        for obj in pool.objs.values()
        for _, pgp in obj.items()
    }
    assert {id(pgp) for pgp in on_global} == in_pools
    assert len(on_global) == len(in_pools) == tmem.eph_count <= tmem.eph_count_max
    assert {id(pgp) for pgp in on_clients} == in_pools
    assert len(on_clients) == len(in_pools)
    for pool in pools:
        if pool.persistent:
            listed = _walk(pool.persistent_head)
            held = {id(pgp) for obj in pool.objs.values() for _, pgp in obj.items()}
            assert {id(pgp) for pgp in listed} == held
            assert len(listed) == len(held)


def _walk(head: Pgp) -> list[Pgp]:
    pages = []
    here = head
    while here.list_next is not head:
        assert here.list_next.list_prev is here
        here = here.list_next
        pages.append(here)
    assert head.list_prev is here
    return pages


def _walk_global(tmem: Tmem) -> list[Pgp]:
    head = tmem.ephemeral_head
    pages = []
    here = head
    while here.global_next is not head:
        assert here.global_next.global_prev is here
        here = here.global_next
        pages.append(here)
    assert head.global_prev is here
    return pages


def _check_totals(tmem: Tmem, found: _Count) -> None:
    # What a pool that could not be destroyed during a live save still holds is counted and can't be reached.
    assert tmem.pgp_count >= found.pgps
    assert tmem.obj_count >= found.objs
    assert tmem.rtree_node_count >= found.nodes
    if not any(client.saving for client in tmem.clients):
        assert tmem.pgp_count == found.pgps <= tmem.pgp_count_max, (tmem.pgp_count, found.pgps)
        assert tmem.obj_count == found.objs <= tmem.obj_count_max
        assert tmem.rtree_node_count == found.nodes <= tmem.rtree_node_count_max
    assert tmem.held_obj is None
    assert tmem.held_pool is None
    assert tmem.in_flight == 0
    assert all(pgp.data is None and pgp.store is None and pgp.size == 0 for pgp in tmem.spare_pgps)
    assert tmem.persistent_pgps >= found.pgps - found.ephemeral


def _check_client(tmem: Tmem, client: Client, pools: list[Pool], found: _Count) -> None:
    assert client.domain.tmem is client
    if not (
        tmem.lists_mixed and tmem.release.client_info_abi
    ):  # or else 4.12 bills one for the pages of another
        owned = sum(pool.pgp_count for pool in pools if pool.client is client and not pool.persistent)
        assert client.eph_count == owned <= max(client.eph_count_max, owned), (
            client.cli_id,
            client.eph_count,
            owned,
        )
    pages, size_bytes = found.compressed.get(client.cli_id, [0, 0])
    if not tmem.dedup and not any(pool.shared for pool in pools):
        assert client.compressed_pages == pages, (client.cli_id, client.compressed_pages, pages)
        assert client.compressed_sum_size == size_bytes


def _check_contents(tmem: Tmem, found: _Count) -> None:
    contents = list(tmem.contents.compressed.values()) + list(tmem.contents.whole.values())
    if tmem.contents.trees is not None:
        for tree in tmem.contents.trees:
            tree.check()
            contents += [node.pcd for node in tree]  # type: ignore[attr-defined]
    assert tmem.pcd_count == len(contents) <= tmem.pcd_count_max
    assert {id(pcd): pcd.ref_count for pcd in contents} == found.contents
    for pcd in contents:
        if tmem.exact:
            found.block(tmem.mempool, pcd)
        if pcd.store is not None:
            found.block(tmem.mempool, pcd.store)


def _check_memory(tmem: Tmem, found: _Count) -> None:
    """Bytes in the allocators' pools, and pages by owner."""
    heap = tmem.heap
    tmem.mempool.check()
    for client in tmem.clients:
        client.persistent_pool.check()
    if any(client.saving or client.invalidated for client in tmem.clients):
        return
    for pool in tmem.shared_pools:
        if pool is not None and tmem.exact:
            for sharer in pool.sharers:
                found.block(tmem.mempool, sharer)
    if tmem.exact:
        for client in tmem.clients:
            for pgp in client.forgotten_pgps:
                found.block(client.persistent_pool, pgp)
        for mempool in [tmem.mempool, *(client.persistent_pool for client in tmem.clients)]:
            used = sum(block.units + 1 for block in found.blocks.get(id(mempool), []))
            assert mempool.used_units == used + mempool.pages, (mempool.used_units, used, mempool.pages)
    leaked = tmem.page_count - found.frames
    assert leaked >= 0
    assert leaked == 0 or (tmem.dedup and tmem.options.tze), leaked
    assert heap.data_pages == found.ephemeral_frames + leaked
    assert heap.mempool_pages == tmem.mempool.pages
    assert heap.tmem_list_pages >= 0

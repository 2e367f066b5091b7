# SPDX-License-Identifier: GPL-2.0-only
"""Objects: the pages of one object id within a pool (C: struct tmem_object_root).

Models    "RADIX TREE NODE MANIPULATION" and "POOL OBJECT COLLECTION MANIPULATION ROUTINES" of tmem.c: rtn_alloc,
          rtn_free, oid_hash, obj_new (4.12: obj_alloc), obj_free, obj_destroy, pool_destroy_objs.
Left out  the 256 red-black trees of a pool: a dict finds an object, and their order, which only destruction shows,
          is that of (bucket, object id descending).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.lib.radix_tree import RadixNode, RadixTree
from hypervisor_model.lib.tlsf import Block
from hypervisor_model.public.tmem import OID_MASK, oid_from_words
from hypervisor_model.tmem.memory import free, malloc
from hypervisor_model.tmem.page import Pgp

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

OBJ_HASH_BUCKETS: Final = 256
NO_CLIENT: Final = 0xFFFF  # C: CLI_ID_NULL
_WORD: Final = (1 << 64) - 1


Oid = int | tuple[int, int, int]
"""An object id: 192 bits, or their three words, which are turned into the former on the way."""


def as_oid(oid: object) -> int:
    """Three words of an object id as one integer. Raises ValueError."""
    if isinstance(oid, int):
        return oid
    if isinstance(oid, (tuple, list)) and len(oid) == 3:
        words = [int(word) for word in oid]
        if all(0 <= word < 1 << 64 for word in words):
            return oid_from_words(*words)
    raise ValueError(f"{oid!r} is no object id: use an integer below 2**192 or three words of 64 bits")


def check_oid(oid: int) -> None:
    """Raises ValueError unless `oid` fits in 192 bits."""
    if not 0 <= oid <= OID_MASK:
        raise ValueError(f"object id {oid} does not fit in 192 bits")


def check_index(index: int) -> None:
    """Raises ValueError unless `index` fits in 32 bits."""
    if index >> 32:
        raise ValueError(f"index {index} does not fit in 32 bits")


@mypyc_attr(allow_interpreted_subclasses=True)
class Obj(RadixTree[Pgp]):
    """The tree of an object's pages, counted. `last_client` is kept for shared pools only."""

    __slots__ = ("block", "last_client", "oid", "pool")

    def __init__(self, pool: Pool, oid: int) -> None:
        super().__init__()
        self.pool = pool
        self.oid = oid
        self.last_client = NO_CLIENT
        self.block = Block()

    def _node_alloc(self) -> RadixNode[Pgp] | None:
        """C: rtn_alloc."""
        pool = self.pool
        tmem = pool.tmem
        block = Block()
        if not malloc(tmem, block, tmem.release.objnode_bytes, pool):
            return None
        node: RadixNode[Pgp] = RadixNode()
        node.memory = block
        pool.objnode_count += 1
        if pool.objnode_count > pool.objnode_count_max:
            pool.objnode_count_max = pool.objnode_count
        tmem.rtree_node_count += 1
        if tmem.rtree_node_count > tmem.rtree_node_count_max:
            tmem.rtree_node_count_max = tmem.rtree_node_count
        return node

    def _node_free(self, node: RadixNode[Pgp]) -> None:
        """C: rtn_free."""
        pool = self.pool
        pool.objnode_count -= 1
        block = node.memory
        assert isinstance(block, Block)
        free(pool.tmem, block, pool)
        pool.tmem.rtree_node_count -= 1


def oid_hash(oid: int) -> int:
    """The bucket, 0..255, of an object id (C: oid_hash with Linux's hash_long)."""
    value = (oid ^ oid >> 64 ^ oid >> 128) & _WORD
    return (value * 0x9E37FFFFFFFC0001 & _WORD) % OBJ_HASH_BUCKETS


def obj_new(tmem: Tmem, pool: Pool, oid: int) -> Obj | None:
    """Make an object and put it into its pool; None without memory (C: obj_new; 4.12: obj_alloc)."""
    obj = Obj(pool, oid)
    # In 4.3 the pool is locked while the object is allocated, so that no last page of an object in this pool
    # can be evicted meanwhile.
    tmem.held_pool = None if tmem.release.client_info_abi else pool
    placed = malloc(tmem, obj.block, tmem.release.obj_bytes, pool)
    tmem.held_pool = None
    if not placed:
        return None
    pool.obj_count += 1
    if pool.obj_count > pool.obj_count_max:
        pool.obj_count_max = pool.obj_count
    tmem.obj_count += 1
    if tmem.obj_count > tmem.obj_count_max:
        tmem.obj_count_max = tmem.obj_count
    pool.objs[oid] = obj
    return obj


def obj_free(tmem: Tmem, obj: Obj) -> None:
    """Free an object without pages; a stump of its tree goes first (C: obj_free)."""
    pool = obj.pool
    if obj.root is not None:
        obj.destroy(_no_item)
    pool.obj_count -= 1
    tmem.obj_count -= 1
    del pool.objs[obj.oid]
    free(tmem, obj.block, pool)


def _no_item(pgp: Pgp) -> None:
    raise AssertionError(f"a stump holds the page {pgp.index}")


def destruction_order(pool: Pool) -> list[Obj]:
    """The objects as pool_destroy_objs meets them: bucket by bucket, larger object ids first."""
    return sorted(pool.objs.values(), key=lambda obj: (oid_hash(obj.oid), -obj.oid))

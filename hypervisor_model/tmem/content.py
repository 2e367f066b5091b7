# SPDX-License-Identifier: GPL-2.0-only
"""Deduplication: page contents shared by several ephemeral pages (to Xen 4.7, with tmem_dedup=1).

Models    "PAGE CONTENT DESCRIPTOR MANIPULATION ROUTINES" of tmem.c: pcd_associate, pcd_disassociate.
Left out  the 256 red-black trees, one for each first byte, where their order can't be observed: a dict finds equal
          contents. With trailing-zero elimination the comparison is no order any more and the shape of the trees
          decides what is found, so there they are kept.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.tze import tze_size
from hypervisor_model.lib.rbtree import RbNode, RbTree
from hypervisor_model.lib.tlsf import Block
from hypervisor_model.public.xen import PAGE_SIZE
from hypervisor_model.tmem.memory import free, free_bytes, malloc, malloc_bytes, page_free

if TYPE_CHECKING:
    from hypervisor_model.tmem.page import Pgp
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

PCD_TZE_MAX_SIZE: Final = PAGE_SIZE - PAGE_SIZE // 64
NO_TREE: Final = -1
_WORDS: Final = struct.Struct(f"<{PAGE_SIZE // 8}Q")


@mypyc_attr(allow_interpreted_subclasses=True)
class Pcd(Block):
    """One content (C: struct tmem_page_content_descriptor)."""

    __slots__ = ("compressed", "first_byte", "node", "page", "ref_count", "size", "store")

    def __init__(self, page: bytes, first_byte: int, size: int, *, compressed: bool) -> None:
        self.page = page
        self.first_byte = first_byte  # which tree it is in
        self.size = size  # compressed or trimmed size in bytes; PAGE_SIZE: a page frame
        self.compressed = compressed
        self.ref_count = 0
        self.store: Block | None = None  # of compressed or trimmed data
        self.node: ContentNode | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class ContentNode(RbNode):
    """A content's place in its tree."""

    __slots__ = ("pcd",)

    def __init__(self, pcd: Pcd) -> None:
        super().__init__()
        self.pcd = pcd


@mypyc_attr(allow_interpreted_subclasses=True)
class Contents:
    """All contents in use, found by what they are."""

    __slots__ = ("compressed", "trees", "whole")

    def __init__(self, *, as_trees: bool) -> None:
        self.whole: dict[bytes, Pcd] = {}
        self.compressed: dict[bytes, Pcd] = {}
        self.trees: list[RbTree] | None = [RbTree() for _ in range(256)] if as_trees else None


def associate(tmem: Tmem, pgp: Pgp, size: int, first_byte: int) -> bool:
    """Let `pgp` share an equal content, or found one (C: pcd_associate). False: no memory.

    `size` is the compressed size in bytes, or 0 for a page in a frame; then `first_byte` is not looked at.
    """
    page = pgp.data
    assert page is not None
    pool = pgp.obj.pool
    if not size:
        first_byte = page[0]
    tmem.held_tree = first_byte  # what this tree holds can't be evicted while memory is sought for it
    done = (
        _associate_compressed(tmem, pgp, page, size, first_byte, pool)
        if size
        else _associate_frame(tmem, pgp, page)
    )
    tmem.held_tree = NO_TREE
    return done


def _associate_compressed(tmem: Tmem, pgp: Pgp, page: bytes, size: int, first_byte: int, pool: Pool) -> bool:
    pcd = tmem.contents.compressed.get(page)
    if pcd is not None:
        tmem.deduped_puts += 1
    else:
        pcd = Pcd(page, first_byte, size, compressed=True)
        if not malloc(tmem, pcd, tmem.release.pcd_bytes, None):
            return False
        pcd.store = malloc_bytes(tmem, size, pool)
        if pcd.store is None:
            free(tmem, pcd, None)
            return False
        _count(tmem)
        tmem.pcd_tot_csize += size
        tmem.contents.compressed[page] = pcd
    _share(pgp, pcd)
    return True


def _associate_frame(tmem: Tmem, pgp: Pgp, page: bytes) -> bool:
    """The frame goes back if the content is there already, or if what is left of it fits elsewhere."""
    pool = pgp.obj.pool
    size = PAGE_SIZE
    if tmem.options.tze:
        size = tze_size(page)
        if size > PCD_TZE_MAX_SIZE:
            size = PAGE_SIZE
    parent: ContentNode | None = None
    left = False
    trees = tmem.contents.trees
    if trees is None:
        pcd = tmem.contents.whole.get(page)
    else:
        pcd, parent, left = _walk(trees[page[0]], page, size)
    if pcd is not None:
        page_free(tmem, pool)
        tmem.deduped_puts += 1
        _share(pgp, pcd)
        return True
    pcd = Pcd(page, page[0], size, compressed=False)
    if not malloc(tmem, pcd, tmem.release.pcd_bytes, None):
        return False
    _count(tmem)
    if size == 0:
        # QUIRK pcd_associate: the frame of an all-zero page is neither kept nor freed.
        if tmem.documented:
            page_free(tmem, pool)
    else:
        if size < PAGE_SIZE:
            pcd.store = malloc_bytes(tmem, size, pool)
        if pcd.store is not None:
            tmem.pcd_tot_tze_size += size
            page_free(tmem, pool)
        else:
            pcd.size = PAGE_SIZE
            if tmem.options.tze:
                tmem.pcd_tot_tze_size += PAGE_SIZE
            if tmem.options.compress:
                tmem.pcd_tot_csize += PAGE_SIZE
    if trees is None:
        tmem.contents.whole[page] = pcd
    else:
        pcd.node = ContentNode(pcd)
        trees[page[0]].link(pcd.node, parent, left)
        trees[page[0]].insert_color(pcd.node)
    _share(pgp, pcd)
    return True


def _walk(tree: RbTree, page: bytes, size: int) -> tuple[Pcd | None, ContentNode | None, bool]:
    """Seek `page`, trimmed to `size` bytes, as pcd_associate does: (found, where it would hang, on the left?).

    QUIRK pcd_associate: a trimmed content in the tree is taken for a compressed one, so trimmed pages never
    match, and a trimmed page always goes before every page frame.
    """
    here = tree.root
    parent: ContentNode | None = None
    left = False
    while here is not None:
        assert isinstance(here, ContentNode)
        parent = here
        pcd = here.pcd
        if pcd.size < PAGE_SIZE:
            left = False
        elif size < PAGE_SIZE:
            left = True
        elif page == pcd.page:
            return pcd, None, False
        else:
            left = _WORDS.unpack(page) < _WORDS.unpack(pcd.page)
        here = here.left if left else here.right
    return None, parent, left


def _count(tmem: Tmem) -> None:
    tmem.pcd_count += 1
    if tmem.pcd_count > tmem.pcd_count_max:
        tmem.pcd_count_max = tmem.pcd_count


def _share(pgp: Pgp, pcd: Pcd) -> None:
    pcd.ref_count += 1
    pgp.data = pcd.page
    pgp.store = pcd
    pgp.eviction_attempted = False


def disassociate(tmem: Tmem, pgp: Pgp, pcd: Pcd, pool: Pool) -> None:
    """Part `pgp` from its content, which goes when nobody shares it any more (C: pcd_disassociate)."""
    pgp.store = None
    pgp.data = None
    pcd.ref_count -= 1
    if pcd.ref_count:
        return
    contents = tmem.contents
    if pcd.compressed:
        del contents.compressed[pcd.page]
    elif contents.trees is None:
        del contents.whole[pcd.page]
    else:
        assert pcd.node is not None
        contents.trees[pcd.first_byte].erase(pcd.node)
        pcd.node = None
    free(tmem, pcd, None)
    tmem.pcd_count -= 1
    if pcd.compressed:
        assert pcd.store is not None
        free_bytes(pcd.store, pool)
        tmem.pcd_tot_csize -= pcd.size
    elif pcd.size != PAGE_SIZE:
        tmem.pcd_tot_tze_size -= pcd.size
        if pcd.store is not None:
            free_bytes(pcd.store, pool)
    else:
        if tmem.options.tze:
            tmem.pcd_tot_tze_size -= PAGE_SIZE
        if tmem.options.compress:
            tmem.pcd_tot_csize -= PAGE_SIZE
        page_free(tmem, pool)

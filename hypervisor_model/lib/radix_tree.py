# SPDX-License-Identifier: GPL-2.0-only
"""A radix tree of fan-out 64 with the node for node behaviour of Xen's.

Models    xen/common/radix-tree.c: radix_tree_insert, _delete, _lookup, _destroy, _extend, _shrink.
Left out  RCU. Indexes are 32 bits here, so a tree has at most six levels.

A tree that holds index 0 alone has no node: the item hangs from the root itself. When a node can't be had in
the middle of an insertion, the nodes made so far stay ("stump"), as in C.

`leaves` finds the bottom node of an index without walking down; the nodes are what is counted. A caller in a
hurry may do with a leaf what `lookup`, `insert` and the short way of `delete` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from mypy_extensions import mypyc_attr

FAN_OUT: Final = 64
_SHIFT: Final = 6
_MASK: Final = FAN_OUT - 1
_MAX_INDEX: Final = [(1 << _SHIFT * height) - 1 for height in range(7)]

Item = TypeVar("Item")


@mypyc_attr(allow_interpreted_subclasses=True)
class RadixNode(Generic[Item]):
    """An inner node has `children`, a bottom node `items`. `memory` is for whoever allocates nodes."""

    __slots__ = ("children", "count", "height", "items", "memory")

    def __init__(self) -> None:
        self.height = 0  # 1: bottom
        self.count = 0  # slots in use
        self.children: list[RadixNode[Item] | None] = []
        self.items: list[Item | None] = []
        self.memory: object = None

    def become(self, height: int) -> None:
        """Make this fresh node one of the given height."""
        self.height = height
        if height == 1:
            self.items = [None] * FAN_OUT
        else:
            self.children = [None] * FAN_OUT


class NodeSource(Protocol[Item]):
    """Whoever limits or counts nodes."""

    def node_alloc(self) -> RadixNode[Item] | None:
        """A fresh node; None: there is no memory."""

    def node_free(self, node: RadixNode[Item]) -> None: ...


@mypyc_attr(allow_interpreted_subclasses=True)
class RadixTree(Generic[Item]):
    """Takes its nodes from `source`, or from a subclass's own `_node_alloc`."""

    __slots__ = ("height", "leaves", "root", "single", "source")

    def __init__(self, source: NodeSource[Item] | None = None) -> None:
        self.source = source
        self.height = 0
        self.root: RadixNode[Item] | None = None
        self.single: Item | None = None  # the item at index 0 of a tree without nodes
        self.leaves: dict[int, RadixNode[Item]] = {}

    def _node_alloc(self) -> RadixNode[Item] | None:
        return RadixNode() if self.source is None else self.source.node_alloc()

    def _node_free(self, node: RadixNode[Item]) -> None:
        if self.source is not None:
            self.source.node_free(node)

    @property
    def empty(self) -> bool:
        """Neither an item nor a stump (C: root.rnode == NULL)."""
        return self.root is None and self.single is None

    def has_more_than(self, count: int) -> bool:
        """Are there more than `count` items? Stops counting as soon as it knows."""
        if self.single is not None:
            return count < 1
        found = 0
        for leaf in self.leaves.values():
            found += leaf.count
            if found > count:
                return True
        return False

    def lookup(self, index: int) -> Item | None:
        """The item at `index`. O(1)."""
        leaf = self.leaves.get(index >> _SHIFT)
        if leaf is not None:
            return leaf.items[index & _MASK]
        return self.single if index == 0 else None

    def insert(self, index: int, item: Item) -> bool:
        """Put `item` at the free `index`. False: no memory for a node; a stump may be left. O(height)."""
        leaf = self.leaves.get(index >> _SHIFT)
        if leaf is not None:
            leaf.items[index & _MASK] = item
            leaf.count += 1
            return True
        return self._insert_with_nodes(index, item)

    def _insert_with_nodes(self, index: int, item: Item) -> bool:
        if index > _MAX_INDEX[self.height] and not self._extend(index):
            return False
        height = self.height
        if height == 0:
            self.single = item
            return True
        node = self.root
        if node is None:
            node = self._node_alloc()
            if node is None:
                return False
            self._adopt(node, height, index)
            self.root = node
        while height > 1:
            slot = index >> _SHIFT * (height - 1) & _MASK
            child = node.children[slot]
            height -= 1
            if child is None:
                child = self._node_alloc()
                if child is None:
                    return False
                self._adopt(child, height, index)
                node.children[slot] = child
                node.count += 1
            node = child
        node.items[index & _MASK] = item
        node.count += 1
        return True

    def _adopt(self, node: RadixNode[Item], height: int, index: int) -> None:
        node.become(height)
        if height == 1:
            self.leaves[index >> _SHIFT] = node

    def _extend(self, index: int) -> bool:
        """Make the tree high enough for `index`, from the root upwards."""
        height = self.height + 1
        while index > _MAX_INDEX[height]:
            height += 1
        if self.root is None and self.single is None:
            self.height = height
            return True
        while self.height < height:
            node = self._node_alloc()
            if node is None:
                return False
            self._adopt(node, self.height + 1, 0)
            if self.root is None:
                node.items[0] = self.single
                self.single = None
            else:
                node.children[0] = self.root
            node.count = 1
            self.root = node
            self.height += 1
        return True

    def delete(self, index: int) -> Item | None:
        """Take the item at `index` out and return it. O(1) unless a node becomes empty or the tree lower."""
        leaf = self.leaves.get(index >> _SHIFT)
        if leaf is None:
            if index == 0:
                item = self.single
                self.single = None
                return item
            return None
        items = leaf.items
        item = items[index & _MASK]
        if item is None:
            return None
        count = leaf.count
        if count > 2 or (count == 2 and self.height > 1):
            items[index & _MASK] = None
            leaf.count = count - 1
            return item
        self._delete_with_nodes(index)
        return item

    def _delete_with_nodes(self, index: int) -> None:
        """Clear the slot of `index`, free the nodes that become empty, and shrink."""
        node = self.root
        assert node is not None
        path = [node]
        for height in range(self.height, 1, -1):
            child = node.children[index >> _SHIFT * (height - 1) & _MASK]
            assert child is not None
            node = child
            path.append(node)
        node.items[index & _MASK] = None
        empty: RadixNode[Item] | None = None
        while path:
            node = path.pop()
            if empty is not None:
                node.children[index >> _SHIFT * (node.height - 1) & _MASK] = None
            node.count -= 1
            if empty is not None:
                self._discard(empty, index)
            if node.count:
                if node is self.root:
                    self._shrink()
                return
            empty = node
        self.height = 0
        self.root = None
        if empty is not None:
            self._discard(empty, index)

    def _discard(self, node: RadixNode[Item], index: int) -> None:
        if node.height == 1:
            del self.leaves[index >> _SHIFT]
        self._node_free(node)

    def _shrink(self) -> None:
        """Drop root nodes whose only slot in use is the first."""
        while self.height > 0:
            node = self.root
            assert node is not None
            if node.count != 1:
                return
            if node.height == 1:
                if node.items[0] is None:
                    return
                self.single = node.items[0]
                self.root = None
                self.height = 0
            else:
                if node.children[0] is None:
                    return
                self.root = node.children[0]
                self.height -= 1
            self._discard(node, 0)

    def destroy(self, item_free: Callable[[Item], None]) -> None:
        """Hand each item to `item_free` in order of index, each bottom node freed after its items."""
        if self.single is not None:
            item_free(self.single)
        elif self.root is not None:
            self._destroy_node(self.root, item_free)
        self.height = 0
        self.root = None
        self.single = None
        self.leaves = {}

    def _destroy_node(self, node: RadixNode[Item], item_free: Callable[[Item], None]) -> None:
        if node.height == 1:
            for item in node.items:
                if item is not None:
                    item_free(item)
        else:
            for child in node.children:
                if child is not None:
                    self._destroy_node(child, item_free)
        self._node_free(node)

    def items(self) -> Iterator[tuple[int, Item]]:
        """Index and item of each, in order of index."""
        if self.single is not None:
            yield 0, self.single
        for number in sorted(self.leaves):
            for slot, item in enumerate(self.leaves[number].items):
                if item is not None:
                    yield number << _SHIFT | slot, item

    def nodes(self) -> Iterator[RadixNode[Item]]:
        """Every node, parents before their children."""
        pending = [] if self.root is None else [self.root]
        while pending:
            node = pending.pop()
            yield node
            pending += [child for child in node.children if child is not None]

    def check(self) -> int:
        """Recount the tree; returns the number of nodes."""
        if self.root is None:
            assert not self.leaves
            assert self.single is None or self.height == 0
            return 0
        assert self.single is None
        assert self.root.height == self.height > 0
        leaves: dict[int, RadixNode[Item]] = {}
        nodes = self._check_node(self.root, 0, leaves)
        assert leaves == self.leaves
        return nodes

    def _check_node(self, node: RadixNode[Item], prefix: int, leaves: dict[int, RadixNode[Item]]) -> int:
        if node.height == 1:
            assert node.count == sum(item is not None for item in node.items)
            leaves[prefix] = node
            return 1
        assert node.count == sum(child is not None for child in node.children)
        nodes = 1
        for slot, child in enumerate(node.children):
            if child is not None:
                assert child.height == node.height - 1
                nodes += self._check_node(child, prefix << _SHIFT | slot, leaves)
        return nodes

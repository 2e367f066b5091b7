# SPDX-License-Identifier: GPL-2.0-only
"""A red-black tree of the same shape as Xen's after the same operations.

Models    rb_link_node, rb_insert_color and rb_erase of xen/common/rbtree.c.
          The caller finds the place for a node, as in C: where its comparison is no order (deduplication with
          trailing-zero elimination has such a one) what a search meets depends on the shape.
Left out  rb_replace_node and walking backwards, which tmem does not use.
"""

from __future__ import annotations

from collections.abc import Iterator

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class RbNode:
    """Base of what is kept in a tree; out of a tree its links mean nothing."""

    __slots__ = ("left", "parent", "red", "right")

    def __init__(self) -> None:
        self.left: RbNode | None = None
        self.right: RbNode | None = None
        self.parent: RbNode | None = None
        self.red = False


@mypyc_attr(allow_interpreted_subclasses=True)
class RbTree:
    __slots__ = ("root",)

    def __init__(self) -> None:
        self.root: RbNode | None = None

    def __iter__(self) -> Iterator[RbNode]:
        """The nodes from left to right (C: rb_first, rb_next)."""
        node = None if self.root is None else _leftmost(self.root)
        while node is not None:
            yield node
            if node.right is not None:
                node = _leftmost(node.right)
                continue
            while node.parent is not None and node is node.parent.right:
                node = node.parent
            node = node.parent

    def link(self, node: RbNode, parent: RbNode | None, left: bool) -> None:
        """Hang `node` under `parent`, on the side where there is nothing yet; None: as the root of an empty tree."""
        node.left = node.right = None
        node.parent = parent
        node.red = True
        if parent is None:
            self.root = node
        elif left:
            parent.left = node
        else:
            parent.right = node

    def insert_color(self, node: RbNode) -> None:
        """Balance the tree after `link`."""
        while (parent := node.parent) is not None and parent.red:
            grandparent = parent.parent
            assert grandparent is not None  # the root is black
            on_left = parent is grandparent.left
            uncle = grandparent.right if on_left else grandparent.left
            if uncle is not None and uncle.red:
                uncle.red = parent.red = False
                grandparent.red = True
                node = grandparent
                continue
            if node is (parent.right if on_left else parent.left):
                self._rotate(parent, left=on_left)
                node, parent = parent, node
            parent.red = False
            grandparent.red = True
            self._rotate(grandparent, left=not on_left)
        assert self.root is not None
        self.root.red = False

    def erase(self, node: RbNode) -> None:
        """Take `node` out. With two children its successor takes its place."""
        if node.left is None or node.right is None:
            child = node.right if node.left is None else node.left
            parent = node.parent
            removed_red = node.red
            if child is not None:
                child.parent = parent
            self._replace_child(parent, node, child)
        else:
            successor = _leftmost(node.right)
            child = successor.right
            parent = successor.parent
            assert parent is not None  # `node`, or one below it
            removed_red = successor.red
            if child is not None:
                child.parent = parent
            if parent is node:
                parent = successor
                node.right = child
            else:
                parent.left = child
            successor.parent = node.parent
            successor.red = node.red
            successor.left = node.left
            successor.right = node.right
            self._replace_child(node.parent, node, successor)
            node.left.parent = successor
            if node.right is not None:
                node.right.parent = successor
        if not removed_red:
            self._erase_color(child, parent)

    def check(self) -> int:
        """Recount the tree; AssertionError where it is no red-black tree. Returns the number of nodes."""
        assert self.root is None or (self.root.parent is None and not self.root.red)
        return self._check(self.root)[0]

    def _erase_color(self, node: RbNode | None, parent: RbNode | None) -> None:
        """Balance after a black node left `parent`, where `node` (or nothing) stands now."""
        while node is not self.root and (node is None or not node.red):
            assert parent is not None
            on_left = node is parent.left
            other = parent.right if on_left else parent.left
            assert other is not None  # the paths through `node` are one black node too short
            if other.red:
                other.red = False
                parent.red = True
                self._rotate(parent, left=on_left)
                other = parent.right if on_left else parent.left
                assert other is not None
            near, far = (other.left, other.right) if on_left else (other.right, other.left)
            if not _is_red(near) and not _is_red(far):
                other.red = True
                node = parent
                parent = node.parent
                continue
            if not _is_red(far):
                assert near is not None
                near.red = False
                other.red = True
                self._rotate(other, left=not on_left)
                far, other = other, near
            other.red = parent.red
            parent.red = False
            if far is not None:
                far.red = False
            self._rotate(parent, left=on_left)
            node = self.root
        if node is not None:
            node.red = False

    def _rotate(self, node: RbNode, *, left: bool) -> None:
        """Put a child of `node` in its place, and `node` under it: the right child to rotate left, or the other."""
        parent = node.parent
        child = node.right if left else node.left
        assert child is not None
        if left:
            moved = child.left
            node.right = moved
            child.left = node
        else:
            moved = child.right
            node.left = moved
            child.right = node
        if moved is not None:
            moved.parent = node
        child.parent = parent
        self._replace_child(parent, node, child)
        node.parent = child

    def _replace_child(self, parent: RbNode | None, old: RbNode, new: RbNode | None) -> None:
        if parent is None:
            self.root = new
        elif parent.left is old:
            parent.left = new
        else:
            parent.right = new

    def _check(self, node: RbNode | None) -> tuple[int, int]:
        """Nodes, and black nodes on each way down, below and with `node`."""
        if node is None:
            return 0, 0
        assert node.left is None or node.left.parent is node
        assert node.right is None or node.right.parent is node
        assert not node.red or not (_is_red(node.left) or _is_red(node.right))
        left_nodes, left_blacks = self._check(node.left)
        right_nodes, right_blacks = self._check(node.right)
        assert left_blacks == right_blacks
        return left_nodes + 1 + right_nodes, left_blacks + (not node.red)


def _is_red(node: RbNode | None) -> bool:
    return node is not None and node.red


def _leftmost(node: RbNode) -> RbNode:
    while node.left is not None:
        node = node.left
    return node

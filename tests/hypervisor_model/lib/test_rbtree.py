# SPDX-License-Identifier: GPL-2.0-only
"""The tree keeps order and balance, against a sorted list, and has the shape that Xen's C gave for the same steps."""

from __future__ import annotations

import bisect
import random
import zlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hypervisor_model.lib.rbtree import RbNode, RbTree


class Keyed(RbNode):
    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        super().__init__()
        self.key = key


def insert(tree: RbTree, node: Keyed) -> None:
    """As a caller does it: find the place, hang the node there, balance."""
    parent, here, left = None, tree.root, False
    while here is not None:
        assert isinstance(here, Keyed)
        parent, left = here, node.key < here.key
        here = here.left if left else here.right
    tree.link(node, parent, left)
    tree.insert_color(node)


def shape(node: RbNode | None) -> str:
    """A tree as text: (left key right), a red node's key starred."""
    if node is None:
        return "-"
    assert isinstance(node, Keyed)
    return f"({shape(node.left)} {node.key}{'*' if node.red else ''} {shape(node.right)})"


class SortedList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = RbTree()
        self.nodes: list[Keyed] = []

    @rule(key=st.integers(0, 60))
    def add(self, key: int) -> None:
        node = Keyed(key)
        insert(self.tree, node)
        bisect.insort_right(self.nodes, node, key=lambda other: other.key)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.tree.erase(self.nodes.pop(data.draw(st.integers(0, len(self.nodes) - 1))))

    @invariant()
    def in_order_and_balanced(self) -> None:
        assert self.tree.check() == len(self.nodes)
        assert list(self.tree) == self.nodes


TestSortedList = SortedList.TestCase


def test_shapes_of_a_small_tree() -> None:
    tree = RbTree()
    nodes = [Keyed(key) for key in range(8)]
    for node in nodes:
        insert(tree, node)
    assert shape(tree.root) == "(((- 0 -) 1* (- 2 -)) 3 ((- 4 -) 5* (- 6 (- 7* -))))"
    tree.erase(nodes[3])
    assert shape(tree.root) == "(((- 0 -) 1* (- 2 -)) 4 ((- 5 -) 6* (- 7 -)))"


@pytest.mark.parametrize(("seed", "crc"), [(1, 1224114769), (2, 3279029649), (3, 3838482622)])
def test_shape_is_that_of_the_c_after_every_step(seed: int, crc: int) -> None:
    rng = random.Random(seed)
    tree, live = RbTree(), dict[int, Keyed]()
    seen = 0
    for _ in range(1500):
        key = int(rng.random() * 150)
        if key in live:
            tree.erase(live.pop(key))
        else:
            live[key] = Keyed(key)
            insert(tree, live[key])
        seen = zlib.crc32(shape(tree.root).encode(), seen)
    assert seen == crc

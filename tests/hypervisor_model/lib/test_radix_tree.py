# SPDX-License-Identifier: GPL-2.0-only
"""The radix tree against a dict, its nodes against a count from the set of indexes, and memory that runs out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hypervisor_model.lib.radix_tree import RadixNode, RadixTree

# Both sides of each level's edge.
indexes = st.sampled_from(
    [0, 1, 63, 64, 65, 4095, 4096, 262143, 262144, 1 << 24, (1 << 30) - 1, 1 << 30, (1 << 32) - 1]
)


class Nodes:
    """Counts nodes and may run out of them."""

    def __init__(self) -> None:
        self.nodes = 0
        self.left = 1 << 30
        self.freed_order: list[int] = []

    def node_alloc(self) -> RadixNode[str] | None:
        if not self.left:
            return None
        self.left -= 1
        self.nodes += 1
        return RadixNode()

    def node_free(self, node: RadixNode[str]) -> None:
        self.nodes -= 1
        self.freed_order.append(node.height)


def nodes_needed(held: set[int]) -> int:
    """Nodes of a tree that was never short of memory: none for index 0 alone, else the prefixes at each level."""
    if not held or held == {0}:
        return 0
    height = 1
    while max(held) >> 6 * height:
        height += 1
    return sum(len({index >> 6 * level for index in held}) for level in range(1, height + 1))


class TreeAgrees(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.source = Nodes()
        self.tree: RadixTree[str] = RadixTree(self.source)
        self.held: dict[int, str] = {}

    @rule(index=indexes)
    def insert(self, index: int) -> None:
        if index not in self.held:
            assert self.tree.insert(index, str(index))
            self.held[index] = str(index)

    @rule(index=indexes)
    def delete(self, index: int) -> None:
        assert self.tree.delete(index) == self.held.pop(index, None)

    @rule(index=indexes)
    def lookup(self, index: int) -> None:
        assert self.tree.lookup(index) == self.held.get(index)

    @rule()
    def destroy(self) -> None:
        met: list[str] = []
        self.tree.destroy(met.append)
        assert met == [self.held[index] for index in sorted(self.held)]
        self.held.clear()
        assert self.tree.empty

    @invariant()
    def nodes_are_those_needed(self) -> None:
        assert self.tree.check() == self.source.nodes == nodes_needed(set(self.held))
        assert dict(self.tree.items()) == self.held
        assert self.tree.has_more_than(0) == bool(self.held)
        assert self.tree.has_more_than(1) == (len(self.held) > 1)


TestTreeAgrees = TreeAgrees.TestCase
TestTreeAgrees.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class ShortOfMemory(RuleBasedStateMachine):
    """Failed insertions leave stumps; what is held stays reachable, and destruction frees every node."""

    @initialize()
    def boot(self) -> None:
        self.source = Nodes()
        self.tree: RadixTree[str] = RadixTree(self.source)
        self.held: set[int] = set()

    @rule(index=indexes, nodes=st.integers(0, 7))
    def insert(self, index: int, nodes: int) -> None:
        if index in self.held:
            return
        self.source.left = nodes
        if self.tree.insert(index, "x"):
            self.held.add(index)
        else:
            assert self.source.left == 0

    @rule(index=indexes)
    def delete(self, index: int) -> None:
        found = self.tree.delete(index)
        assert (found is not None) == (index in self.held)
        self.held.discard(index)

    @invariant()
    def all_is_found(self) -> None:
        assert self.tree.check() == self.source.nodes >= nodes_needed(self.held)
        assert {index for index, _ in self.tree.items()} == self.held

    def teardown(self) -> None:
        if hasattr(self, "tree"):
            self.tree.destroy(lambda item: None)
            assert self.source.nodes == 0


TestShortOfMemory = ShortOfMemory.TestCase
TestShortOfMemory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_index_zero_alone_has_no_node_and_two_pages_have_one() -> None:
    source = Nodes()
    tree: RadixTree[str] = RadixTree(source)
    assert tree.insert(0, "a")
    assert source.nodes == 0
    assert tree.insert(1, "b")
    assert source.nodes == 1
    assert tree.delete(1) == "b"
    assert (source.nodes, tree.single) == (0, "a")


def test_a_stump_keeps_its_height_after_the_page_that_raised_it_was_refused() -> None:
    source = Nodes()
    tree: RadixTree[str] = RadixTree(source)
    source.left = 0
    assert not tree.insert(4096, "x")
    assert (tree.height, tree.root) == (3, None)
    source.left = 10
    assert tree.insert(0, "y")
    assert (
        source.nodes == 3
    )  # as high as the refused page would have needed, although index 0 alone needs none


@given(st.sets(st.integers(0, (1 << 32) - 1), max_size=40))
@settings(max_examples=40)
def test_destruction_frees_children_before_their_parents(held: set[int]) -> None:
    source = Nodes()
    tree: RadixTree[str] = RadixTree(source)
    for index in held:
        assert tree.insert(index, "x")
    nodes = source.nodes
    tree.destroy(lambda item: None)
    assert (source.nodes, len(source.freed_order)) == (0, nodes)
    if nodes:
        assert source.freed_order[0] == 1
        assert source.freed_order[-1] == max(source.freed_order)

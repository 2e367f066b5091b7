# SPDX-License-Identifier: GPL-2.0-only
"""The inode cache: what is pruned, and when."""

from hypervisor_model.guests.inodes import InodeCache


def test_without_a_limit_nothing_is_pruned() -> None:
    inodes = InodeCache(0, 1)
    assert [inodes.open(first, 3) for first in range(100)] == [None] * 100


def test_beyond_the_limit_each_new_file_prunes_one_that_is_remembered() -> None:
    inodes = InodeCache(4, 1)
    remembered = {first: first + 1 for first in range(4)}
    assert [inodes.open(first, first + 1) for first in range(4)] == [None] * 4
    for first in range(4, 50):
        pruned = inodes.open(first, first + 1)
        assert pruned is not None
        assert remembered.pop(pruned[0]) == pruned[1]
        remembered[first] = first + 1
        assert inodes.open(first, first + 1) is None


def test_chance_finds_some_that_were_used_last_and_spares_some_old_ones() -> None:
    inodes = InodeCache(8, 1)
    for first in range(8):
        inodes.open(first, 1)
    pruned = [inodes.open(first, 1) for first in range(8, 24)]
    assert [found[0] for found in pruned if found] != list(range(16))


def test_a_removed_file_costs_nobody_its_pages() -> None:
    inodes = InodeCache(1, 1)
    inodes.open(7, 3)
    inodes.remove(7)
    assert inodes.open(8, 2) is None
    assert inodes.open(9, 1) == (8, 2)

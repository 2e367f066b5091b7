# SPDX-License-Identifier: GPL-2.0-only
"""Counts of writes, against a dict."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.guests.handle import INDEX_MASK, file_key
from hypervisor_model.guests.versions import Versions

FIRST = file_key(1, 2) + 50
KEYS = st.integers(FIRST, FIRST + 200)
ACTS = st.lists(st.tuples(st.booleans(), KEYS, st.integers(0, 150)), max_size=60)


@given(ACTS)
def test_the_counts_are_those_of_a_dict(acts: list[tuple[bool, int, int]]) -> None:
    versions, known = Versions(), Counter[int]()
    for write, key, length in acts:
        if write:
            versions.wrote(key)
            known[key] += 1
        else:
            versions.forget(key, length)
            for gone in range(key, key + length):
                del known[gone]
    assert {key: versions.of(key) for key in range(FIRST - 100, FIRST + 500)} == {
        key: known[key] for key in range(FIRST - 100, FIRST + 500)
    }


def test_files_apart_are_told_apart_and_forgetting_all_leaves_nothing() -> None:
    versions = Versions()
    keys = [file_key(0, inode) + index for inode in (1, 2) for index in (0, 63, 64, INDEX_MASK)]
    for count, key in enumerate(keys):
        for _ in range(count + 1):
            versions.wrote(key)
    assert [versions.of(key) for key in keys] == list(range(1, 9))
    for key in keys:
        versions.forget(key, 1)
    assert [versions.of(key) for key in keys] == [0] * 8
    assert versions._blocks == {}

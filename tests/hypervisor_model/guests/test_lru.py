# SPDX-License-Identifier: GPL-2.0-only
"""Orders of eviction: which page goes first, and that every resident page is in one list."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hypervisor_model.guests.handle import ANON, EXECUTABLE, anon_key, file_key
from hypervisor_model.guests.lru import DIRTY, WAS_ACTIVE, OneList, TwoLists

FILE, TEXT, HEAP = file_key(0, 3), file_key(0, 3) | EXECUTABLE, anon_key(1)


def filled(files: int, anon: int, *, swappiness: int = 60, least_files: int = 0) -> TwoLists:
    lists = TwoLists(swappiness, least_files)
    for number in range(files):
        lists.add(FILE + number, 0)
    for number in range(anon):
        lists.add(HEAP + number, DIRTY)
    return lists


def anon_victims(lists: TwoLists, count: int) -> int:
    return sum(lists.pop_victim()[0] >= ANON for _ in range(count))


def use_twice(lists: TwoLists, *keys: int) -> None:
    for key in keys:
        lists.touch(key)
        lists.touch(key)


def test_nothing_anonymous_goes_while_most_file_pages_were_used_once() -> None:
    lists = filled(60, 40)
    use_twice(lists, *range(FILE, FILE + 20))
    assert anon_victims(lists, 20) == 0
    assert all(FILE + number in lists.pages for number in range(20))


def test_with_the_file_cache_at_its_least_anonymous_pages_go() -> None:
    assert anon_victims(filled(10, 40, least_files=10), 5) == 5
    assert anon_victims(filled(10, 40, least_files=9), 1) == 0


def test_before_linux_3_8_anonymous_pages_go_while_most_files_are_inactive() -> None:
    for files_first, anon in ((True, 0), (False, 1)):
        lists = TwoLists(files_first=files_first)
        for number in range(40):
            lists.add(file_key(0, 7) + number, 0)
            lists.add(anon_key(1) + number, 0)  # from swap, and not used since
        gone = [lists.pop_victim()[0] >= ANON for _ in range(20)]
        assert any(gone) == bool(anon)


def test_with_active_files_in_the_majority_both_kinds_go() -> None:
    lists = filled(50, 50)
    use_twice(lists, *range(FILE, FILE + 50))
    assert 0 < anon_victims(lists, 40) < 40


@pytest.mark.parametrize("low", [0, 20])
def test_swappiness_decides_between_them(low: int) -> None:
    shares = []
    for swappiness in (low, 100):
        lists = filled(400, 400, swappiness=swappiness)
        use_twice(lists, *range(FILE, FILE + 400))
        shares.append(anon_victims(lists, 80))
    assert shares[0] < shares[1]


def test_a_heap_in_use_sends_the_pressure_to_the_files() -> None:
    shares = []
    for in_use in (False, True):
        lists = filled(300, 600)
        use_twice(lists, *range(FILE, FILE + 300))
        gone = 0
        for _ in range(120):
            if in_use:
                for key in [key for key in lists.pages if key >= ANON]:
                    lists.touch(key)
            gone += anon_victims(lists, 1)
        shares.append(gone)
    assert shares[1] < shares[0]


def test_an_anonymous_page_used_since_gets_a_second_chance() -> None:
    lists = filled(0, 8)
    first, _ = lists.pop_victim()  # some are inactive now
    lists.touch(HEAP + 1)
    second, _ = lists.pop_victim()
    assert (first, second) == (HEAP, HEAP + 2)


def test_a_file_page_used_twice_is_marked_for_good() -> None:
    lists = filled(10, 0)
    use_twice(lists, *range(FILE, FILE + 8))
    flags = dict(lists.pop_victim() for _ in range(10))
    assert [flags[FILE + number] for number in range(10)] == [WAS_ACTIVE] * 8 + [0, 0]


def test_a_page_that_was_asked_for_is_promoted_by_its_next_use_and_one_read_ahead_by_the_one_after() -> None:
    lists = filled(12, 0)
    lists.demanded(FILE)
    for key in (FILE, FILE + 1):
        lists.touch(key)
    flags = dict(lists.pop_victim() for _ in range(12))
    assert [flags[FILE + number] for number in range(3)] == [WAS_ACTIVE, 0, 0]


def test_a_page_that_cools_off_is_promoted_again_by_one_use() -> None:
    lists = filled(8, 0)
    use_twice(lists, *range(FILE, FILE + 8))
    lists.touch(FILE)
    lists.touch(FILE + 1)
    assert lists.pop_victim()[0] == FILE  # half of them cool off, and it is the first
    lists.touch(FILE + 1)  # was used while it was active
    lists.touch(FILE + 2)  # was not
    assert [lists.pop_victim()[0] for _ in range(2)] == [FILE + 2, FILE + 3]


def test_a_page_of_an_executable_that_is_in_use_outlives_files_used_as_often() -> None:
    lists = TwoLists()
    for number in range(10):
        lists.add(TEXT + number, 0)
        lists.add(FILE + number, 0)
    for _ in range(200):
        for number in range(10):
            lists.touch(TEXT + number)
            if FILE + number in lists.pages:
                lists.touch(FILE + number)
        lists.pop_victim()
        lists.add(FILE + 1_000 + _, 0)
    assert all(TEXT + number in lists.pages for number in range(10))


def test_a_page_of_an_executable_that_nobody_runs_any_more_goes() -> None:
    lists = TwoLists()
    for number in range(10):
        lists.add(TEXT + number, 0)
        lists.demanded(TEXT + number)
    gone = {lists.pop_victim()[0] for _ in range(5)}  # each had its second chance
    lists.touch(TEXT + 9)
    gone |= {lists.pop_victim()[0] for _ in range(4)}
    assert gone == set(range(TEXT, TEXT + 9))


def test_where_all_that_is_run_is_in_use_the_heap_bears_the_pressure() -> None:
    lists = filled(0, 600)
    for number in range(300):
        lists.add(TEXT + number, 0)
    gone = 0
    for _ in range(100):
        for number in range(300):
            if TEXT + number in lists.pages:
                lists.touch(TEXT + number)
        gone += anon_victims(lists, 1)
    assert gone > 90


@pytest.mark.parametrize("lists", [OneList(), TwoLists()])
def test_an_empty_memory_has_no_victim(lists: OneList | TwoLists) -> None:
    with pytest.raises(KeyError):
        lists.pop_victim()


class Lists(RuleBasedStateMachine):
    """Any mix of calls against a plain dict of what is resident."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = TwoLists(least_files=2)
        self.resident: dict[int, int] = {}
        self.rng = random.Random(1)

    @rule(
        number=st.integers(0, 20),
        kind=st.sampled_from([FILE, TEXT, HEAP]),
        flags=st.sampled_from([0, DIRTY]),
        demanded=st.booleans(),
    )
    def add_or_touch(self, number: int, kind: int, flags: int, demanded: bool) -> None:
        key = kind + number
        if key in self.resident:
            self.lists.touch(key)
        else:
            self.lists.add(key, flags)
            self.resident[key] = flags
            if demanded:
                self.lists.demanded(key)

    @precondition(lambda self: self.resident)
    @rule()
    def evict(self) -> None:
        key, flags = self.lists.pop_victim()
        assert self.resident.pop(key) == flags & ~WAS_ACTIVE

    @rule(number=st.integers(0, 20), kind=st.sampled_from([FILE, TEXT, HEAP]))
    def discard(self, number: int, kind: int) -> None:
        key = kind + number
        found = self.lists.discard(key)
        assert (found is None) == (self.resident.pop(key, None) is None)

    @invariant()
    def agree(self) -> None:
        assert self.lists.pages.keys() == self.resident.keys()

    def teardown(self) -> None:
        while self.resident:
            self.evict()
        with pytest.raises(KeyError):
            self.lists.pop_victim()


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=60, stateful_step_count=60)

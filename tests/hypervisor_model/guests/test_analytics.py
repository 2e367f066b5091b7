# SPDX-License-Identifier: GPL-2.0-only
"""Analytics in memory: what it writes once, what again, and that it goes."""

from collections import Counter

import pytest

from hypervisor_model.guests.handle import anon_key
from hypervisor_model.guests.work import Action, Commit, Release, Sleep, Touch
from hypervisor_model.guests.workloads.analytics import Analytics


def units(program: Analytics) -> list[list[Action]]:
    found = []
    while actions := program.unit():
        found.append(actions)
    return found


@pytest.mark.parametrize(("pages", "live"), [(1000, 400), (30, 7), (64, 0), (64, 64)])
def test_all_is_written_once_and_the_live_part_in_every_round(pages: int, live: int) -> None:
    loading, *rounds, end = units(Analytics(region=2, pages=pages, live=live, rounds=3, delay_ns=5))
    assert loading[:2] == [Sleep(5), Commit(pages)]
    first = anon_key(2)
    written = [key for action in loading if isinstance(action, Touch) for key in action.keys]
    assert Counter(written) == Counter(range(first, first + pages))
    assert len(rounds) == 3
    for [action] in rounds:
        assert isinstance(action, Touch)
        assert list(action.keys) == list(range(first + pages - live, first + pages))
    assert end == [Release(first, pages)]


def test_dead_and_live_pages_come_side_by_side() -> None:
    loading = Analytics(region=1, pages=1000, live=500, rounds=1).unit()
    written = [key - anon_key(1) for action in loading if isinstance(action, Touch) for key in action.keys]
    for half in (written[:500], written[500:]):
        assert sum(key >= 500 for key in half) == 250


def test_more_cannot_live_than_there_is() -> None:
    with pytest.raises(ValueError, match="12 live pages in a heap of 10"):
        Analytics(region=1, pages=10, live=12, rounds=1)

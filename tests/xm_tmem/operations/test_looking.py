# SPDX-License-Identifier: GPL-2.0-only
"""When a host is looked at again: intervals, events, a domain that is not ready yet, and a teller that is lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from xm_tmem.errors import Disconnected
from xm_tmem.operations.looking import looks


class Events:
    """Answers as told; at their end the connection is lost."""

    def __init__(self, answers: Sequence[bool]) -> None:
        self.answers, self.waited, self.closed = list(answers), [], 0  # type: list[bool], list[float], int

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.answers:
            raise Disconnected("gone")
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed += 1


def test_without_events_there_is_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    looking = looks(5, None, lambda error: None)
    for _ in range(3):
        next(looking)
    assert slept == [5, 5]


def test_after_a_start_looks_follow_soon_and_then_less_often() -> None:
    events = Events([False, True, False, False, False, True, False])
    looking = looks(6, events, lambda error: None)
    for _ in range(8):
        next(looking)
    assert events.waited == [6, 6, 1, 2, 4, 6, 1]
    looking.close()
    assert events.closed == 1


def test_a_short_interval_is_not_made_longer() -> None:
    events = Events([True, False])
    looking = looks(0.5, events, lambda error: None)
    for _ in range(3):
        next(looking)
    assert events.waited == [0.5, 0.5]


def test_a_lost_connection_is_told_once_and_the_interval_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    told: list[Disconnected] = []
    events = Events([True])
    looking = looks(5, events, told.append)
    for _ in range(5):
        next(looking)
    assert [str(error) for error in told] == ["gone"]
    assert (events.closed, events.waited, slept) == (1, [5, 1], [5, 5])

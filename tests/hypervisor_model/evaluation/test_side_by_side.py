# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios in processes of their own: what comes back, and that none stays behind."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hypervisor_model.evaluation import Result, run
from hypervisor_model.evaluation.side_by_side import side_by_side


@dataclass
class Case:
    name: str
    run: Callable[[], list[Result]]


def result(text: str) -> Result:
    return Result(text, "", "", "", str(os.getpid()), "PASS")


class Heard:
    """What began and ended, and how many ran at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.results: dict[str, list[Result]] = {}
        self.most = 0

    def begins(self, case: Case) -> None:
        self.begun.append(case.name)
        self.most = max(self.most, len(self.begun) - len(self.results))

    def ends(self, case: Case, results: list[Result]) -> None:
        self.results[case.name] = results


def sleeper() -> list[Result]:
    time.sleep(60)
    return []


def faulty() -> list[Result]:
    raise ValueError("out of tokens")


def killed() -> list[Result]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_each_runs_once_and_no_more_than_so_many_at_a_time(jobs: int) -> None:
    heard = Heard()
    cases = [Case(name, lambda name=name: [result(name)]) for name in "abcdefg"]  # type: ignore[misc]
    side_by_side(cases, jobs, heard.begins, heard.ends)
    assert heard.begun == list("abcdefg")
    assert {name: found[0].scenario for name, found in heard.results.items()} == {
        name: name for name in "abcdefg"
    }
    assert 1 <= heard.most <= jobs
    assert len({found[0].measured for found in heard.results.values()} | {str(os.getpid())}) == 8


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (faulty, ValueError, "out of tokens"),
        (killed, RuntimeError, "bad ended without a result, with status -9"),
    ],
)
def test_a_scenario_that_fails_ends_all(
    fault: Callable[[], list[Result]], error: type[Exception], words: str
) -> None:
    heard = Heard()
    with pytest.raises(error, match=words):
        side_by_side([Case("long", sleeper), Case("bad", fault)], 2, heard.begins, heard.ends)
    assert multiprocessing.active_children() == []


def test_an_interrupt_ends_all() -> None:
    def interrupt(case: Case) -> None:
        if case.name == "second":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side([Case("first", sleeper), Case("second", sleeper)], 2, interrupt, Heard().ends)
    assert multiprocessing.active_children() == []


def test_a_suite_comes_out_the_same_whatever_the_jobs() -> None:
    told: list[str] = []
    alone = run("exact")
    together = run("exact", lambda case, found: told.append(case.name) if found else None, jobs=3)
    assert together == alone
    assert sorted(told) == sorted(one.scenario for one in alone)

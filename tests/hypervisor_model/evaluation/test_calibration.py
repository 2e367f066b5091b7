# SPDX-License-Identifier: GPL-2.0-only
"""The search for free parameters: it stays within its bounds, and never looks at a row that is judged."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.evaluation import calibration, kernel_compile
from hypervisor_model.evaluation.calibration import HOPELESS, PROBLEMS, changed, measure, search
from hypervisor_model.evaluation.one_machine import Machine, Run

R5 = PROBLEMS["R5"]
JUDGED = {"R5": {36}}


class AsPublished:
    """Stands in for mean_build: what the published table says, times `slower` without a back end."""

    def __init__(self, slower: float = 1.0) -> None:
        self.slower = slower
        self.asked: set[int] = set()

    def __call__(self, machine: Machine, jobs: int, seeds: Sequence[int]) -> Run:
        self.asked.add(jobs)
        row = kernel_compile.PUBLISHED_CLEANCACHE[jobs]
        first = kernel_compile.PUBLISHED_CLEANCACHE[8].seconds
        seconds = machine.cpu_seconds * row.seconds / first
        if machine.ephemeral_percent:
            return Run(seconds * (1 - row.gain / 100), row.served, 0, 0)
        return Run(seconds * (self.slower if jobs > 8 else 1), 0, 0, 0)


@given(st.integers(0, 1000), st.floats(0.001, 5))
def test_no_setting_leaves_the_bounds(seed: int, spread: float) -> None:
    rng = random.Random(seed)
    near = R5.start
    for _ in range(5):
        assert near.keys() == R5.free.keys()
        assert all(low * 0.999 <= near[name] <= high * 1.001 for name, (low, high) in R5.free.items())
        near = changed(R5, near, rng, spread)


def test_a_setting_is_what_its_printed_digits_say() -> None:
    near = changed(R5, R5.start, random.Random(1), 0.2)
    assert near != R5.start
    assert all(float(f"{value:.5g}") == value for value in near.values())


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_judged_rows_are_never_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = AsPublished()
    monkeypatch.setattr(calibration, "mean_build", published)
    problem = PROBLEMS[name]
    assert measure(problem, problem.start, (1, 2)) == pytest.approx(0, abs=1e-3)
    assert published.asked == set(problem.rows)
    assert not published.asked & JUDGED[name]


def test_a_setting_far_too_slow_is_given_up_before_the_rest_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = AsPublished(slower=3)
    monkeypatch.setattr(calibration, "mean_build", published)
    assert measure(R5, R5.start, (1, 2)) == HOPELESS


def test_a_worse_setting_has_a_larger_error(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for slower in (1, 1.05, 1.2):
        monkeypatch.setattr(calibration, "mean_build", AsPublished(slower))
        errors.append(measure(R5, R5.start, (1,)))
    assert errors == sorted(errors)
    assert errors[0] < errors[1] < errors[2]


def test_the_same_search_finds_the_same_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in {"KEPT": 2, "GENERATIONS": 3, "CHANGED": 2}.items():
        monkeypatch.setattr(calibration, constant, value)
    monkeypatch.setattr(calibration, "mean_build", AsPublished())
    lines: list[str] = []
    first = search("R5", jobs=1, progress=lines.append)
    assert first == search("R5", jobs=1, progress=lambda line: None)
    assert len(lines) == 3


def test_the_setting_in_use_is_within_the_bounds() -> None:
    shape = kernel_compile.CLEANCACHE.shape
    assert all(low <= getattr(shape, name) <= high for name, (low, high) in R5.free.items())

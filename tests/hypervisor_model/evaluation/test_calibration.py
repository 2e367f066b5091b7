# SPDX-License-Identifier: GPL-2.0-only
"""The search for free parameters: it stays within its bounds, and never looks at a row that is judged."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.evaluation import calibration, kernel_compile
from hypervisor_model.evaluation.calibration import PROBLEMS, Effort, Row, anywhere, changed, measure, search
from hypervisor_model.evaluation.kernel_compile import (
    PUBLISHED_CLEANCACHE,
    PUBLISHED_FRONTSWAP,
    PUBLISHED_ZCACHE,
)
from hypervisor_model.evaluation.one_machine import Machine, Run, without

# Of every row of a table, whether it may be used to find parameters (the rows).
STATED = {
    "R4": {("zcache", 4), ("zcache", 12), ("zcache", 20)},
    "R5": {("cleancache", 8), ("cleancache", 24)},
    "R6-1GB": {("1 GB", 8), ("1 GB", 16)},
    "R6-512MB": {("512 MB", 8), ("512 MB", 16)},
}


class AsPublished:
    """Stands in for mean_build: what the published tables say, times `slower` beyond 8 jobs without a back end."""

    def __init__(self, name: str, slower: float = 1.0) -> None:
        self.name, self.slower = name, slower
        self.asked: set[Row] = set()

    def __call__(self, machine: Machine, jobs: int, seeds: Sequence[int]) -> Run:
        has_backend = machine != without(machine)
        slower = 1 if has_backend or jobs == 8 else self.slower
        if self.name == "R5":
            self.asked.add(("cleancache", jobs))
            row = PUBLISHED_CLEANCACHE[jobs]
            if has_backend:
                return Run(row.seconds * (1 - row.gain / 100), row.served, 0, 0)
            return Run(row.seconds * slower, 0, 0, 0)
        if self.name == "R4":
            self.asked.add(("zcache", jobs))
            seconds, percent, _ = PUBLISHED_ZCACHE[jobs]
            return Run(seconds / (1 + percent / 100) if has_backend else seconds * slower, 0, 0, 0)
        table = "1 GB" if machine.ram_mb == 1024 else "512 MB"
        self.asked.add((table, jobs))
        left = 1 + PUBLISHED_FRONTSWAP[table][jobs] / 100
        return Run(1, 0, 1e6 * (left if has_backend else slower), 0)


@pytest.mark.parametrize("name", PROBLEMS)
@given(seed=st.integers(0, 1000), spread=st.floats(0.001, 5))
def test_no_setting_leaves_the_bounds(name: str, seed: int, spread: float) -> None:
    problem = PROBLEMS[name]
    rng = random.Random(seed)
    near = anywhere(problem, rng)
    for _ in range(5):
        assert near.keys() == problem.free.keys()
        assert all(low * 0.999 <= near[key] <= high * 1.001 for key, (low, high) in problem.free.items())
        near = changed(problem, near, rng, spread)


def test_a_setting_is_what_its_printed_digits_say() -> None:
    problem = PROBLEMS["R5"]
    near = changed(problem, problem.start, random.Random(1), 0.2)
    assert near != problem.start
    assert all(float(f"{value:.4g}") == value for value in near.values())
    assert all(type(value) is type(problem.start[name]) for name, value in near.items())


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_setting_in_use_is_where_the_search_begins(name: str) -> None:
    problem = PROBLEMS[name]
    for machine in problem.machines:
        assert problem.machine(machine, problem.start) == problem.machines[machine]


def test_a_setting_is_put_where_it_belongs() -> None:
    machine = PROBLEMS["R4"].machine("zcache", {"heap_pages": 9_000, "seek_us": 10_000})
    assert (machine.shape.heap_pages, machine.seek_us) == (9_000, 10_000)
    assert machine.shape.headers == kernel_compile.ZCACHE.shape.headers


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_judged_rows_are_never_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published = AsPublished(name)
    monkeypatch.setattr(calibration, "mean_build", published)
    problem = PROBLEMS[name]
    assert measure(problem, problem.start, (1, 2)) == pytest.approx(0, abs=0.3)
    assert published.asked == STATED[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_worse_setting_has_a_larger_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for slower in (1, 1.05, 1.2):
        monkeypatch.setattr(calibration, "mean_build", AsPublished(name, slower))
        errors.append(measure(PROBLEMS[name], PROBLEMS[name].start, (1,)))
    assert errors[0] < errors[1] < errors[2]


def test_a_poor_setting_is_not_tried_with_more_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Sequence[int]] = []

    class Counted(AsPublished):
        def __call__(self, machine: Machine, jobs: int, seeds: Sequence[int]) -> Run:
            tried.append(seeds)
            return super().__call__(machine, jobs, seeds)

    for slower, most in ((1.0, 2), (9.0, 1)):
        tried.clear()
        monkeypatch.setattr(calibration, "mean_build", Counted("R5", slower))
        measure(PROBLEMS["R5"], PROBLEMS["R5"].start, (1, 2))
        assert max(map(len, tried)) == most


@pytest.mark.parametrize("explored", [0, 4])
def test_the_same_search_finds_the_same_setting(explored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Effort(explored=explored, generations=3, changed=2, spread=0.1, poor=60)
    monkeypatch.setitem(PROBLEMS, "R5", replace(PROBLEMS["R5"], effort=small))
    monkeypatch.setattr(calibration, "mean_build", AsPublished("R5"))
    lines: list[str] = []
    first = search("R5", jobs=1, progress=lines.append)
    assert first == search("R5", jobs=1, progress=lambda line: None)
    assert len(lines) == 3
    assert (first[1] == PROBLEMS["R5"].start) == (explored == 0)


def test_the_settings_in_use_are_within_the_bounds() -> None:
    for problem in PROBLEMS.values():
        assert all(low <= problem.start[name] <= high for name, (low, high) in problem.free.items())

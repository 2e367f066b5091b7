# SPDX-License-Identifier: GPL-2.0-only
"""Every combination is run once, as if it had been written in a file of its own."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.scenario.compare import differences
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot
from hypervisor_model.scenario.sweep import (
    combinations,
    load_varied,
    parse_axis,
    results_in,
    run_all,
    run_point,
    workers,
)

TEXT = """
host: {memory: 24MiB}
guests:
  - {name: a, workload: &work {kind: random, working_set: 4MiB, operations: 600, rate: 900}}
  - {name: b, workload: *work}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "scenario.yaml"
    file.write_text(TEXT)
    return str(file)


def test_axes_and_their_combinations() -> None:
    axes = [parse_axis("seed=1, 2"), parse_axis("weight.a=5")]
    assert axes == [("seed", ["1", "2"]), ("weight.a", ["5"])]
    assert combinations(axes) == [{"seed": "1", "weight.a": "5"}, {"seed": "2", "weight.a": "5"}]


@pytest.mark.parametrize("text", ["", "seed", "seed=", "=1", "seed=1,,2", "seed=1,1"])
def test_what_varies_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"varies nothing|a value twice"):
        parse_axis(text)


def test_too_many_runs_and_keys_given_twice() -> None:
    thousand = [str(number) for number in range(1000)]
    with pytest.raises(ValueError, match="1000000 runs are more than 10000"):
        combinations([("seed", thousand), ("weight.a", thousand)])
    with pytest.raises(ValueError, match="varied twice"):
        combinations([("seed", ["1"]), ("seed", ["2"])])


def test_values_go_where_their_keys_say(path: str) -> None:
    point = {"host.memory": "32MiB", "weight.*": "9", "workload.rate.b": "77", "cap.a": "3", "duration": "1s"}
    varied = load_varied(path, point)
    assert varied.host.memory == 8192
    assert [guest.weight for guest in varied.guests] == [9, 9]
    assert [guest.spec["workload"]["rate"] for guest in varied.guests] == [900, 77], "an alias is not shared"
    assert [guest.cap for guest in varied.guests] == [3, 0]
    assert varied.duration_us == 1_000_000
    assert load_varied(path, {}) == load_file(path)


@pytest.mark.parametrize(
    ("point", "complaint"),
    [
        ({"weight.c": "1"}, "weight.c: vary host.KEY, seed, duration, or KEY.GUEST"),
        ({"a": "1"}, "a: vary host.KEY"),
        ({"wait.a": "1"}, r"scenario.yaml:4: guests\[0\].wait: no such key"),
        ({"weight.a": "heavy"}, r"scenario.yaml:4: guests\[0\].weight: must be a whole number"),
        ({"weight.a": "["}, "weight.a=.*: not YAML"),
        ({"seed.a": "1"}, "seed: must be a whole number, not a mapping|is no mapping"),
        ({"host.memory.x": "1"}, "is no mapping"),
    ],
)
def test_values_that_cannot_be(path: str, point: dict[str, str], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        load_varied(path, point)


def test_a_sweep_over_processes(path: str) -> None:
    points = combinations([parse_axis("seed=1,2"), parse_axis("weight.a=0,5")])
    with workers(2) as executor:
        results = list(run_all(path, points, executor))
    assert sorted(results, key=lambda result: points.index(result["vary"])) == [
        run_point(path, point) for point in points
    ]


def test_a_scenario_that_cannot_be_run_comes_back_as_its_error(path: str) -> None:
    error = ScenarioError("wrong", file="f", line=3, key="k")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "f:3: k: wrong"
    with pytest.raises(ScenarioError, match="never ends"):
        run_point(path, {"workload.operations.a": "null"})


class Immediately:
    """An executor that counts what is cancelled."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not self.futures:
            future.set_result(function(*arguments))
        self.futures.append(future)
        return future


def test_whoever_stops_listening_cancels_the_rest(path: str) -> None:
    executor = Immediately()
    running = run_all(path, combinations([parse_axis("seed=1,2,3")]), executor)  # type: ignore[arg-type]
    assert next(running)["vary"] == {"seed": "1"}
    running.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


def test_kept_results_survive_a_torn_last_line(path: str) -> None:
    line = json.dumps(run_point(path, {"seed": "3"}))
    found = results_in([line + "\n", '{"schema": "other"}\n', "[1]\n", line[: len(line) // 2]])
    assert [result["vary"] for result in found] == [{"seed": "3"}]


def test_comparison_of_two_runs(path: str) -> None:
    reports = []
    for point in ({}, {"workload.rate.a": "450"}):
        runner = boot(load_varied(path, point))
        runner.run()
        reports.append(json.loads(json.dumps(report(runner, complete=True))))
    found = {(each.where, each.figure): each for each in differences(*reports)}
    assert found["a", "modelled_s"].change == pytest.approx(1.0, abs=0.01)
    assert found["b", "operations"].change == 0
    assert found["a driver", "puts"].first == found["a driver", "puts"].second
    assert ("a", "name") not in found
    assert all(each.change == 0 or not each.first for each in differences(reports[0], reports[0]))
    with pytest.raises(ValueError, match="no report of a run"):
        differences(reports[0], {})
    with pytest.raises(ValueError, match="no guest in common"):
        differences(reports[0], {**reports[1], "guests": []})

# SPDX-License-Identifier: GPL-2.0-only
"""Every combination is run once, as if it had been written in a file of its own."""

from __future__ import annotations

import dataclasses
import os
import pickle
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.scenario import kept
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.sweep import (
    Original,
    combinations,
    parse_axis,
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
def original(tmp_path: Path) -> Original:
    file = tmp_path / "scenario.yaml"
    file.write_text(TEXT)
    return Original.at(str(file))


def by_identity(original: Original, *axes: str) -> dict[str, kept.Point]:
    points = combinations([parse_axis(axis) for axis in axes])
    return {original.identity(point): point for point in points}


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


def test_values_go_where_their_keys_say(original: Original) -> None:
    point = {"host.memory": "32MiB", "weight.*": "9", "workload.rate.b": "77", "cap.a": "3", "duration": "1s"}
    varied = original.varied(point)
    assert varied.host.memory == 8192
    assert [guest.weight for guest in varied.guests] == [9, 9]
    assert [guest.spec["workload"]["rate"] for guest in varied.guests] == [900, 77], "an alias is not shared"
    assert [guest.cap for guest in varied.guests] == [3, 0]
    assert varied.duration_us == 1_000_000
    assert original.varied({}) == load_file(original.file)


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
def test_values_that_cannot_be(original: Original, point: dict[str, str], complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        original.varied(point)


def test_a_sweep_over_processes(original: Original) -> None:
    points = by_identity(original, "seed=1,2", "weight.a=0,5")
    with workers(2) as executor:
        results = {result["scenario"]: result for result in run_all(original, points, executor)}
    assert results == {
        identity: kept.result(identity, point, run_point(original, point))
        for identity, point in points.items()
    }


def test_a_scenario_that_cannot_be_run_comes_back_as_its_error(original: Original) -> None:
    error = ScenarioError("wrong", file="f", line=3, key="k")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "f:3: k: wrong"
    with pytest.raises(ScenarioError, match="never ends"):
        run_point(original, {"workload.operations.a": "null"})


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


def test_whoever_stops_listening_cancels_the_rest(original: Original) -> None:
    executor = Immediately()
    running = run_all(original, by_identity(original, "seed=1,2,3"), executor)  # type: ignore[arg-type]
    assert next(running)["vary"] == {"seed": "1"}
    running.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


def test_an_identity_is_of_all_a_result_comes_from(original: Original, tmp_path: Path) -> None:
    point = {"seed": "1", "weight.a": "5"}
    identity = original.identity(point)
    assert original.identity({"weight.a": "5", "seed": "1"}) == identity, "the order of keys is nothing to it"
    assert Original.at(original.file).identity(point) == identity
    others = [
        original.identity({"seed": "2", "weight.a": "5"}),
        original.identity({"seed": "1"}),
        dataclasses.replace(original, version="2").identity(point),
        dataclasses.replace(original, raw=original.raw.replace(b"600", b"601")).identity(point),
    ]
    assert len({identity, *others}) == 5


def test_an_identity_knows_the_files_that_are_named(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for file in ("a.csv", "b.csv"):
            (tmp_path / place / file).write_text("1,1\n")
    guest = b"{name: a, kind: linux, workload: {kind: trace, file: a.csv}}"
    text = b"guests: [" + guest + b", " + guest.replace(b"a,", b"b,").replace(b"a.csv", b"b.csv") + b"]"
    here = Original("s.yaml", text, str(tmp_path / "here"), "")
    assert here.varied({}).files == (f"{tmp_path}/here/a.csv", f"{tmp_path}/here/b.csv")
    seen = {here.identity({}), dataclasses.replace(here, directory=str(tmp_path / "there")).identity({})}
    (tmp_path / "here" / "b.csv").write_text("1,1\n1,2\n")
    seen.add(here.identity({}))
    (tmp_path / "here" / "a.csv").write_text("1,22\n")
    seen.add(here.identity({}))
    os.utime(tmp_path / "here" / "a.csv", (1, 1))
    seen.add(here.identity({}))
    assert len(seen) == 5


def test_the_workers_of_a_cluster_need_not_see_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="pip install xm-tmem[dask]")
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_text(TEXT)
    original = Original.at("scenario.yaml")
    points = by_identity(original, "seed=1,2")
    Path("scenario.yaml").unlink()
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(os.chdir, "/")
        with workers(dask=cluster.scheduler_address) as executor:
            results = {result["scenario"]: result for result in run_all(original, points, executor)}
    assert results.keys() == points.keys()
    assert results[original.identity({"seed": "1"})]["report"] == run_point(original, {"seed": "1"})


def test_a_report_of_a_sweep_has_the_scenarios_description(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("description: two alike" + TEXT)
    assert run_point(Original.at(str(file)), {"seed": "1"})["description"] == "two alike"

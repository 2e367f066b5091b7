# SPDX-License-Identifier: GPL-2.0-only
"""Samples over time: as many as fit, evenly spaced, the same in every run, and without influence on it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypervisor_model.scenario.history import CAPACITY, MOST_GUESTS, History
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import SLICE_US, Runner, boot

SMALL = """
host: {{memory: 16MiB}}
guests:
  - {{name: a, workload: {{kind: zipf, working_set: 6MiB, operations: {operations}, rate: 1000}}}}
  - {{name: b, workload: {{kind: random, working_set: 4MiB, operations: 900, rate: 1000}}}}
"""
LINUX = """
host: {memory: 24MiB, exact: false, contents: tokens}
guests:
  - {name: g, kind: linux, memory: 4MiB, kernel: 1MiB, workload: {kind: scan, file: 5MiB, passes: 3}}
"""


def small(operations: int = 2000) -> Runner:
    return boot(load_text(SMALL.format(operations=operations)))


def sampled(runner: Runner) -> dict[str, Any]:
    history = History(runner)
    assert history.run(runner)
    return history.record()


def test_sampling_changes_nothing() -> None:
    watched, alone = small(), small()
    sampled(watched)
    alone.run()
    assert report(watched, complete=True) == report(alone, complete=True)
    assert watched.hypervisor.list_text(use_long=True) == alone.hypervisor.list_text(use_long=True)


def test_the_last_sample_is_the_report() -> None:
    runner = small()
    history, found = sampled(runner), report(runner, complete=True)
    assert history["time_s"][0] == 0
    assert history["time_s"][-1] == found["host"]["modelled_s"]
    assert history["host"]["free_pages"][-1] == found["host"]["free_pages"]
    assert history["host"]["tmem_idle_pages"][-1] == found["host"]["tmem_idle_pages"]
    assert history["host"]["ephemeral_pages"][-1] == found["host"]["ephemeral_pages"] > 0
    for samples, guest in zip(history["guests"], found["guests"], strict=True):
        for figure, values in samples.items():
            assert figure == "name" or values[-1] == guest[figure]


def test_a_long_run_has_as_many_samples_as_fit_at_even_distances() -> None:
    runner = small(operations=40_000)
    history = sampled(runner)
    times_s = history["time_s"]
    assert runner.time_us > 10 * CAPACITY * SLICE_US
    assert CAPACITY // 2 <= len(times_s) <= CAPACITY
    distances = {round((later - earlier) * 1e6) for earlier, later in pairwise(times_s[:-1])}
    assert len(distances) == 1
    assert all(
        len(values) == len(times_s) for values in history["guests"][0].values() if isinstance(values, list)
    )
    gets = history["guests"][0]["gets"]
    assert gets == sorted(gets)


def test_pages_that_tmem_keeps_idle_are_those_of_the_listing() -> None:
    runner = boot(load_text(LINUX))
    idle = sampled(runner)["host"]["tmem_idle_pages"]
    assert idle[-1] > 0
    assert f",Ta:{idle[-1]}," in runner.hypervisor.list_text(use_long=True)


def test_an_interrupted_run_goes_on_with_the_same_samples() -> None:
    runner = small(operations=20_000)
    history = History(runner)
    assert not history.run(runner, lambda runner: False)
    assert len(history.times_us) >= 2
    assert not runner.finished
    looks = 0

    def count(runner: Runner) -> bool:
        nonlocal looks
        looks += 1
        return True

    assert history.run(runner, count)
    assert looks > 10, "Ctrl-C is heeded at every sample"
    whole = sampled(small(operations=20_000))
    assert history.record()["guests"][0]["gets"][-1] == whole["guests"][0]["gets"][-1]


def test_disk_pages_where_the_guest_has_a_disk() -> None:
    runner = boot(load_text(LINUX))
    (guest,) = sampled(runner)["guests"]
    driver = runner.guests[0].driver.report()
    assert guest["disk_pages"][-1] == driver["file_pages_read"] == 1280
    assert guest["disk_pages_saved"][-1] == driver["cleancache_succ_gets"] == 2560
    assert "disk_pages" not in sampled(small(100))["guests"][0]


def test_memory_does_not_grow_with_guests_either() -> None:
    text = "guests: [{name: g, count: 40, memory: 1MiB, workload: {kind: random, operations: 20}}]"
    history = sampled(boot(load_text(text)))
    assert [guest["name"] for guest in history["guests"]] == [f"g-{n}" for n in range(1, MOST_GUESTS + 1)]

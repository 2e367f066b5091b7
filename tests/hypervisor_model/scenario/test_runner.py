# SPDX-License-Identifier: GPL-2.0-only
"""A run depends on its file alone: not on the machine, nor on how it is cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import DEFAULT_SCENARIO, load_file, load_text
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import Runner, RunningGuest, boot, boot_and_run
from tests.conftest import Golden

EXAMPLES = Path(__file__).parents[3] / "examples"
SMALL = """
seed: {seed}
host: {{memory: 16MiB, command_line: "{options}"}}
guests:
  - {{name: a, weight: 7, frozen: {frozen}, workload: {{kind: zipf, working_set: 6MiB, operations: 2000, rate: 3000}}}}
  - {{name: b, max_memory: 12MiB, pools: [{{persistent: true}}, {{}}], workload: {{kind: random, operations: 900}}}}
"""


def small(*, seed: int = 1, options: str = "tmem=1", frozen: bool = False) -> Runner:
    return boot(load_text(SMALL.format(seed=seed, options=options, frozen=str(frozen).lower())))


def outcome(runner: Runner) -> tuple[str, list[Mapping[str, Any]]]:
    """Everything that two runs are compared by."""
    return runner.hypervisor.list_text(use_long=True), [guest.driver.report() for guest in runner.guests]


def test_same_file_same_counters() -> None:
    first, second, other = small(), small(), small(seed=2)
    for runner in (first, second, other):
        assert runner.run()
        runner.hypervisor.check()
    assert outcome(first) == outcome(second) != outcome(other)
    assert first.operations == 2900 == first.operations_total


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 700), st.integers(0, 1_000_000)), max_size=30))
def test_a_run_may_be_cut_anywhere(pieces: list[tuple[int, int]]) -> None:
    cut, whole = small(), small()
    for budget, until_us in pieces:
        assert cut.advance(budget, until_us) <= budget
    cut.run()
    whole.run()
    assert outcome(cut) == outcome(whole)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 1_000_000)), min_size=1, max_size=10))
def test_a_position_can_be_gone_to(pieces: list[tuple[int, int]]) -> None:
    runner, follower = small(), small()
    for budget, until_us in pieces:
        runner.advance(budget, until_us)
        assert follower.go_to(*runner.position)
        assert outcome(follower) == outcome(runner)


def test_a_position_of_another_run_is_noticed() -> None:
    runner = small()
    assert not runner.go_to(10**9, None)
    assert not small().go_to(3, 0)


def test_the_demo_gives_the_same_counters_on_any_machine(golden: Golden) -> None:
    hypervisor, names = boot_and_run(str(EXAMPLES / "demo.yaml"))
    assert names == {1: "web", 2: "db", 3: "build"}
    golden("scenario/demo-listing.txt", hypervisor.list_text(use_long=True))


IDLE = """
host: {memory: 64MiB, contents: tokens}
guests: [{name: i, kind: linux, memory: 16MiB, workload: {kind: WORKLOAD}}]
"""


@pytest.mark.parametrize("workload", ["idle, seconds: null", "usemem, size: 4MiB, delay: 1h"])
def test_a_guest_that_does_nothing_is_looked_at_all_the_same(workload: str) -> None:
    runner = boot(load_text(IDLE.replace("WORKLOAD", workload)))
    looks: list[int] = []

    def look(runner: Runner) -> bool:
        looks.append(runner.time_us)
        return len(looks) < 3

    runner.run(look)
    assert 1 <= len(looks) <= 3
    assert "idle" not in workload or looks == sorted(looks)
    assert "idle" not in workload or looks[-1] <= 10_000_000


def test_a_run_stops_when_progress_says_so_and_goes_on_later() -> None:
    source = SMALL.replace("operations: 2000", "operations: 20000")
    runner = boot(load_text(source.format(seed=1, options="tmem=1", frozen="false")))
    assert not runner.run(lambda runner: False)
    assert 0 < runner.operations < 20900
    assert not report(runner, complete=False)["complete"]
    assert runner.run()
    assert runner.operations == 20900


def test_settings_are_in_force_at_boot() -> None:
    listing = small(frozen=True).hypervisor.list_text()
    assert "C=CI:1,ww:7,ca:0,co:0,fr:1," in listing
    assert "Tt:3," in listing, "settings are no operations: only the three new pools are"


def test_a_host_without_tmem_has_guests_with_nothing_to_do() -> None:
    runner = small(options="tmem=0")
    assert runner.run()
    assert runner.operations == 0


def test_guests_leave_the_rest_of_the_machine_to_tmem() -> None:
    assert small().hypervisor.heap.frames == 16 * 256 - 2 * 1024


def test_a_duration_ends_an_endless_run() -> None:
    endless = "guests: [{name: a, workload: {kind: scan, rate: 100, operations: null}}]"
    runner = boot(load_text(f"duration: 2s\n{endless}"))
    assert not runner.endless
    runner.run()
    assert (runner.operations, runner.time_us) == (200, 2_000_000)
    assert boot(load_text(endless)).endless


def test_a_run_to_the_end_needs_an_end(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"default.yaml: never ends: give `duration`"):
        boot_and_run(DEFAULT_SCENARIO)


def test_what_the_hypervisor_refuses_is_the_scenarios_error() -> None:
    with pytest.raises(ScenarioError, match=r"^scenario: host: boot option 'tmem=maybe'"):
        small(options="tmem=maybe")


def test_the_report_is_json_and_adds_up() -> None:
    runner = small()
    runner.run()
    whole = json.loads(json.dumps(report(runner, complete=True)))
    first, second = whole["guests"]
    assert whole["host"]["operations"] == first["operations"] + second["operations"]
    assert first["good_puts"] == first["driver"]["puts_stored"]
    assert first["found_gets"] == first["driver"]["gets_hit"] > 0
    assert second["persistent_pages"] > 0
    assert second["owned_pages"] > 1024 + second["persistent_pages"], "it pays for the descriptors too"


class Idler:
    """A driver that breaks its promise: it neither works nor lets time pass."""

    time_us = 0
    finished = False
    operations_total = None

    def step(self, budget: int, until_us: int) -> int:
        return 0

    def report(self) -> dict[str, int]:
        return {}


def test_a_driver_that_stands_still_is_named() -> None:
    runner = Runner(Hypervisor(frames=1024), [RunningGuest(1, "idler", "", "test", Idler())])
    with pytest.raises(RuntimeError, match="idler stands still at 0 us"):
        runner.advance(1)


@pytest.mark.parametrize("name", ["shared", "pressure"])
def test_examples_show_what_they_promise(name: str) -> None:
    runner = boot(load_file(str(EXAMPLES / f"{name}.yaml")))
    runner.run()
    runner.hypervisor.check()
    host = report(runner, complete=True)["host"]
    assert host["deduplicated_puts" if name == "shared" else "evicted"] > 1000


LINGERING = """
duration: 60s
host: {memory: 256MiB, contents: tokens}
guests:
  - name: done
    kind: linux
    memory: 64MiB
    kernel: 8MiB
    swap: 64MiB
    workload: {kind: usemem, size: 48MiB}
    balloon: {kind: selfballoon, generation: "3.1"}
  - {name: other, kind: linux, memory: 16MiB, workload: {kind: idle, seconds: null}}
"""


def test_a_balloon_goes_on_when_the_work_of_its_guest_has_ended() -> None:
    whole, pieces = boot(load_text(LINGERING)), boot(load_text(LINGERING))
    whole.run()
    guest = whole.guests[0].driver
    assert guest.finished
    assert guest.time_us < 10_000_000
    owned = guest.report()["totalram"]
    assert isinstance(owned, int)
    assert owned == 44 << 8  # the driver's floor
    while not pieces.finished:
        pieces.advance(7, pieces.later_us(0))
    assert outcome(pieces) == outcome(whole)
    assert pieces.operations == whole.operations

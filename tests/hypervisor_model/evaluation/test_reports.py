# SPDX-License-Identifier: GPL-2.0-only
"""Reports, traffic and the machinery of the larger scenarios, in small."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hypervisor_model.evaluation import Result, compile_host, density, kernel_compile, render, run, scenarios
from hypervisor_model.evaluation import policy as policies
from hypervisor_model.evaluation.one_machine import Machine, Run, build, without
from hypervisor_model.evaluation.recorded import g1, recording_path
from hypervisor_model.evaluation.traffic import Metered
from hypervisor_model.guests.recording import Recording
from hypervisor_model.public.tmem import TMEM_GET_PAGE
from tests import recordings
from tests.hypervisor_model.guests.standin import StandIn

RESULT = Result("R9", "title", "a host", "10 | 20", "15", "PASS", (("n", "x"), ("1", "2|3")), "because")


def test_every_reference_scenario_is_in_the_suite() -> None:
    names = {name for case in scenarios() if case.suite == "reference" for name in case.name.split()}
    assert names == {f"R{number}" for number in range(1, 11)}


def test_text_has_all_there_is_to_say() -> None:
    text = render.text([RESULT])
    for part in ("R9", "title", "PASS", "15", "10 | 20", "a host", "because", "1 scenarios: 1 PASS"):
        assert part in text


def test_markdown_escapes_what_would_break_a_table() -> None:
    text = render.markdown([RESULT])
    assert "| R9 | title | 10 \\| 20 | 15 | **PASS** |" in text
    assert "| 1 | 2\\|3 |" in text
    assert "## Exact" not in text


def test_records_are_json() -> None:
    [record] = json.loads(json.dumps(render.records([RESULT])))
    assert record["table"] == [["n", "x"], ["1", "2|3"]]


def test_traffic_is_counted_in_shares_and_distances() -> None:
    handle = Metered(StandIn(5_000))
    swap, cache = handle.new_pool(persistent=True), handle.new_pool()
    for index in range(2_000):
        handle.put(cache, 1, index, b"even" if index % 2 else b"odd")
    handle.put(swap, 0, 0, b"swap")
    assert handle.get(cache, 1, 0)[0] == handle.get(cache, 1, 1_999)[0] == 1
    assert handle.get(cache, 1, 0)[0] == 0
    handle.get(swap, 0, 0)
    handle.flush_page(cache, 1, 5)
    shares = handle.traffic.shares()
    assert shares["hits"] == pytest.approx(100 * 2 / 3)
    assert (shares["<1k"], shares["1k-4k"], shares["4k-16k"]) == (50, 50, 0)
    assert shares["distinct"] == pytest.approx(100 * 3 / 2_001)
    assert shares["puts"] + shares["gets"] + shares["flushes"] == pytest.approx(100)


def test_without_recordings_the_comparison_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XM_TMEM_CONFORMANCE", "/nonexistent")
    assert recording_path("grep-4.12") is None
    assert g1().verdict == "NO-REF"


def test_r10_is_within_its_tolerance() -> None:
    [result] = run("R10")
    assert result.verdict == "PASS", result.measured


def test_a_host_with_room_lets_guests_work_undisturbed_and_a_crowded_one_does_not() -> None:
    slower, failed, swapped = density.density(4, overcommit=True)
    assert slower < 0.001
    assert failed == swapped == 0
    slower, _, swapped = density.density(14, overcommit=True)
    assert slower > 0.05
    assert swapped > 0


def test_zcache_gains_where_memory_is_just_too_small_and_nothing_where_it_is_enough() -> None:
    machine = replace(kernel_compile.ZCACHE, sources=48)
    for jobs, gains in ((4, False), (24, True)):
        before = build(without(machine), jobs)
        after = build(machine, jobs)
        assert (after.seconds < before.seconds) == gains
        assert (after.io < before.io) == gains


class AsTold:
    """Stands in for mean_build: `left` of the I/O with a back end, by memory and jobs; a thousand pages without."""

    def __init__(self, left: dict[tuple[int, int], float]) -> None:
        self.left = left

    def __call__(self, machine: Machine, jobs: int, seeds: Sequence[int]) -> Run:
        left = self.left.get((machine.ram_mb, jobs), 1.0) if machine.persistent_percent else 1.0
        return Run(seconds=1, served=0, swap_io=1_000 * left, major_faults=0)


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        ({(1024, 20): 0.5}, "PASS"),
        ({(1024, 20): 0.5, (1024, 32): 0.8}, "SHAPE"),  # no collapse
        ({(1024, 20): 0.56}, "SHAPE"),
        ({(1024, 16): 0.1, (512, 8): 0.1}, "MISS"),  # rows that the setting was found from
    ],
)
def test_r6_is_not_judged_on_the_rows_its_setting_comes_from(
    left: dict[tuple[int, int], float], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_compile, "mean_build", AsTold(left))
    assert kernel_compile.r6().verdict == verdict


def test_the_zcache_table_itself_is_within_its_tolerance_and_others_are_not() -> None:
    published = {jobs: float(row.zcache) for jobs, row in kernel_compile.PUBLISHED_ZCACHE.items()}
    beside = kernel_compile.beside_the_table
    assert beside(published) == []
    assert beside(published | {20: 35.0}) == ["the peak is at N = 20"]
    assert beside(published | {28: 45.0}) == ["the peak is 45 %"]
    assert beside(published | {12: 3.0}) == ["a gain or loss above 2 % up to N = 12"]
    assert beside(published | {20: 7.0}) == ["the rise is not monotone"]
    assert beside(published | {36: -6.0}) == ["more than 5 % from 0 at N >= 32"]


def test_a_source_of_r1_that_stands_for_many_reads_and_writes_all_of_their_pages() -> None:
    real, here = kernel_compile.CLEANCACHE.shape, compile_host.SHAPE
    for name in ("source_pages", "object_pages"):
        of_many = getattr(real, name) * compile_host.SOURCES_EACH
        assert getattr(here, name) * compile_host.SCALE == of_many, name


def test_requests_are_what_the_disk_can_do_together() -> None:
    run = compile_host.Run(
        seconds=1,
        cpu_seconds=1,
        tmem_cpu_seconds=0,
        pages_read=66,
        swap_ins=8,
        swap_outs=22,
        gets=500,
        puts=500,
        stored=0,
        guest_mb=1,
    )
    assert run.requests == pytest.approx(58 / 5.8 + 1 + 2)


def test_pages_of_a_read_request_are_those_of_the_recording() -> None:
    path = recordings.needed(recordings.root()) / "guests" / "compile-4.12.tmemops.gz"
    runs: list[int] = []
    after: tuple[int, int] | None = None
    for operation in Recording(str(path)):
        if operation.op == TMEM_GET_PAGE and operation.pool == 0:
            if operation.ret != 1:
                after = None
                continue
            if after != (operation.oid, operation.page_index):
                runs.append(0)
            runs[-1] += 1
            after = (operation.oid, operation.page_index + 1)
    requests = sum(-(-run // compile_host.SEGMENTS) for run in runs)
    assert sum(runs) / requests == pytest.approx(compile_host.PAGES_A_READ, abs=0.05)


@pytest.mark.parametrize("policy", ["greedy", "static"])
def test_no_policy_has_more_tmem_than_another(policy: str) -> None:
    demand = replace(policies.USEMEM, programs=(policies.USEMEM.programs[0],) * 3, apart_s=(0,))
    run = policies.run_policy(policy, 1, demand)
    assert 0.5 < run.in_use <= 1
    assert run.read_back > 0

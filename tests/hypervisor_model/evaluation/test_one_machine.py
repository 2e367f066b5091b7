# SPDX-License-Identifier: GPL-2.0-only
"""One build on one machine: from a cold start, or a part out of the middle of a long one."""

from dataclasses import replace

import pytest

from hypervisor_model.evaluation import kernel_compile
from hypervisor_model.evaluation.one_machine import build, without

LITTLE = replace(
    kernel_compile.CLEANCACHE.shape,
    cpu_ms=500,
    heap_steps=4,
    heap_pages=1_500,
    headers=1_500,
    header_core=500,
    tool_pages=1_500,
    tool_touches=900,
)
STEADY = replace(kernel_compile.CLEANCACHE, shape=LITTLE, ram_mb=180, sources=48)


def test_a_steady_build_with_memory_to_spare_takes_what_the_cpus_need_and_reads_nothing_again() -> None:
    run = build(without(STEADY), 8)
    assert run.seconds == pytest.approx(STEADY.cpu_seconds, rel=0.2)
    assert run.swap_io == run.major_faults == run.served == 0


def test_a_steady_build_is_scaled_to_the_real_one() -> None:
    once = build(without(STEADY), 4)
    twice = build(replace(without(STEADY), real_sources=2 * STEADY.real_sources), 4)
    assert twice.seconds == pytest.approx(2 * once.seconds)


def test_a_steady_build_short_of_memory_is_slower_and_is_helped() -> None:
    machine = replace(STEADY, ram_mb=124)
    before, after = build(without(machine), 8), build(machine, 8)
    assert before.seconds > 1.2 * machine.cpu_seconds
    assert after.served > 0
    assert before.served == 0 < before.io


def test_a_cold_build_reads_every_header_and_links() -> None:
    steady = replace(without(STEADY), real_sources=STEADY.sources)
    assert build(replace(steady, is_steady=False), 4).seconds > 1.5 * build(steady, 4).seconds

# SPDX-License-Identifier: GPL-2.0-only
"""Several workloads in one guest, side by side and one after the other."""

import pytest

from hypervisor_model.guests.guest import Guest
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import Runner, boot

COMPILE = "{kind: compile, jobs: 2, sources: 2, heap: 2MiB, mount: 1}"
GREP = "{kind: grep, files: 300, passes: 2}"
USEMEM = "{kind: usemem, size: 2MiB, hold: 5s}"


def booted(keys: str) -> Runner:
    guest = f"{{kind: linux, name: g, memory: 4MiB, kernel: 1MiB, filesystems: 2, swap: 16MiB, {keys}}}"
    return boot(load_text(f"host: {{memory: 24MiB, exact: false, contents: tokens}}\nguests:\n  - {guest}\n"))


def finished(keys: str) -> Guest:
    runner = booted(keys)
    assert runner.run()
    driver = runner.guests[0].driver
    assert isinstance(driver, Guest)
    driver.memory.check()
    return driver


def accesses(*drivers: Guest) -> int:
    return sum(driver.accesses for driver in drivers)


def test_workloads_side_by_side_all_do_their_work() -> None:
    both = finished(f"workloads: [{GREP}, {USEMEM}, {USEMEM}]")
    alone = [finished(f"workload: {workload}") for workload in (GREP, USEMEM, USEMEM)]
    assert len(both.threads) == 3
    assert accesses(both) == accesses(*alone)


def test_processes_side_by_side_have_memory_of_their_own() -> None:
    one, two = finished(f"workload: {USEMEM}"), finished(f"workloads: [{USEMEM}, {USEMEM}]")
    assert one.memory.swap.used == two.memory.swap.used == 0
    assert one.memory.frontswap is not None
    assert two.memory.frontswap is not None
    assert one.memory.frontswap.succ_stores == 0 < two.memory.frontswap.succ_stores


def test_one_workload_in_a_list_is_that_workload() -> None:
    assert finished(f"workloads: [{COMPILE}]").report() == finished(f"workload: {COMPILE}").report()


def test_in_turn_the_second_begins_when_the_first_is_done() -> None:
    driver = finished(f"in_turn: true, workloads: [{USEMEM}, {USEMEM}]")
    assert len(driver.threads) == 1
    assert driver.memory.frontswap is not None
    assert driver.memory.frontswap.succ_stores == 0
    mixed = finished(f"in_turn: true, workloads: [{COMPILE}, {GREP}]")
    assert len(mixed.threads) == 2


def test_two_workloads_on_one_file_system_find_the_same_files() -> None:
    short = "{kind: grep, files: 200, passes: 1}"
    assert finished(f"in_turn: true, workloads: [{short}, {short}]").memory.file_reads == (
        finished(f"workload: {short}").memory.file_reads
    )


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("vcpus: 1", r"guests\[0\]\.workload: is missing"),
        (f"workload: {GREP}, workloads: [{GREP}]", r"guests\[0\]\.workloads: either these or a workload"),
        ("workloads: []", r"guests\[0\]\.workloads: needs at least 1"),
        (
            f"workloads: [{GREP}, {{kind: scan, mount: 2}}]",
            r"guests\[0\]\.workloads\[1\]\.mount: no 2 among 2",
        ),
        (
            f"workloads: [{GREP}, {{kind: analytics, heap: 1MiB, live: 2MiB}}]",
            r"guests\[0\]\.workloads\[1\]\.live: 512 pages are more",
        ),
    ],
)
def test_what_cannot_be_is_refused(keys: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        booted(keys)


def test_one_endless_workload_makes_an_endless_guest() -> None:
    assert booted(f"workloads: [{GREP}, {{kind: scan, passes: null}}]").endless
    assert not booted(f"workloads: [{GREP}, {USEMEM}]").endless

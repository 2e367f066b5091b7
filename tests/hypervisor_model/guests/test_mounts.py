# SPDX-License-Identifier: GPL-2.0-only
"""The front ends as a scenario sets them up: file systems and their pools, shared ones, and forms of frontswap."""

import pytest

from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.work import Open
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import Runner, boot

UUID = "01020304-0506-0708-090a-0b0c0d0e0f10"
HOST = "host: {release: '%s', memory: 64MiB, exact: false, contents: tokens}\nguests:\n"
GREP = "{kind: grep, files: 900, passes: 1}"


def finished(*guests: str, release: str = "4.3") -> Runner:
    text = "".join(f"  - {{kind: linux, memory: 4MiB, kernel: 1MiB, {guest}}}\n" for guest in guests)
    runner = boot(load_text(HOST % release + text))
    assert runner.run()
    runner.hypervisor.check()
    return runner


def driver_of(runner: Runner, number: int = 0) -> Guest:
    driver = runner.guests[number].driver
    assert isinstance(driver, Guest)
    return driver


def pools(runner: Runner, domain_id: int = 1) -> list[dict[str, str]]:
    """The fields of each of the domain's pools."""
    lines = runner.hypervisor.list_text(use_long=True).splitlines()
    found = [
        dict(field.split(":") for field in line[2:].split(",")) for line in lines if line.startswith("P=")
    ]
    return [pool for pool in found if pool["CI"] == str(domain_id)]


@pytest.mark.parametrize(
    "kind",
    [
        "compile, sources: 3",
        "oltp, transactions: 500, table: 8MiB, buffer: 1MiB",
        "zipf, file: 8MiB, accesses: 5000",
        "scan, file: 8MiB",
        "grep, files: 900",
    ],
)
def test_a_workload_works_on_its_file_system(kind: str) -> None:
    runner = finished(f"name: a, filesystems: 3, frontswap: false, workload: {{kind: {kind}, mount: 2}}")
    assert [pool["pt"] != "0" for pool in pools(runner)] == [False, False, True]


def test_xen_gives_a_domain_sixteen_pools_and_the_other_file_systems_go_without() -> None:
    runner = finished(f"name: a, filesystems: 20, workload: {GREP}")
    assert len(pools(runner)) == 16


def test_a_workload_on_a_file_system_that_is_not_there_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"guests\[0\]\.workload\.mount: no 2 among 2"):
        finished("name: a, filesystems: 2, workload: {kind: scan, mount: 2}")


def test_a_guest_of_a_cluster_finds_what_another_has_read() -> None:
    def hits(first: str, second: str) -> int:
        """Of the second guest, whose disk is the slower one, so that it reads everything later."""
        runner = finished(
            f"name: a, frontswap: false, {first}, workload: {GREP}",
            f"name: b, frontswap: false, {second}, disk_seek: 50ms, workload: {GREP}",
        )
        return driver_of(runner, 1).memory.cleancache.succ_gets

    shared, other = f"shared_uuid: {UUID}", f"shared_uuid: {UUID[:-1]}1"
    assert hits("vcpus: 1", "vcpus: 1") == hits(shared, "vcpus: 1") == hits(shared, other) == 0
    assert hits(shared, shared) > 100


def test_the_pool_has_the_uuid_as_linux_takes_it_apart_and_the_second_file_system_is_private() -> None:
    runner = finished(f"name: a, shared_uuid: {UUID}, filesystems: 2, frontswap: false, workload: {GREP}")
    assert [(pool["PT"], pool["U0"], pool["U1"]) for pool in pools(runner)] == [
        ("ES", "807060504030201", "100f0e0d0c0b0a09"),
        ("EP", "0", "0"),
    ]


def test_files_of_a_cluster_are_equal_in_size_and_content_and_others_are_not() -> None:
    def trees(mount: int) -> list[list[int]]:
        keys = f"shared_uuid: {UUID}, filesystems: 2, workload: {{kind: grep, files: 50, mount: {mount}}}"
        text = f"  - {{kind: linux, name: a, {keys}}}\n  - {{kind: linux, name: b, {keys}}}\n"
        runner = boot(load_text(HOST % "4.3" + text))
        return [
            [
                action.pages
                for action in driver_of(runner, number).threads[0].workload.unit()
                if isinstance(action, Open)
            ]
            for number in range(2)
        ]

    first, second = trees(0)
    assert first == second
    first, second = trees(1)
    assert first != second
    one, other, apart = Contents(1, cluster=7), Contents(2, cluster=7, image=3), Contents(3, cluster=8)
    for page in range(100):
        here, there = file_key(0, 5) + page, file_key(1, 5) + page
        assert one.file_page(here) == other.file_page(here)
        if any(one.file_page(here, version=1)):
            assert one.file_page(here, version=1) != other.file_page(here, version=1)
        if any(one.file_page(here)):
            assert one.file_page(here) != apart.file_page(here)
            assert Contents(1, image=3).file_page(here) != one.file_page(here)
        if any(one.file_page(there)):
            assert one.file_page(there) != other.file_page(there)


def test_a_cluster_that_is_not_authorised_runs_without_sharing() -> None:
    guest = f"frontswap: false, shared_uuid: {UUID}, workload: {GREP}"
    runner = finished(f"name: a, {guest}", f"name: b, {guest}", release="4.12")
    assert {pool["PT"] for pool in pools(runner)} == {"EP"}


USEMEM = "swap: 8MiB, workload: {kind: usemem, size: 6MiB}"


def test_writethrough_writes_to_disk_what_tmem_has_and_reads_it_from_tmem() -> None:
    plain, through = (
        driver_of(finished(f"name: a, writethrough: {on}, {USEMEM}")) for on in ("false", "true")
    )
    assert plain.memory.swap_outs == 0
    assert through.memory.swap_outs > 1000
    assert through.memory.swap_ins == 0
    assert through.memory.frontswap is not None
    assert through.memory.frontswap.loads > 1000


def test_exclusive_gets_leave_copies_behind_in_xen_that_the_guest_does_not_know_of() -> None:
    plain, exclusive = (finished(f"name: a, exclusive_gets: {on}, {USEMEM}") for on in ("false", "true"))
    for runner, left in ((plain, False), (exclusive, True)):
        frontswap = driver_of(runner).memory.frontswap
        assert frontswap is not None
        assert frontswap.loads > 100
        held = sum(int(pool["Pc"]) for pool in pools(runner) if pool["PT"] == "PP")
        assert (held > frontswap.curr_pages) == left

# SPDX-License-Identifier: GPL-2.0-only
"""The guest kinds as a scenario file reaches them: booted, run, cut into steps, checkpointed."""

import os
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.checkpoint import resume, write_snapshot
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import COMPRESSIBLE, RANDOM, ZERO, Contents, ExpandedContents
from hypervisor_model.guests.costs import Costs
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest, Thread
from hypervisor_model.guests.handle import anon_key
from hypervisor_model.guests.inodes import InodeCache
from hypervisor_model.guests.keys import BALLOONS, WORKLOADS
from hypervisor_model.guests.lru import OneList, Pressure, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.versions import Versions
from hypervisor_model.guests.workloads.popularity import Popularity
from hypervisor_model.object_graph.kinds import attribute_names
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.runner import Runner, boot
from tests.hypervisor_model.guests.recordings import write_recording

GUEST = "{{kind: linux, name: g, memory: 4MiB, kernel: 1MiB, {more}, workload: {workload}}}"
HOST = "duration: 2s\nhost: {{memory: 24MiB, exact: false, contents: {contents}}}\nguests:\n"
SMALL = {
    "compile": "{kind: compile, jobs: 2, sources: 2, heap: 2MiB}",
    "oltp": "{kind: oltp, table: 8MiB, buffer: 1MiB, transactions: 200}",
    "zipf": "{kind: zipf, file: 8MiB, accesses: 4000, writes: 0.1}",
    "scan": "{kind: scan, file: 5MiB, passes: 3}",
    "grep": "{kind: grep, files: 300, passes: 2}",
    "usemem": "{kind: usemem, size: 6MiB}",
    "analytics": "{kind: analytics, heap: 6MiB, live: 3MiB, rounds: 3}",
    "idle": "{kind: idle, committed: 2MiB, seconds: 2}",
    "trace": "{kind: trace, file: TRACE}",
}


def runner_of(tmp_path: Path, *guests: str, contents: str = "tokens") -> Runner:
    trace = tmp_path / "trace.csv"
    trace.write_text("".join(f"1,{number % 1500}\n" for number in range(3000)))
    file = tmp_path / "scenario.yaml"
    text = HOST.format(contents=contents) + "".join(f"  - {guest}\n" for guest in guests)
    file.write_text(text.replace("TRACE", str(trace)))
    return boot(load_file(str(file)))


def test_every_workload_is_tried_here() -> None:
    assert set(SMALL) == set(WORKLOADS)


@pytest.mark.parametrize("kind", SMALL)
def test_a_workload_runs_and_reports(tmp_path: Path, kind: str) -> None:
    runner = runner_of(tmp_path, GUEST.format(more="vcpus: 2", workload=SMALL[kind]))
    while not runner.finished:
        runner.advance(100_000)
    report = runner.guests[0].driver.report()
    assert report["units"]
    assert report["accesses"]
    assert kind == "idle" or runner.operations
    runner.hypervisor.check()


@pytest.mark.parametrize("clients", [1, 3, 7])
def test_clients_share_the_transactions_and_do_no_more(tmp_path: Path, clients: int) -> None:
    workload = f"{{kind: oltp, table: 8MiB, transactions: 5, clients: {clients}}}"
    runner = runner_of(tmp_path, GUEST.format(more="vcpus: 1", workload=workload))
    while not runner.finished:
        runner.advance(100_000)
    assert runner.guests[0].driver.report()["units"] == 5


@pytest.mark.parametrize("balloon", BALLOONS)
def test_a_balloon_runs(tmp_path: Path, balloon: str) -> None:
    workload = "{kind: idle, committed: 1MiB, seconds: null}"
    guest = GUEST.replace("memory: 4MiB", "memory: 20MiB").format(
        more=f"balloon: {{kind: {balloon}}}", workload=workload
    )
    runner = runner_of(tmp_path, guest)
    runner.duration_us = 30_000_000
    while not runner.finished:
        runner.advance(100_000)
    totalram = runner.guests[0].driver.report()["totalram"]
    assert isinstance(totalram, int)
    assert (totalram < 20 << 8) == (balloon != "none")


def test_how_the_work_is_cut_does_not_matter(tmp_path: Path) -> None:
    guests = [
        GUEST.format(more="swap: 8MiB", workload=SMALL[kind]).replace("name: g", f"name: {kind}")
        for kind in ("compile", "usemem", "zipf")
    ]
    whole, pieces = runner_of(tmp_path, *guests), runner_of(tmp_path, *guests)
    while not whole.finished:
        whole.advance(1_000_000)
    while not pieces.finished:
        pieces.advance(37)
    assert [g.driver.report() for g in whole.guests] == [g.driver.report() for g in pieces.guests]
    assert whole.hypervisor.list_text(use_long=True) == pieces.hypervisor.list_text(use_long=True)


def test_a_guest_resumed_from_a_checkpoint_ends_like_one_that_was_not(tmp_path: Path) -> None:
    guests = [
        GUEST.format(
            more=f"swap: 8MiB, lists: {lists}, balloon: {{kind: selfballoon}}", workload=SMALL[kind]
        ).replace("name: g", f"name: {kind}")
        for kind, lists in (("compile", "active-inactive"), ("oltp", "lru"), ("analytics", "active-inactive"))
    ]
    whole, first = runner_of(tmp_path, *guests), runner_of(tmp_path, *guests)
    while not whole.finished:
        whole.advance(1_000_000)
    first.advance(500)
    write_snapshot(str(tmp_path / "checkpoint"), first, {})
    second = resume(str(tmp_path / "checkpoint"))
    while not second.finished:
        second.advance(1_000_000)
    assert [g.driver.report() for g in whole.guests] == [g.driver.report() for g in second.guests]


@pytest.mark.parametrize(
    "cls",
    [
        Cleancache,
        Contents,
        Costs,
        Disk,
        ExpandedContents,
        Frontswap,
        Guest,
        GuestMemory,
        InodeCache,
        OneList,
        Popularity,
        Pressure,
        SwapDevice,
        Thread,
        TwoLists,
        Versions,
    ],
)
def test_what_is_compiled_can_be_kept_in_a_checkpoint_of_either_build(cls: Any) -> None:
    """It is made without its __init__, and has the same attributes whether it is compiled or not."""
    blank = cls.__new__(cls)
    assert not hasattr(blank, "__dict__")
    assert attribute_names(cls)


@pytest.mark.parametrize("contents", ["tokens", "pages"])
def test_a_recording_is_replayed(tmp_path: Path, contents: str) -> None:
    path = write_recording(tmp_path / "small.tmemops.gz", gets=True)
    runner = runner_of(
        tmp_path, f"{{kind: recorded, name: r, memory: 4MiB, file: {path}}}", contents=contents
    )
    while not runner.finished:
        runner.advance(1_000)
    report = runner.guests[0].driver.report()
    assert report["gets_unlike_recorded"] == 0
    assert report["ephemeral_hits"] == 100
    assert runner.failures == {}
    assert "failure" not in report


def test_a_recording_replaced_by_a_shorter_one_while_a_host_was_down_ends_its_guest(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "r", gets=True)
    runner = runner_of(tmp_path, f"{{kind: recorded, name: r, memory: 4MiB, file: {path}}}")
    runner.advance(50)
    write_snapshot(str(tmp_path / "checkpoint"), runner, {})
    write_recording(path)
    resumed = resume(str(tmp_path / "checkpoint"))
    while not resumed.finished:
        resumed.advance(1_000)
    assert resumed.failures == {"r": f"{path}: another file than when the guest was booted"}


def test_a_file_that_is_no_recording_is_refused_when_the_scenario_is_read(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no gzip")
    with pytest.raises(ScenarioError, match="file"):
        runner_of(tmp_path, f"{{kind: recorded, name: r, file: {tmp_path / 'bad'}}}")


def complaint_of(tmp_path: Path, guest: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        runner_of(tmp_path, guest)
    return str(caught.value)


def test_a_kernel_as_large_as_memory_is_refused(tmp_path: Path) -> None:
    guest = GUEST.format(more="swap: 8MiB", workload=SMALL["scan"])
    complaint = complaint_of(tmp_path, guest.replace("kernel: 1MiB", "kernel: 4MiB"))
    assert "guests[0].kernel" in complaint
    assert "1024 pages leave nothing of the 1024 of memory" in complaint


@pytest.mark.parametrize(
    ("memory", "kernel", "reserved"),
    [
        ("8MiB", "kernel: 6MiB", 1536),
        ("8MiB", "kernel: 0 pages", 0),
        ("8MiB", "swap: 1MiB", 1024),
        ("20MiB", "swap: 1MiB", 2560),
        ("40MiB", "swap: 1MiB", 4096),
    ],
)
def test_a_kernel_is_as_large_as_asked_for_and_else_fits_the_memory(
    tmp_path: Path, memory: str, kernel: str, reserved: int
) -> None:
    guest = GUEST.format(more="swap: 8MiB", workload=SMALL["scan"]).replace(
        "kernel: 1MiB, swap: 8MiB", kernel
    )
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "host: {memory: 64MiB}\nguests:\n  - " + guest.replace("memory: 4MiB", f"memory: {memory}")
    )
    driver = boot(load_file(str(file))).guests[0].driver
    assert isinstance(driver, Guest)
    assert driver.memory.reserved == reserved


@pytest.mark.parametrize("kind", ["compile", "oltp", "usemem"])
def test_a_kernel_that_leaves_next_to_nothing_starves_its_guest_and_no_more(
    tmp_path: Path, kind: str
) -> None:
    guest = GUEST.format(more="swap: 8MiB, vcpus: 2", workload=SMALL[kind])
    runner = runner_of(tmp_path, guest.replace("kernel: 1MiB", "kernel: 1020 pages"))
    while not runner.finished:
        runner.advance(100_000)
    assert runner.operations
    runner.hypervisor.check()


def test_analytics_use_no_more_than_their_heap_again(tmp_path: Path) -> None:
    workload = "{kind: analytics, heap: 6MiB, live: 7MiB}"
    complaint = complaint_of(tmp_path, GUEST.format(more="swap: 8MiB", workload=workload))
    assert "guests[0].workload.live" in complaint
    assert "1792 pages are more than the 1536 of the heap" in complaint


def test_half_of_a_heap_is_live_unless_it_is_said_how_much(tmp_path: Path) -> None:
    workload = "{kind: analytics, heap: 6MiB, rounds: 1}"
    runner = runner_of(tmp_path, GUEST.format(more="swap: 8MiB", workload=workload))
    while not runner.finished:
        runner.advance(100_000)
    assert runner.guests[0].driver.report()["accesses"] == 1536 + 768


def ballooned(tmp_path: Path, balloon: str, seconds: int, workload: str = "", *, swapped: int = 0) -> Guest:
    """A guest of 20 MiB with 1 MiB of kernel that sits there for so long, or does the `workload`.

    So many of its pages are in frontswap at first, and there is room for them in memory.
    """
    idle = "{kind: idle, committed: 1MiB, seconds: null}"
    guest = GUEST.replace("memory: 4MiB", "memory: 20MiB").format(
        more=f"swap: 24MiB, balloon: {balloon}", workload=workload or idle
    )
    runner = runner_of(tmp_path, guest)
    driver = runner.guests[0].driver
    assert isinstance(driver, Guest)
    memory = driver.memory
    for region, pages in ((90, swapped), (91, memory.free if swapped else 0)):
        for number in range(pages):
            memory.fault(anon_key(region) + number, True, 0, 0)
    memory.release_anon(anon_key(91), memory.totalram)
    runner.duration_us = seconds * 1_000_000
    while not runner.finished:
        runner.advance(100_000)
    return driver


@pytest.mark.parametrize(
    ("balloon", "seconds", "mib"),
    [
        ("{kind: selfballoon}", 600, 18.5),  # the table's floor
        ("{kind: selfballoon, min_usable: 4MiB}", 600, 5),
        ("{kind: selfballoon, min_usable: 900 pages}", 600, 5),
        ("{kind: selfballoon, min_usable: 1MiB}", 600, 4),  # committed, kernel and a tenth of memory
        ("{kind: selfballoon, min_usable: 1MiB, reserved: 8MiB}", 600, 10),
        ("{kind: selfballoon, min_usable: 1MiB, reserved: 0 pages}", 600, 2),
        ("{kind: selfballoon, min_usable: 1MiB, generation: '3.1'}", 600, 2),
        ("{kind: selfballoon, min_usable: 1MiB, interval: 100}", 101, 18),
        ("{kind: selfballoon, min_usable: 1MiB, down_hysteresis: 1}", 6, 4),
        ("{kind: xenballoond}", 600, 18),  # the script's minimum for 20 MiB: 8 + 5120 / 512
        ("{kind: xenballoond, minimum: 4MiB}", 600, 4),
        ("{kind: xenballoond, minimum: 4MiB, interval: 100, down_hysteresis: 2}", 101, 12),
    ],
)
def test_a_balloon_does_as_its_keys_say(tmp_path: Path, balloon: str, seconds: int, mib: float) -> None:
    assert ballooned(tmp_path, balloon, seconds).memory.totalram == pytest.approx(mib * 256, abs=10)


@pytest.mark.parametrize("kind", ["selfballoon", "xenballoond"])
def test_a_balloon_asks_for_a_part_of_what_is_lacking(tmp_path: Path, kind: str) -> None:
    least = "min_usable: 1MiB" if kind == "selfballoon" else "minimum: 1MiB"
    grows = "{kind: usemem, size: 12MiB, delay: 300s, hold: 12s}"

    def after(keys: str) -> int:
        return ballooned(
            tmp_path, f"{{kind: {kind}, interval: 10, {least}{keys}}}", 311, grows
        ).memory.totalram

    assert after(", up_hysteresis: 4") < after("") - 512


@pytest.mark.parametrize(
    ("keys", "least", "most"),
    [
        ("shrink_quirk: true", 1, 20),
        ("shrink_quirk: false", 0, 0),
        ("selfshrinking: false", 500, 500),
        ("frontswap_inertia: 1000", 500, 500),
        ("frontswap_hysteresis: 400", 400, 499),
    ],
)
def test_selfshrinking_does_as_its_keys_say(tmp_path: Path, keys: str, least: int, most: int) -> None:
    balloon = f"{{kind: selfballoon, interval: 1, {keys}}}"
    frontswap = ballooned(tmp_path, balloon, 300, swapped=500).memory.frontswap
    assert frontswap is not None
    assert least <= frontswap.curr_pages <= most


@pytest.mark.parametrize(
    ("keys", "least", "most"),
    [
        ("preswap_shrink: false", 500, 500),
        ("preswap_shrink: true", 100, 300),
        ("preswap_shrink: true, preswap_inertia: 1000", 500, 500),
        ("preswap_shrink: true, preswap_hysteresis: 400", 450, 499),
    ],
)
def test_xenballoond_shrinks_preswap_if_it_is_told_to(
    tmp_path: Path, keys: str, least: int, most: int
) -> None:
    frontswap = ballooned(tmp_path, f"{{kind: xenballoond, {keys}}}", 300, swapped=500).memory.frontswap
    assert frontswap is not None
    assert least <= frontswap.curr_pages <= most


def test_only_the_later_selfballooning_keeps_a_reserve(tmp_path: Path) -> None:
    balloon = "balloon: {kind: selfballoon, generation: '3.1', reserved: 4MiB}"
    complaint = complaint_of(tmp_path, GUEST.format(more=balloon, workload=SMALL["scan"]))
    assert "guests[0].balloon.reserved" in complaint


def test_a_trace_that_cannot_be_read_is_refused_when_the_scenario_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, told in (
        ("none", "No such file"),
        ("pipe", "not a regular file"),
        ("empty", "no access in it"),
        ("scenario.yaml", r"line 1: .*\(read as csv\)"),
    ):
        workload = f"{{kind: trace, file: {tmp_path / name}}}"
        with pytest.raises(ScenarioError, match=told) as caught:
            runner_of(tmp_path, GUEST.format(more="swap: 0MiB", workload=workload))
        assert (caught.value.line, caught.value.key) == (4, "guests[0].workload.file")


def test_a_speed_needs_a_trace_that_says_when(tmp_path: Path) -> None:
    complaint = complaint_of(
        tmp_path, GUEST.format(more="swap: 0MiB", workload="{kind: trace, file: TRACE, speed: 2}")
    )
    assert "guests[0].workload.speed: there are no times in a csv trace" in complaint


def test_a_speed_next_to_nothing_is_refused(tmp_path: Path) -> None:
    complaint = complaint_of(tmp_path, "{kind: recorded, name: r, file: TRACE, speed: 1.0e-320}")
    assert "guests[0].speed: 1e-320 is too small" in complaint


def test_a_recording_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ScenarioError, match=r"guests\[0\]\.file: .*not a regular file"):
        runner_of(tmp_path, f"{{kind: recorded, name: r, file: {tmp_path / 'pipe'}}}")


@pytest.mark.parametrize("pieces", [100_000, 7])
def test_a_guest_whose_file_breaks_ends_and_the_others_go_on(tmp_path: Path, pieces: int) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(f"1,{number}\n" for number in range(700)) + "oops\n" + "1,1\n")
    path = write_recording(tmp_path / "cut", header={"records": 500})
    guests = (
        GUEST.format(more="swap: 0MiB", workload=f"{{kind: trace, file: {bad}}}"),
        f"{{kind: recorded, name: r, memory: 4MiB, file: {path}}}",
        GUEST.format(more="swap: 0MiB", workload=SMALL["scan"]).replace("name: g", "name: good"),
    )
    runner = runner_of(tmp_path, *guests)
    runner.advance(300)
    write_snapshot(str(tmp_path / "checkpoint"), runner, {})
    for each in (runner, resume(str(tmp_path / "checkpoint"))):
        while not each.finished:
            each.advance(pieces)
        assert each.failures == {
            "g": f"{bad}, line 701: invalid literal for int() with base 10: 'oops'",
            "r": f"{path}: cut off",
        }
        reports = [guest.driver.report() for guest in each.guests]
        assert reports[0]["accesses"] == 700
        assert reports[0]["failure"] == each.failures["g"]
        assert reports[1]["operations"] == 101
        assert reports[2]["accesses"] == 3 * 5 * 256
        assert "failure" not in reports[2]
        assert sum(guest.operations for guest in each.guests) == each.operations


@pytest.mark.parametrize("contents", ["tokens", "pages"])
def test_pages_hold_what_the_scenario_says(tmp_path: Path, contents: str) -> None:
    more = "file_content: {zero: 1, random: 1}, anonymous_content: {compressible: 0.5}"
    runner = runner_of(tmp_path, GUEST.format(more=more, workload=SMALL["scan"]), contents=contents)
    driver = runner.guests[0].driver
    assert isinstance(driver, Guest)
    made = driver.memory.contents
    files = [made.file_page(number) for number in range(200)]
    zeros = sum(not any(page) for page in files)
    assert 80 < zeros < 120
    assert len(set(files)) == 201 - zeros
    if contents == "tokens":
        assert {page[0] for page in files} == {ZERO, RANDOM}
        assert {made.anon_page()[0] for _ in range(200)} == {COMPRESSIBLE}


@pytest.mark.parametrize("key", ["file_content", "anonymous_content"])
@pytest.mark.parametrize("mix", ["{}", "{text: 0}"])
def test_a_mix_of_nothing_is_refused(tmp_path: Path, key: str, mix: str) -> None:
    complaint = complaint_of(tmp_path, GUEST.format(more=f"{key}: {mix}", workload=SMALL["scan"]))
    assert f"guests[0].{key}: pages of nothing" in complaint

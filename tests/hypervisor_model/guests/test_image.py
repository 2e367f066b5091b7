# SPDX-License-Identifier: GPL-2.0-only
"""Guests of one image: equal files, and work of their own."""

import pytest

from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.work import Action, Open, Touch, Workload
from hypervisor_model.guests.workloads.compile import Build, CompileShape
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import Runner, boot

SCENARIO = """
seed: {seed}
host: {{memory: 64MiB, exact: false, contents: tokens, command_line: tmem=1 tmem_dedup=1}}
guests:
  - {{name: a, image: 1, {rest}}}
  - {{name: b, image: 1, {rest}}}
  - {{name: other, image: 2, {rest}}}
  - {{name: own, {rest}}}
"""
REST = "kind: linux, memory: 4MiB, kernel: 1MiB, workload: {workload}"


def booted(workload: str, seed: int = 1) -> Runner:
    return boot(load_text(SCENARIO.format(seed=seed, rest=REST.format(workload=workload))))


def workloads(runner: Runner) -> list[Workload]:
    """The first thread's of each guest."""
    found = []
    for guest in runner.guests:
        assert isinstance(guest.driver, Guest)
        found.append(guest.driver.threads[0].workload)
    return found


def headers(actions: list[Action]) -> list[int]:
    return sorted(action.first for action in actions if isinstance(action, Open))


def keys(actions: list[Action]) -> list[int]:
    return [key for action in actions if isinstance(action, Touch) for key in action.keys]


def opened(workload: Workload) -> list[tuple[int, int]]:
    return [(action.first, action.pages) for action in workload.unit() if isinstance(action, Open)]


def touched(workload: Workload) -> list[int]:
    return keys(workload.unit())


def test_a_tree_is_the_images_and_not_the_guests() -> None:
    a, b, other, own = (opened(workload) for workload in workloads(booted("{kind: grep, files: 300}")))
    assert a == b
    assert len({tuple(a), tuple(other), tuple(own)}) == 3


def test_the_same_image_under_another_seed_is_another() -> None:
    assert opened(workloads(booted("{kind: grep, files: 300}"))[0]) != opened(
        workloads(booted("{kind: grep, files: 300}", seed=2))[0]
    )


@pytest.mark.parametrize(
    "workload",
    [
        "{kind: zipf, file: 4MiB, skew: 2, accesses: 100000}",
        "{kind: oltp, table: 4MiB, skew: 2, buffer: 1MiB, clients: 2}",
    ],
)
def test_the_popular_pages_are_the_images_and_their_order_the_guests(workload: str) -> None:
    def ranks(keys: list[int]) -> list[int]:
        table = [key for key in keys if keys.count(key) > len(keys) // 50]
        return sorted(set(table), key=table.count, reverse=True)[:3]

    found = workloads(booted(workload))
    units = 2 if "zipf" in workload else 200
    a, b, other, own = ([key for _ in range(units) for key in touched(one)] for one in found)
    assert a != b
    assert ranks(a) == ranks(b)
    assert ranks(a) != ranks(other)
    assert ranks(a) != ranks(own)


def test_clients_of_one_database_prefer_the_same_pages() -> None:
    runner = booted("{kind: oltp, table: 4MiB, skew: 4, buffer: 1MiB, clients: 2}")
    driver = runner.guests[0].driver
    assert isinstance(driver, Guest)
    first, second = (
        [key for _ in range(50) for key in touched(thread.workload)] for thread in driver.threads
    )
    assert max(first, key=first.count) == max(second, key=second.count)


def test_a_source_includes_the_same_headers_in_every_clone() -> None:
    shape = CompileShape(sources=3).shrunk(16)
    a, b, other = (
        Build(guest, shape, image_seed=image).jobs(1)[0]
        for guest, image in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    for _ in range(3):
        first, second, third = a.unit(), b.unit(), other.unit()
        assert headers(first) == headers(second) != headers(third)
        assert keys(first) != keys(second)


def test_a_tree_built_again_is_the_same_tree() -> None:
    shape = CompileShape(sources=1).shrunk(16)
    (job,) = Build("a", shape, builds=2, image_seed="1").jobs(1)
    first = headers(job.unit())
    job.unit()  # links
    assert headers(job.unit()) == first


def test_all_pages_of_clones_are_stored_once() -> None:
    text = SCENARIO.format(seed=1, rest=REST.format(workload="{kind: grep, files: 300, passes: 1}"))
    runner = boot(load_text("".join(text.splitlines(keepends=True)[:-2])))
    runner.run()
    host = runner.hypervisor.list_text(use_long=True)
    held = sum(int(line.split("Pc:")[1].split(",")[0]) for line in host.splitlines() if line.startswith("P="))
    stored = int(host.split("Fc:")[1].split(",")[0])
    assert held
    assert stored <= held // 2

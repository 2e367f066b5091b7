# SPDX-License-Identifier: GPL-2.0-only
"""The kernel-compile workload: which headers and which of the compiler's pages a source uses, and when jobs begin."""

import random
from collections import Counter

import pytest

from hypervisor_model.guests.handle import EXECUTABLE, INDEX_MASK, INODE_MASK, INODE_SHIFT, file_key
from hypervisor_model.guests.work import Action, Await, Touch
from hypervisor_model.guests.workloads.compile import HEADER_INODE, TOOLS_INODE, Build, CompileShape

FEW = CompileShape(sources=4, headers=900, headers_each=50, tool_pages=500, tool_touches=960, heap_pages=48)
MEASURED = CompileShape(
    sources=4, headers=900, header_core=350, tool_pages=500, tool_touches=960, tool_core=50
)


def inodes(actions: list[Action]) -> Counter[int]:
    return Counter(
        action.first >> INODE_SHIFT & INODE_MASK
        for action in actions
        if isinstance(action, Touch) and action.listed is None
    )


def tool_runs(shape: CompileShape) -> list[list[int]]:
    (job,) = Build("a", shape).jobs(1)
    touches = [action for action in job.unit() if isinstance(action, Touch) and len(action)]
    tools = file_key(0, TOOLS_INODE) | EXECUTABLE
    return [
        [key & INDEX_MASK for key in touch.keys] for touch in touches if touch.keys[0] & ~INDEX_MASK == tools
    ]


def test_a_source_includes_the_core_and_little_else() -> None:
    build, rng = Build("a", MEASURED), random.Random(1)
    sources = [build.headers_of(rng) for _ in range(400)]
    assert all(len(set(source)) == len(source) for source in sources)
    assert sum(map(len, sources)) / 400 == pytest.approx(1.047 * 350, rel=0.02)
    included = Counter(header for source in sources for header in source)
    # The shares counted in Linux 3.6, with room for the form's own difference.
    for rank, share in ((100, 0.995), (200, 0.96), (300, 0.66), (400, 0.37), (500, 0.11), (600, 0.04)):
        assert included[rank - 1] / 400 == pytest.approx(share, abs=0.1)


def test_the_most_popular_header_is_not_always_read_first() -> None:
    build, rng = Build("a", MEASURED), random.Random(1)
    assert len({build.headers_of(rng)[0] for _ in range(20)}) > 10


def test_without_a_core_headers_are_drawn_by_popularity() -> None:
    drawn = Build("a", FEW).headers_of(random.Random(1))
    assert len(drawn) == 50
    assert sum(header < 100 for header in drawn) > 20


def test_a_source_reads_the_headers_that_it_includes() -> None:
    build = Build("a", MEASURED, image_seed="tree")
    wanted = build.headers_of(random.Random("tree source 0"))
    (job,) = build.jobs(1)
    read = inodes(job.unit())
    assert {inode - HEADER_INODE for inode in read if 0 <= inode - HEADER_INODE < 900} >= set(wanted[:5])


def test_the_tools_are_run_through_or_here_and_there() -> None:
    in_runs, scattered = tool_runs(FEW), tool_runs(MEASURED)
    assert len(in_runs) == len(scattered) == FEW.heap_steps
    assert all(run == list(range(run[0], run[0] + len(run))) for run in in_runs)
    assert not any(run == sorted(run) for run in scattered)
    assert {page for run in scattered for page in run} <= set(range(500))


def test_a_hot_page_of_the_tools_has_cold_neighbours() -> None:
    build = Build("a", MEASURED)
    uses = Counter(build.tool_keys(0, 100_000))
    hot = [page for page, _ in uses.most_common(50)]
    assert uses.most_common(1)[0][1] > 5 * min(uses.values())
    assert sum(page + 1 in hot for page in hot) < 15


def test_jobs_begin_apart() -> None:
    jobs = Build("a", FEW).jobs(3, apart_ns=1_000)
    units = [job.unit() for job in jobs]
    assert [[action.ns for action in unit if isinstance(action, Await)] for unit in units] == [
        [],
        [1_000],
        [2_000],
    ]
    assert not any(isinstance(action, Await) for action in jobs[1].unit())


def test_every_page_of_every_header_is_known() -> None:
    shape = CompileShape(headers=3, header_pages=2)
    keys = Build("a", shape).header_keys()
    assert keys[0] == file_key(0, HEADER_INODE + 2)
    assert sorted(keys) == [
        file_key(0, HEADER_INODE + header) + page for header in range(3) for page in range(2)
    ]

# SPDX-License-Identifier: GPL-2.0-only
"""The kernel-compile workload: how large its headers are, and what a coarser page makes of them."""

import pytest

from hypervisor_model.guests.handle import ANON, INODE_MASK, INODE_SHIFT
from hypervisor_model.guests.work import Touch
from hypervisor_model.guests.workloads.compile import HEADER_INODE, SOURCE_INODE, Build, CompileShape


@pytest.mark.parametrize("pages", [1, 2.33, 4])
def test_headers_have_their_size_on_average(pages: float) -> None:
    build = Build("a", CompileShape(headers=3_000, header_pages=pages))
    sizes = [build.pages_of_header(header) for header in range(3_000)]
    assert sum(sizes) / 3_000 == pytest.approx(pages, rel=0.01)
    assert set(sizes) <= {int(pages), int(pages) + 1}
    # Popular or not: every hundred of them is a sample.
    assert all(
        sum(sizes[start : start + 100]) / 100 == pytest.approx(pages, rel=0.1)
        for start in range(0, 3_000, 100)
    )


def test_a_source_reads_each_of_its_headers_whole() -> None:
    (job,) = Build("a", CompileShape(sources=1, headers=40, header_pages=2.5, headers_each=60)).jobs(1)
    build = Build("a", CompileShape(headers=40, header_pages=2.5))
    read = [action for action in job.unit() if isinstance(action, Touch) and action.listed is None]
    headers = [
        (action.first >> INODE_SHIFT & INODE_MASK, len(action))
        for action in read
        if HEADER_INODE <= action.first >> INODE_SHIFT & INODE_MASK < SOURCE_INODE
    ]
    assert len(headers) == 60
    assert all(pages == build.pages_of_header(inode - HEADER_INODE) for inode, pages in headers)


def test_a_header_of_a_coarser_build_has_a_page_at_least() -> None:
    shape = CompileShape(header_pages=2.33)
    assert shape.coarser(2).header_pages == pytest.approx(1.165)
    assert shape.coarser(32).header_pages == 1


@pytest.mark.parametrize(("growth", "halfway"), [(1, 600), (2, 900)])
def test_a_heap_grows_evenly_or_fast_at_first(growth: int, halfway: int) -> None:
    shape = CompileShape(
        sources=1, heap_pages=1_200, heap_spread=0, heap_steps=24, heap_growth=growth, heap_reuse=0
    )
    (job,) = Build("a", shape).jobs(1)
    grown = [
        len(action)
        for action in job.unit()
        if isinstance(action, Touch) and action.listed is None and action.first >= ANON
    ]
    assert len(grown) == 24
    assert sum(grown) == 1_200
    assert sum(grown[:12]) == halfway


def test_a_fast_growing_heap_takes_no_more_cpu_time() -> None:
    for growth in (1, 2):
        shape = CompileShape(sources=1, heap_growth=growth, heap_spread=0, cpu_ms=1_500)
        (job,) = Build("a", shape).jobs(1)
        spent_ns = sum(len(action) * action.cpu_ns for action in job.unit() if isinstance(action, Touch))
        assert spent_ns == pytest.approx(1.5e9, rel=0.05)

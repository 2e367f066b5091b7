# SPDX-License-Identifier: GPL-2.0-only
"""What is told of the guests of a run: a row for each that has a disk, and one line on those without enough memory."""

from __future__ import annotations

from typing import Any

import pytest

from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot
from xm_tmem.cli.run_report import COUNTED, out_of_memory, work_of

IDLE = {"cleancache_succ_gets": 3, "cleancache_failed_gets": 1, "out_of_memory": 0}


def guest(name: str = "web", **counted: int) -> dict[str, Any]:
    return {"name": name, "modelled_s": 1.25, "driver": {**dict.fromkeys(COUNTED, 0), **IDLE, **counted}}


def columns(*guests: dict[str, Any]) -> dict[str, Any]:
    (section,) = work_of(guests)
    return {column.heading: column.values for column in section.columns}


def test_a_linux_guest_counts_all_of_it() -> None:
    text = "guests: [{name: g, kind: linux, memory: 4MiB, kernel: 1MiB, workload: {kind: scan, file: 1MiB, passes: 1}}]"
    (found,) = report(boot(load_text(text)), complete=False)["guests"]
    assert set(COUNTED) <= set(found["driver"])
    assert columns(found)["cc_hit"] == [None], "there were no gets"


def test_guests_that_count_less_have_no_row() -> None:
    direct = {"name": "direct", "driver": {"operations": 7}}
    assert work_of([direct]) == []
    assert columns(direct, guest())["guest"] == ["web"]
    assert columns(guest())["cc_hit"] == [0.75]


def test_out_of_memory_shows_where_it_happened() -> None:
    assert "oom" not in columns(guest("a"), guest("b"))
    assert columns(guest("a"), guest("b", out_of_memory=2))["oom"] == [0, 2]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([], None),
        ([0, 0], None),
        ([0, 1], "g1 ran out of memory 1 time: give it memory or swap"),
        ([7], "g0 ran out of memory 7 times: give it memory or swap"),
        ([2, 0, 5], "2 guests ran out of memory, g2 most often, 5 times: give them memory or swap"),
    ],
)
def test_one_line_on_guests_out_of_memory(counts: list[int], told: str | None) -> None:
    guests = [guest(f"g{at}", out_of_memory=count) for at, count in enumerate(counts)]
    assert out_of_memory([{"name": "direct", "driver": {}}, *guests]) == told

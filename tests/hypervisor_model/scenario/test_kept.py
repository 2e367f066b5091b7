# SPDX-License-Identifier: GPL-2.0-only
"""What of a file is taken for results of the sweep that reads it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from hypervisor_model.scenario.kept import NotKept, Point, result, results_in

REPORT = {"schema": "xm-tmem/run/1", "host": {"evicted": 1}, "guests": [{"name": "a"}]}


def identity(point: Point) -> str:
    if "nobody" in point:
        raise ValueError("no such guest")
    return "now " + ",".join(sorted(point.values()))


def line(value: str, **changed: Any) -> bytes:
    point = {"seed": value}
    return json.dumps({**result(identity(point), point, REPORT), **changed}).encode() + b"\n"


def test_whole_lines_are_results() -> None:
    raw = line("1") + line("2")
    found, size = results_in(io.BytesIO(raw), identity)
    assert {key: each["vary"] for key, each in found.items()} == {
        "now 1": {"seed": "1"},
        "now 2": {"seed": "2"},
    }
    assert size == len(raw)
    assert results_in(io.BytesIO(b""), identity) == ({}, 0)


@pytest.mark.parametrize("length", [1, 5, 20, 40, 150, len(line("2")) - 2])
@pytest.mark.parametrize("before", [b"", line("1")])
def test_a_last_line_may_be_cut_short(before: bytes, length: int) -> None:
    found, size = results_in(io.BytesIO(before + line("2")[:length]), identity)
    assert (len(found), size) == (bool(before), len(before))


def test_a_last_line_may_lack_its_end() -> None:
    raw = line("1")[:-1]
    found, size = results_in(io.BytesIO(raw), identity)
    assert (list(found), size) == (["now 1"], len(raw))


@pytest.mark.parametrize(
    "other",
    [
        b"guests: []\n",
        b"guests: []",
        b"\n",
        b"\0",
        b"\xff\n",
        b"[1]\n",
        b"[" * 200_000,
        b'{"schema": "xm-tmem/run/1"}\n',
        line("2")[:100] + b"\n",
        line("2", vary={"seed": 2}),
        line("2", vary=["seed"]),
        line("2", report={}),
    ],
)
@pytest.mark.parametrize("before", [b"", line("1")])
def test_a_file_of_something_else_is_refused(before: bytes, other: bytes) -> None:
    number = 2 if before else 1
    with pytest.raises(NotKept, match=f"^line {number} is no result of a sweep: give another --to$"):
        results_in(io.BytesIO(before + other), identity)


@pytest.mark.parametrize(
    "changed",
    [{"scenario": "then 2"}, {"scenario": None}, {"vary": {"seed": "3"}}, {"vary": {"nobody": "1"}}],
)
def test_results_of_what_was_before_it_changed_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(NotKept, match=r"line 2 is of what the scenario, .* remove the file"):
        results_in(io.BytesIO(line("1") + line("2", **changed)), identity)


def test_results_from_before_results_said_what_they_came_from_are_refused() -> None:
    old = json.loads(line("1"))
    del old["scenario"]
    with pytest.raises(NotKept, match="remove the file"):
        results_in(io.BytesIO(json.dumps(old).encode() + b"\n"), identity)

# SPDX-License-Identifier: GPL-2.0-only
"""Two reports figure by figure, and documents that are none or were damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hypervisor_model.scenario.compare import differences, report_of
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot

TEXT = """
host: {memory: 24MiB}
guests:
  - {name: a, workload: {kind: random, working_set: 4MiB, operations: 600, rate: 900}}
  - {name: b, workload: {kind: random, working_set: 4MiB, operations: 600, rate: 900}}
"""
SCHEMA = "xm-tmem/run/1"


def report_from(text: str) -> Any:
    runner = boot(load_text(text))
    runner.run()
    return json.loads(json.dumps(report(runner, complete=True)))


def test_comparison_of_two_runs() -> None:
    reports = [report_from(TEXT), report_from(TEXT.replace("rate: 900", "rate: 450", 1))]
    found = {(each.where, each.figure): each for each in differences(*reports)}
    assert found["a", "modelled_s"].change == pytest.approx(1.0, abs=0.01)
    assert found["b", "operations"].change == 0
    assert found["a driver", "puts"].first == found["a driver", "puts"].second
    assert ("a", "name") not in found
    assert all(each.change == 0 or not each.first for each in differences(reports[0], reports[0]))
    with pytest.raises(ValueError, match="no guest in common"):
        differences(reports[0], {**reports[1], "guests": []})


def test_a_report_is_taken_as_it_is() -> None:
    found = report_from(TEXT)
    assert report_of(found) is found


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "no report of a run"),
        ([], "no report of a run"),
        (None, "no report of a run"),
        ({"schema": SCHEMA}, "`host` is no mapping"),
        ({"schema": SCHEMA, "guests": 3, "host": []}, "`host` is no mapping"),
        ({"schema": SCHEMA, "guests": 3, "host": {}}, "`guests` is no list"),
        ({"schema": SCHEMA, "guests": [3], "host": {}}, "`guests` is no list of guests with names"),
        (
            {"schema": SCHEMA, "guests": [{"name": []}], "host": {}},
            "`guests` is no list of guests with names",
        ),
    ],
)
def test_what_is_no_report(document: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        report_of(document)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, True, "7", [7]])
def test_what_no_run_counts_is_no_figure(odd: object) -> None:
    guest = {"name": "a", "puts": 7}
    first, second = ({"host": {}, "guests": [each]} for each in (guest, {**guest, "puts": odd}))
    assert differences(first, second) == []

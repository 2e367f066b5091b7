# SPDX-License-Identifier: GPL-2.0-only
"""evaluate: one exact scenario from argv to its verdict, and what is no scenario."""

from __future__ import annotations

from pathlib import Path

from tests.xm_tmem.cli.conftest import Xm


def test_an_exact_scenario_is_run_and_judged(xm: Xm, tmp_path: Path) -> None:
    report = tmp_path / "evaluation.md"
    done = xm("evaluate", "--suite", "X6", "--write", str(report), "-o", "json")
    (result,) = done.json["results"]
    assert (result["scenario"], result["title"], result["verdict"]) == ("X6", "selfballoon-golden", "PASS")
    assert "selfballoon-golden" in report.read_text(encoding="utf-8")


def test_what_is_no_scenario_is_refused(xm: Xm) -> None:
    done = xm("evaluate", "--suite", "X99")
    assert (done.status, done.out) == (2, "")
    assert "no suite or scenario 'X99'" in done.err

# SPDX-License-Identifier: GPL-2.0-only
"""evaluate: one exact scenario from argv to its verdict, and what is no scenario."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import Xm


def test_an_exact_scenario_is_run_and_judged(xm: Xm, tmp_path: Path) -> None:
    report = tmp_path / "evaluation.md"
    done = xm("evaluate", "--suite", "X6", "--write", str(report), "-o", "json")
    (result,) = done.json["results"]
    assert (result["scenario"], result["title"], result["verdict"]) == ("X6", "selfballoon-golden", "PASS")
    assert "selfballoon-golden" in report.read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_known_before_the_run(xm: Xm, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "evaluation.md"
    done = xm("evaluate", "--suite", "reference", "--write", str(path))
    assert (done.status, done.out) == (1, "")
    assert done.err == f"xm: cannot write {path}: No such file or directory\n", "nothing was run"


def test_results_are_printed_when_the_report_fails_after_all(xm: Xm) -> None:
    done = xm("evaluate", "--suite", "X6", "--write", "/dev/full", "-q")
    assert (done.status, done.err) == (1, "xm: cannot write /dev/full: No space left on device\n")
    assert "selfballoon-golden" in done.out


def test_a_report_that_is_there_stays_until_there_is_another(
    xm: Xm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "evaluation.md"
    report.write_text("earlier", encoding="utf-8")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hypervisor_model.evaluation.run", interrupted)
        assert xm("evaluate", "--suite", "X6", "--write", str(report)).status == 130
    assert report.read_text(encoding="utf-8") == "earlier"
    assert xm("evaluate", "--suite", "X6", "--write", str(report)).status == 0
    assert report.read_text(encoding="utf-8").startswith("#")


def test_what_is_no_scenario_is_refused(xm: Xm) -> None:
    done = xm("evaluate", "--suite", "X99")
    assert (done.status, done.out) == (2, "")
    assert "no suite or scenario 'X99'" in done.err


def test_several_at_a_time_come_out_in_the_order_of_the_report(xm: Xm) -> None:
    done = xm("evaluate", "--suite", "exact", "--jobs", "2", "-o", "json")
    assert done.status == 0
    assert [result["scenario"] for result in done.json["results"]] == [
        f"X{number}" for number in range(1, 13)
    ]
    assert "X12: PASS" in done.err


def test_no_jobs_are_refused(xm: Xm) -> None:
    assert xm("evaluate", "--jobs", "0").status == 2


def test_ctrl_c_ends_the_scenarios_too() -> None:
    command = [sys.executable, "-m", "xm_tmem", "evaluate", "--suite", "reference", "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert [process.stderr.readline() for _ in range(2)] == ["xm: R1 R3: running\n", "xm: R2: running\n"]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.stderr.read() == "xm: interrupted\n"
        assert process.wait() == 130
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)

# SPDX-License-Identifier: GPL-2.0-only
"""The time that a bar says is left: none where it would be a guess."""

from __future__ import annotations

import re

import pytest

from xm_tmem.cli.progress import bar, time_left


@pytest.mark.parametrize(
    ("done", "total", "elapsed_s", "left"),
    [
        (1, 250, 3.4, ""),  # too early: a run of seconds is not announced as one of minutes
        (50, 100, 10, "0:00:10 left"),
        (1, 1000, 10, "2:46:30 left"),
        (100, 100, 10, "0:00:00 left"),
        (101, 100, 10, "0:00:00 left"),
        (0, 100, 60, ""),
        (5, None, 60, ""),
    ],
)
def test_what_is_left_at_the_mean_rate(done: float, total: float | None, elapsed_s: float, left: str) -> None:
    assert time_left(done, total, elapsed_s) == left


@pytest.mark.parametrize("total", [None, 10.0])
def test_a_bar_fits_on_a_line_and_says_what_it_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: float | None
) -> None:
    for name, value in (("TTY_COMPATIBLE", "1"), ("FORCE_COLOR", "1"), ("COLUMNS", "80"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("xm_tmem.cli.progress.time_left", lambda done, total, elapsed_s: "0:00:10 left")
    with bar("modelled seconds", total, shown=True, refresh_s=0.0) as show:
        show(2.5, "75.8, 52,000 operations/s")
    told = capsys.readouterr()
    for text in ("modelled seconds", "75.8, 52,000 operations/s", "0:00:10 left"):
        assert text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.err)
    assert told.out == ""

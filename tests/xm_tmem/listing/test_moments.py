# SPDX-License-Identifier: GPL-2.0-only
"""FILE@MOMENT: which capture of a recording is meant."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from xm_tmem.errors import BadInput
from xm_tmem.listing.moments import choose, split_moment

START = 1767225600.0  # 2026-01-01T00:00:00Z
TIMES = [START, START + 60, START + 600]


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-2")  # two hours east
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "position"),
    [
        ("", 2),
        ("last", 2),
        ("first", 0),
        ("-1s", 1),
        ("-9m", 1),
        ("-541s", 0),
        ("-10m", 0),
        ("+59s", 0),
        ("+1m", 1),
        ("+1h", 2),
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:01:30+00:00", 1),
        ("2026-01-01T02:01", 1),
        ("2026-01-01 02:09:59", 1),
        ("02:10", 2),
        ("02:01:01", 1),
    ],
)
def test_the_last_capture_at_or_before_the_moment(moment: str, position: int) -> None:
    assert choose(TIMES, moment) == position


@pytest.mark.parametrize("moment", ["-11m", "2025-12-31T23:59:59Z", "01:59"])
def test_before_the_first_there_is_none(moment: str) -> None:
    with pytest.raises(BadInput, match="begins after"):
        choose(TIMES, moment)
    assert choose(TIMES, moment, or_first=True) == 0


@pytest.mark.parametrize(
    "moment", ["yesterday", "-", "+", "-x", "+0", "25:00", "2026-01-01", "2026-13-01T00:00", "\0", "9" * 400]
)
def test_what_is_no_moment_is_refused(moment: str) -> None:
    with pytest.raises(BadInput):
        choose(TIMES, moment)


def test_an_at_in_the_name_of_a_file_is_part_of_it(tmp_path: Path) -> None:
    path = str(tmp_path / "root@alpha")
    assert split_moment(path) == (str(tmp_path / "root"), "alpha")
    Path(path).touch()
    assert split_moment(path) == (path, "")
    assert split_moment(f"{path}@first") == (path, "first")
    assert split_moment("@first") == ("@first", "")

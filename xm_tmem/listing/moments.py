# SPDX-License-Identifier: GPL-2.0-only
"""Which capture of a recording is meant: FILE is its last one, FILE@MOMENT the last one at or before that moment.

first, last            the first or the last capture
-10m, -2h              so long before the last one
+10m                   so long after the first one
2026-01-31T09:30[:00]  a date and time, in local time or, with Z or +01:00 behind it, in that one's
09:30[:00]             that time on the day of the last capture
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from xm_tmem.errors import BadInput
from xm_tmem.units import parse_duration


def split_moment(path: str) -> tuple[str, str]:
    """(file, moment) of FILE or FILE@MOMENT; a file that has an @ in its name is found all the same."""
    name, at, moment = path.rpartition("@")
    return (name, moment) if at and name and not os.path.lexists(path) else (path, "")


def choose(timestamps: Sequence[float], moment: str, *, or_first: bool = False) -> int:
    """The position of the capture meant, of those made at `timestamps`, of which there is one. Raises BadInput.

    `or_first`: a moment before the first capture means that one.
    """
    if moment in ("", "last"):
        return len(timestamps) - 1
    if moment == "first":
        return 0
    if moment[0] == "-":
        when = timestamps[-1] - parse_duration(moment[1:])
    elif moment[0] == "+":
        when = timestamps[0] + parse_duration(moment[1:])
    else:
        when = _timestamp(moment, timestamps[-1])
    before = [position for position, timestamp in enumerate(timestamps) if timestamp <= when]
    if not before and or_first:
        return 0
    if not before:
        raise BadInput(f"the recording begins after {moment}")
    return before[-1]


def _timestamp(text: str, last: float) -> float:
    """Seconds since 1970 of a date and time, or of a time on the local day of `last`. Raises BadInput."""
    from datetime import date, datetime, time

    written = f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text  # Python 3.10 knows no Z
    try:
        if "-" not in text.partition("+")[0]:
            day = datetime.fromtimestamp(last).date()
            return datetime.combine(day, time.fromisoformat(written)).timestamp()
        if "T" not in text.upper() and " " not in text:
            raise ValueError(f"{date.fromisoformat(text)} is a day")
        return datetime.fromisoformat(written).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(
            f"{text!r} is no moment: write first, last, -10m, +2h, 09:30 or 2026-01-31T09:30:00Z"
        ) from None

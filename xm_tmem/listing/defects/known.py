# SPDX-License-Identifier: GPL-2.0-only
"""What is known of one oddity of Xen's tmem or of its old tools."""

from __future__ import annotations

from typing import NamedTuple


class KnownDefect(NamedTuple):
    """One oddity. `where` is the C function, or several with commas between, or the old tool."""

    name: str  # what `xm tmem-explain` is asked for
    where: str
    since: str  # the first release that has it
    until: str  # the last
    what: str
    advice: str  # what to do about it; "none" and why where nothing needs doing
    words: tuple[str, ...] = ()  # an operator's words that find it too

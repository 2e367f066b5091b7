# SPDX-License-Identifier: GPL-2.0-only
"""Reports to render: of recorded texts, of mutilated ones, with names from hostile hands."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.xm_tmem.listing import texts
from xm_tmem.listing.report import Report, read_report

HOSTILE_NAMES = {0: "[red]x[/]", 1: 'a"b\\c\nd\x1b]0;e\x07\u202e\ud800', 2: "日本", 3: "=1+1"}


def report(name: str = "4.12", names: dict[int, str] | None = None) -> Report:
    return read_report(
        texts.recorded(name),
        connection="replay:x",
        release="4.12",
        timestamp=1.5,
        names=names or {0: "Domain-0"},
    )


hostile = st.builds(
    lambda text, names, connection: read_report(text, connection=connection, timestamp=0.0, names=names),
    texts.mutilated(),
    st.dictionaries(st.integers(0, 3), st.text(max_size=10)),
    st.text(max_size=10),
)

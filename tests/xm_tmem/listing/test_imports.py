# SPDX-License-Identifier: GPL-2.0-only
"""What a plain listing imports: it is most of the time such a command takes."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    *("asyncio", "csv", "dataclasses", "datetime", "difflib", "inspect", "json", "rich", "textwrap", "yaml"),
    *(
        "xm_tmem.listing.explain",
        "xm_tmem.listing.filter",
        "xm_tmem.render.structured",
        "xm_tmem.render.table",
    ),
}


def test_reading_and_printing_a_listing_imports_nothing_heavy() -> None:
    program = (
        "from xm_tmem.listing.report import read_report\n"
        "from xm_tmem.listing.select import selection\n"
        "from xm_tmem.render.formats import render_listing\n"
        "report = read_report(b'C=CI:1,ww:5\\nP=CI:1,PI:0,Pc:3\\n', connection='x', timestamp=0.0)\n"
        "wanted = selection(order='-pages', columns='+gets')\n"
        "print(render_listing(report, wanted, 'plain', use_long=True))\n"
        "import sys; print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())
    assert "weight" in done.stdout

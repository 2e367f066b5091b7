# SPDX-License-Identifier: GPL-2.0-only
"""What each format makes of a listing of each release, compared with files named after the release.

A release whose text has the keys of the one before is left out: 4.7, and 4.9 to 4.11. `make golden` writes the files.
"""

from __future__ import annotations

import pytest

from tests.conftest import Golden
from tests.xm_tmem.listing import texts
from xm_tmem.listing.compat import reformat
from xm_tmem.listing.report import Report, read_report
from xm_tmem.listing.select import selection
from xm_tmem.render import prometheus
from xm_tmem.render.formats import render_listing

NAMES = {0: "Domain-0", 1: "web [red]server", 2: "d\x1b[31mb\n2"}
WHEN = 1_500_000_000.25


def report(name: str) -> Report:
    return read_report(
        texts.recorded(name),
        connection="replay:saved.txt",
        release=name[:4].rstrip("-"),
        timestamp=WHEN,
        names=NAMES,
    )


@pytest.mark.parametrize("name", texts.NAMES)
@pytest.mark.parametrize("fmt", ["plain", "json"])
def test_every_release(name: str, fmt: str, golden: Golden) -> None:
    golden(f"listings/{name}.{fmt}", render_listing(report(name), selection(units="pages"), fmt))


@pytest.mark.parametrize("name", texts.NAMES)
def test_the_old_parser(name: str, golden: Golden) -> None:
    golden(f"listings/{name}.parsed", reformat(texts.recorded(name)))


@pytest.mark.parametrize("name", ["4.3", "4.12", "4.12-shared"])
@pytest.mark.parametrize("fmt", ["jsonl", "yaml", "csv", "prometheus"])
def test_formats_for_programs(name: str, fmt: str, golden: Golden) -> None:
    golden(f"listings/{name}.{fmt}", render_listing(report(name), selection(), fmt))


@pytest.mark.parametrize("name", ["4.3", "4.12", "4.12-shared"])
def test_views(name: str, golden: Golden) -> None:
    long = render_listing(report(name), selection(units="KiB"), "plain", use_long=True, legend=True)
    clients = render_listing(report(name), selection(by_client=True), "plain")
    golden(f"listings/{name}.long", long)
    golden(f"listings/{name}.clients", clients)


def test_openmetrics(golden: Golden) -> None:
    golden("listings/4.12.openmetrics", prometheus.render(report("4.12"), openmetrics=True))


@pytest.mark.parametrize("width", [40, 80])
def test_table(width: int, golden: Golden) -> None:
    from rich.console import Console

    from xm_tmem.render import sections, table

    console = Console(width=width, color_system="standard", force_terminal=True, highlight=False, _environ={})
    blocks = sections.short_view(report("4.12-shared"), selection())
    with console.capture() as capture:
        console.print(table.render(blocks, width=width))
    golden(f"listings/4.12-shared.table{width}", capture.get())

# SPDX-License-Identifier: GPL-2.0-only
"""The formats a listing can be had in, by name: what `-o` chooses. Each renderer is imported when it is asked for."""

from __future__ import annotations

from xm_tmem.listing.report import Report
from xm_tmem.listing.select import Selection

FORMATS = ("table", "plain", "json", "jsonl", "yaml", "csv", "raw", "prometheus")


def render_listing(
    report: Report,
    selection: Selection,
    fmt: str,
    *,
    use_long: bool = False,
    headings: bool = True,
    legend: bool = False,
    whose: bool = False,
) -> str | bytes:
    """The report as text, in any of FORMATS but table (see `render.table`, which needs a terminal); raw is bytes.

    `use_long` asks for every value; formats for programs have them all anyway, but for CSV. `legend` matters to plain
    text only, the selection's columns and `headings` to plain text and CSV; `whose` has each row of CSV say the host.
    """
    if fmt == "plain":
        from xm_tmem.render import plain, sections

        blocks = sections.long_view(report, selection) if use_long else sections.short_view(report, selection)
        if legend:
            blocks.append(sections.legend(blocks, selection.units))
        return plain.render(blocks, units=selection.units, headings=headings)
    if fmt == "raw":
        from xm_tmem.render import raw

        return raw.render(report)
    if fmt == "prometheus":
        from xm_tmem.render import prometheus

        return prometheus.render(report)
    from xm_tmem.render import structured

    if fmt == "csv":
        return structured.render_csv(report, selection, every_field=use_long, headings=headings, whose=whose)
    render = {
        "json": structured.render_json,
        "jsonl": structured.render_jsonl,
        "yaml": structured.render_yaml,
    }[fmt]
    return render(report, selection)

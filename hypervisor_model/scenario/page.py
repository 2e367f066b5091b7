# SPDX-License-Identifier: GPL-2.0-only
"""A run's report as one HTML page that needs nothing else: plots over modelled time, then the final figures.

No script and no reference to another file; a policy in its head has the browser hold it to that, whatever a name in a
report may contain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from hypervisor_model.scenario.history import MOST_GUESTS
from hypervisor_model.scenario.markup import escaped, table
from hypervisor_model.scenario.plot import Line, plot

PAGES_PER_MIB: Final = 256
RATE_WINDOWS: Final = 60  # hit rates are means over so many parts of the run

HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
"""
STYLE: Final = """<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 1500px; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; } .unit { font-weight: 400; opacity: .7; }
svg { display: block; width: 100%; } svg text { fill: currentColor; font-size: 12px; }
.grid { stroke: currentColor; opacity: .2; fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; padding: 0; }
li { overflow-wrap: anywhere; }
.swatch { display: inline-block; width: 28px; margin-right: .4rem; vertical-align: middle; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: bottom; border-bottom: 1px solid #8884; }
td { white-space: nowrap; } .number, th + th { text-align: right; }
.notice { border-left: 4px solid #e07b39; padding-left: .6rem; }
</style>
"""
EXPLANATION: Final = {
    "Memory": "What each domain owns, its persistent tmem pages included; what of the host is free; what is idle in "
    "tmem: on its own list, with nothing in it, and not free until tmem is made to give it back.",
    "Disk pages": "Solid: read and written. Dashed: as it would have been without tmem, each page that tmem took or "
    "gave counted as one written to the disk or read from it.",
    "Hit rate": "Gets that found their page, in each sixtieth of the run; no line where there were no gets. As in the "
    "guests' hit ratio, a get from a pool without pages is not counted: Xen answers it before it counts. In cleancache "
    "hit percent it is a miss.",
}


def page(report: Mapping[str, Any], history: Mapping[str, Any]) -> str:
    """The page of a `report` (hypervisor_model.scenario.report) and its History's `record`."""
    host, guests = report["host"], report["guests"]
    name = escaped(report["scenario"])
    parts = [HEAD, f"<title>{name}: run</title>\n", STYLE, f"</head>\n<body>\n<h1>{name}</h1>\n"]
    if report["description"]:
        parts.append(f"<p>{escaped(report['description'])}</p>")
    parts.append(
        f"<p>{host['operations']:,} operations in {host['modelled_s']:,.1f} s of modelled time on Xen "
        f"{escaped(host['release'])}, quirks <code>{escaped(host['quirks'])}</code>, booted with "
        f"<code>{escaped(host['command_line'])}</code>.</p>"
    )
    if not report["complete"]:
        parts.append('<p class="notice">The run was interrupted: this is what there was by then.</p>')
    if len(guests) > MOST_GUESTS:
        parts.append(
            f"<p>The plots show the first {MOST_GUESTS} of {len(guests)} guests; the tables have all.</p>"
        )
    plots = _plots(history)
    parts += ['<div class="plots">', *plots.values(), "</div>"]
    parts.append("<ul>")
    parts += [f"<li><b>{title}</b> {text}</li>" for title, text in EXPLANATION.items() if title in plots]
    parts.append("</ul>")
    parts.append(_guests_table(guests))
    parts += _driver_tables(guests)
    parts.append(table("Host", ["figure", "value"], list(host.items())))
    parts.append("</body>\n</html>\n")
    return "\n".join(parts)


def _plots(history: Mapping[str, Any]) -> dict[str, str]:
    """The plots by title; those of what the run did not have are left out."""
    times_s, guests = history["time_s"], history["guests"]

    def lines(figure: str) -> list[Line]:
        return [Line(guest["name"], _mib(guest[figure]), at) for at, guest in enumerate(guests)]

    unused = [
        Line(name, _mib(history["host"][figure]), len(guests) + at, dashed=True)
        for at, (name, figure) in enumerate(
            (("free on the host", "free_pages"), ("idle in tmem", "tmem_idle_pages"))
        )
    ]
    plots = {"Memory": plot("Memory", "MiB", times_s, [*lines("owned_pages"), *unused])}
    for title, figure in (("Ephemeral pages", "ephemeral_pages"), ("Persistent pages", "persistent_pages")):
        if any(any(guest[figure]) for guest in guests):
            plots[title] = plot(title, "MiB in tmem", times_s, lines(figure))
    if any(any(guest["gets"]) for guest in guests):
        plots["Hit rate"] = plot("Hit rate", "% of gets", *_hit_rates(times_s, guests))
    disks = [(at, guest) for at, guest in enumerate(guests) if "disk_pages" in guest]
    if disks:
        solid = [Line(guest["name"], _mib(guest["disk_pages"]), at) for at, guest in disks]
        dashed = [
            Line(f"{guest['name']} without tmem", _mib(_without(guest)), at, dashed=True)
            for at, guest in disks
        ]
        both = [line for pair in zip(solid, dashed, strict=True) for line in pair]
        plots["Disk pages"] = plot("Disk pages", "MiB since boot", times_s, both)
    return plots


def _mib(pages: Sequence[int]) -> list[float]:
    return [count / PAGES_PER_MIB for count in pages]


def _without(guest: Mapping[str, Any]) -> list[int]:
    return [done + saved for done, saved in zip(guest["disk_pages"], guest["disk_pages_saved"], strict=True)]


def _hit_rates(
    times_s: Sequence[float], guests: Sequence[Mapping[str, Any]]
) -> tuple[list[float], list[Line]]:
    """Times at the ends of windows of the run, and each guest's share of gets that hit in each, in percent."""
    ends = [0]
    width_s = (times_s[-1] - times_s[0]) / RATE_WINDOWS
    for at, time_s in enumerate(times_s):
        if time_s - times_s[ends[-1]] >= width_s and at:
            ends.append(at)
    if ends[-1] != len(times_s) - 1:
        ends.append(len(times_s) - 1)
    rates: list[Line] = []
    for number, guest in enumerate(guests):
        values: list[float | None] = []
        for before, end in pairwise(ends):
            gets = guest["gets"][end] - guest["gets"][before]
            hits = guest["found_gets"][end] - guest["found_gets"][before]
            values.append(100 * hits / gets if gets > 0 else None)
        rates.append(Line(guest["name"], values, number))
    return [times_s[end] for end in ends[1:]], rates


def _guests_table(guests: Sequence[Mapping[str, Any]]) -> str:
    """A row for each guest: everything in its report but what its driver counted."""
    headings = [name for name in guests[0] if name != "driver"] if guests else []
    return table("Guests", headings, [[guest[name] for name in headings] for guest in guests])


def _driver_tables(guests: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each kind of guest a table of what its driver counted: figures downwards, guests across."""
    tables = []
    for kind in dict.fromkeys(guest["kind"] for guest in guests):
        alike = [guest for guest in guests if guest["kind"] == kind]
        rows = [[figure, *(guest["driver"].get(figure) for guest in alike)] for figure in alike[0]["driver"]]
        tables.append(
            table(f"Counted by guests of kind {kind}", ["", *(guest["name"] for guest in alike)], rows)
        )
    return tables

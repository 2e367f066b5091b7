# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-plot`: the history of chosen fields, drawn."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from xm_tmem.cli.grid import FORMATS, serialise
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, Failed, Unsupported
from xm_tmem.listing.moments import choose
from xm_tmem.listing.recording import Recording
from xm_tmem.listing.report import Report
from xm_tmem.operations.history import History, Series, history, wanted_fields
from xm_tmem.render.cells import cell_text, visible
from xm_tmem.render.live import rate_text
from xm_tmem.render.structured import timestamp_text

USUAL_FIELDS = "pages,gets,hit_rate"
SCHEMA = "xm-tmem/history/1"
_PIPE_WIDTH = 80
_KINDS = ("png", "svg")


@click.command(
    "tmem-plot",
    cls=Verb,
    connects=False,
    examples=[
        ("xm tmem-plot web.xmr", "pages, gets and hit rate of every domain, here in the terminal"),
        (
            "xm tmem-plot web.xmr web db --fields pages,host.evicted_pages --image web.svg",
            "two domains, as an image",
        ),
        ("xm tmem-plot web.xmr --since -1h -o csv > last-hour.csv", "the numbers, for another program"),
    ],
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@option(
    "--fields",
    metavar="LIST",
    default=USUAL_FIELDS,
    help=f"What to draw: {USUAL_FIELDS}; host.NAME of the host.",
)
@option("--pools", "by_pool", is_flag=True, help="A line for each pool instead of one for each domain.")
@option(
    "--since", metavar="MOMENT", default="first", help="From when on: -1h, +10m, 09:30; the first capture."
)
@option("--until", metavar="MOMENT", default="last", help="Until when; the last capture.")
@option("--image", metavar="PATH", type=click.Path(dir_okay=False), help="Write a .png or .svg instead.")
@click.pass_obj
def tmem_plot(
    session: Session,
    file: str,
    domains: tuple[str, ...],
    fields: str,
    by_pool: bool,
    since: str,
    until: str,
    image: str | None,
) -> None:
    """Draw the history of chosen fields of a recording.

    FILE is what tmem-record made. Counters are drawn as rates for each second, ratios as those of each interval; a
    counter that started again is counted from 0. Images want the extra `plot`; a terminal needs nothing.
    """
    form = require_format(session, FORMATS, "tmem-plot")
    wanted = wanted_fields(fields)
    kind = _kind_of(image)
    found = history(_reports(file, since, until), wanted, by_pool=by_pool, domains=domains)
    if len(found.times) < 2:
        raise BadInput(f"{file}: one capture has no history")
    if image is not None:
        _write_image(image, kind, found)
    elif session.machine:
        records = list(_records(found))
        session.write(serialise(form, {"schema": SCHEMA, "history": records}, records))
    else:
        session.write(_charts(session, found))


def _reports(file: str, since: str, until: str) -> Iterator[Report]:
    """The captures from one moment to another. Raises BadInput, BadListing."""
    with Recording(file) as recording:
        times = [place.timestamp for place in recording.places]
        first, last = choose(times, since, or_first=True), choose(times, until)
        for place in recording.places[first : last + 1]:
            yield recording.capture(place).report()


def _kind_of(image: str | None) -> str:
    kind = "" if image is None else os.path.splitext(image)[1].lower().removeprefix(".")
    if image is not None and kind not in _KINDS:
        raise BadInput(f"{image}: an image is a .png or a .svg")
    return kind


def _label(series: Series) -> str:
    """web (1), pool 0; nothing for the host."""
    if series.domain is None:
        return ""
    name = f"{series.name} ({series.domain})" if series.name else f"domain {series.domain}"
    return name if series.pool is None else f"{name}, pool {series.pool}"


def _title(series: Series) -> str:
    host = "host " if series.domain is None else ""
    return f"{host}{series.field}{'/s' if series.is_rate else ''}"


def _records(found: History) -> Iterator[dict[str, Any]]:
    for series in found.series:
        for when, value in zip(found.times, series.values, strict=True):
            yield {
                "time": timestamp_text(when),
                "field": _title(series).replace(" ", "."),
                "domain": series.domain,
                "name": series.name,
                "pool": series.pool,
                "value": value,
            }


def _charts(session: Session, found: History) -> str:
    """A chart for each series, an empty line between them."""
    from shutil import get_terminal_size

    from xm_tmem.cli.output import is_terminal
    from xm_tmem.render.chart import chart
    from xm_tmem.render.sparkline import bars

    ramp = bars(session.environ, sys.stdout.encoding)
    width = get_terminal_size().columns if is_terminal() else _PIPE_WIDTH
    parts = []
    for series in found.series:

        def text(value: float, series: Series = series) -> str:
            return (
                rate_text(value)
                if series.is_rate
                else cell_text(_whole(value, series.unit), series.unit, "auto")
            )

        known = [value for value in series.values if value is not None]
        last = text(known[-1]) if known else "-"
        title = " ".join(filter(None, (visible(_label(series)), _title(series), f"now {last}")))
        lines = chart(found.times, series.values, width=width, text=text, ramp=ramp)
        parts.append("".join(f"{line}\n" for line in (title, *lines)))
    return "\n".join(parts)


def _whole(value: float, unit: str) -> float | int:
    return value if unit == "ratio" else round(value)


def _write_image(path: str, kind: str, found: History) -> None:
    """Raises Unsupported (no matplotlib), Failed."""
    try:
        from xm_tmem.render.image import Panel, image
    except ImportError:
        raise Unsupported("--image needs matplotlib: pip install 'xm-tmem[plot]'") from None
    panels: dict[str, Panel] = {}
    for series in found.series:
        unit = "number" if series.is_rate else series.unit
        panel = panels.setdefault(_title(series), Panel(_title(series), unit, []))
        panel.lines.append((_label(series), series.values))
    drawn = image(found.times, list(panels.values()), kind)
    try:
        with open(path, "wb") as file:
            file.write(drawn)
    except (OSError, ValueError) as error:
        raise Failed(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None

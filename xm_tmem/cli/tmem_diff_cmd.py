# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-diff`: what changed between two listings, and how fast."""

from __future__ import annotations

import time

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.grid import FORMATS, serialise
from xm_tmem.cli.params import DURATION
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput
from xm_tmem.listing.report import Report
from xm_tmem.operations.comparing import Change, changes
from xm_tmem.operations.query import listed
from xm_tmem.render.sections import Block, Column, Fact, Facts, Section, warnings
from xm_tmem.render.structured import origin

SCHEMA = "xm-tmem/diff/1"
CONNECTIONS = ("xen:", "xen+ssh:", "model:", "scenario:", "replay:")
WAIT_S = 5.0
HEADINGS = {
    "record": ("text", "host, client, pool or shared-pool"),
    "domain": ("id", "the domain's id"),
    "name": ("text", "the domain's name"),
    "pool": ("text", "the pool's id; of a shared pool the words of its uuid"),
    "state": ("text", "same, new, gone, or reset: counters started again in between"),
    "field": ("text", "what changed; tmem-explain knows more"),
    "before": ("number", "the value in the first listing"),
    "after": ("number", "the value in the second"),
    "change": ("number", "how much it grew; of a counter that started again, what it counted since"),
    "per_second": ("number", "how fast a counter grew"),
}


@click.command(
    "tmem-diff",
    cls=Verb,
    examples=[
        ("xm tmem-diff web.xmr", "from the first capture of a recording to the last"),
        ("xm tmem-diff web.xmr@-1h web.xmr", "the last hour of it"),
        ("xm tmem-diff before.txt xen:///", "a saved listing, and the host as it is now"),
        ("xm tmem-diff --wait 10s", "the host now, and in ten seconds"),
    ],
)
@click.argument("sources", metavar="[A [B]]", nargs=-1, type=click.Path())
@option(
    "--wait", "wait_s", metavar="SECONDS", type=DURATION, help="Without A and B: how long to wait in between."
)
@option("-a", "--all", "unchanged", is_flag=True, help="What did not change, too.")
@option("--no-headings", is_flag=True, help="Leave titles and headings out.")
@click.pass_obj
def tmem_diff(
    session: Session, sources: tuple[str, ...], wait_s: float | None, unchanged: bool, no_headings: bool
) -> None:
    """Show what changed between two listings, and how fast.

    A and B are recordings (FILE, or FILE@MOMENT such as web.xmr@-10m, web.xmr@first, web.xmr@09:30), saved listings or
    connections. One recording alone is compared from its first capture to its last; without any, the host is asked
    twice. Counters that started again, because a domain or the host did, are told by `reset` and are never negative.
    """
    form = require_format(session, FORMATS, "tmem-diff")
    if len(sources) > 2 or (sources and wait_s is not None):
        raise click.UsageError("give A and B, or --wait and neither", click.get_current_context())
    before, after = _both(session, sources, wait_s or WAIT_S)
    if after.timestamp < before.timestamp:
        session.note("the first listing is the later one: what is shown goes back in time")
    found = changes(before, after, unchanged=unchanged)
    if session.machine:
        records = [{key: value for key, value in each._asdict().items() if key != "unit"} for each in found]
        whole = {"schema": SCHEMA, "before": origin(before), "after": origin(after),
                 "seconds": after.timestamp - before.timestamp, "changes": records}  # fmt: skip
        session.write(serialise(form, whole, records))
    else:
        session.write_blocks(_blocks(before, after, found), headings=not no_headings)
    for report in (before, after):
        for warning in warnings(report):
            session.note(f"{report.connection}: {warning}")


def _both(session: Session, sources: tuple[str, ...], wait_s: float) -> tuple[Report, Report]:
    """The two reports to compare. Raises BadInput."""
    if not sources:

        def twice(backend: Backend) -> tuple[Report, Report]:
            before = listed(backend).report
            if backend.host().recorded_at is not None:
                raise BadInput(f"{backend.name} stands still: name two moments of it")
            time.sleep(wait_s)
            return before, listed(backend).report

        return session.ask_one(twice, "tmem-diff")
    if len(sources) == 1:
        if sources[0].startswith(CONNECTIONS) or "@" in sources[0]:
            raise BadInput(f"{sources[0]} is one listing: name another to compare it with")
        sources = (f"{sources[0]}@first", sources[0])
    before, after = (_report(session, source) for source in sources)
    return before, after


def _report(session: Session, source: str) -> Report:
    """The listing that `source`, a connection or a file, stands for. Raises BadInput."""
    backend = session.open(source if source.startswith(CONNECTIONS) else f"replay:{source}")
    try:
        return listed(backend).report
    finally:
        backend.close()


def _blocks(before: Report, after: Report, found: list[Change]) -> list[Block]:
    when = Facts(
        "",
        (
            Fact("before", "text", "", f"{before.connection}, {origin(before)['timestamp']}"),
            Fact("after", "text", "", f"{after.connection}, {origin(after)['timestamp']}"),
            Fact("seconds", "text", "", f"{after.timestamp - before.timestamp:.1f}"),
        ),
    )
    columns = [
        Column(name, unit, meaning, [_shown(getattr(each, name)) for each in found])
        for name, (unit, meaning) in HEADINGS.items()
    ]
    return [when, Section("changes", tuple(columns))]


def _shown(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value

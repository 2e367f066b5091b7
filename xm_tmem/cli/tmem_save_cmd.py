# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-save`: a domain's tmem into a file."""

from __future__ import annotations

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.copying import (
    STANDARD,
    domain_named,
    limit_bytes,
    progress,
    rate_option,
    save_options,
    switching,
    writing,
)
from xm_tmem.cli.grid import show_facts
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, word
from xm_tmem.errors import BadInput, PartlyDone
from xm_tmem.operations.migration import Pace, Saved, save
from xm_tmem.operations.resolve import label
from xm_tmem.operations.saving import SaveOptions, refuse, survey
from xm_tmem.render.sections import Fact
from xm_tmem.streams.items import StreamFormat

FORMATS = {fmt.value.lower(): fmt for fmt in StreamFormat}


@click.command(
    "tmem-save",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-save web web.tmem", "the pools, settings and persistent pages of the paused domain web"),
        ("xm tmem-save --compress web - | ssh away 'cat > web.tmem'", "deflated, through a pipe"),
        ("xm tmem-save --live --switch 'xl pause web' web web.tmem", "copy while it runs, then pause it"),
        ("xm tmem-save --partial web web.tmem", "on a Xen that cannot give all: what it gives"),
        ("xm -N tmem-save web web.tmem", "say what there is to save, and what is out of reach"),
    ],
)
@save_options
@click.option("--compress", is_flag=True, help="Deflate the container.")
@click.option(
    "--format",
    "form",
    type=word(tuple(FORMATS)),
    default="container",
    help="container, or A or B as libxc wrote them.",
)
@rate_option
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.argument("domain", metavar="DOMAIN")
@click.argument("file", metavar="FILE")
@click.pass_obj
def tmem_save(
    session: Session,
    live: bool,
    switch: str | None,
    partial: bool,
    risk_host: bool,
    compress: bool,
    form: str,
    rate_kb: int | None,
    force: bool,
    domain: str,
    file: str,
) -> None:
    """Save a domain's tmem: its settings, pools and persistent pages.

    FILE is checksummed and readable by its owner alone; - is standard output. The domain should be paused, unless
    --live. It is frozen meanwhile, and afterwards as it was, also if something fails. No release of Xen can save a
    pool of more than one page whole; such a save is refused before anything is changed.
    """
    checked_format(session, "tmem-save")
    if file == STANDARD and session.machine:
        raise BadInput("standard output cannot have both the stream and a report: name a FILE")
    fmt = FORMATS[form.lower()]
    if compress and fmt is not StreamFormat.CONTAINER:
        raise BadInput(f"format {fmt.value} cannot be compressed: use the container")
    options = SaveOptions(live, partial, risk_host, switching(switch, live=live))

    def act(backend: Backend) -> None:
        target = domain_named(backend, domain)
        if session.dry_run:
            found = survey(backend, target.domain_id)
            refuse(found, target.domain_id, options)
            session.write(
                f"{label(target)}: would be: {found.pages} pages of {len(found.pools)} pools saved\n"
            )
            return
        with writing(file, replace=force) as out, progress(session, f"saving {label(target)}") as bar:
            pace = Pace(limit_bytes(rate_kb), bar)
            saved = save(
                backend, target.domain_id, out, fmt=fmt, compress=compress, options=options, pace=pace
            )
        _report(session, label(target), file, saved)

    session.ask_one(act, "tmem-save")


def _report(session: Session, who: str, file: str, saved: Saved) -> None:
    """What went into the file. Raises PartlyDone when it is not all there was."""
    end = saved.end
    missing = sum(end.missing.values())
    if session.machine:
        facts = [
            Fact("domain", "text", "the domain", who),
            Fact("file", "text", "where it went", file),
            Fact("pools", "pools", "pools saved", len(saved.pools)),
            Fact("pages", "pages", "persistent pages saved", end.pages),
            Fact("invalidations", "pages", "of them flushed since", end.invalidations),
            Fact("missing", "pages", "persistent pages that could not be had", missing),
        ]
        show_facts(session, "saved", facts)
    else:
        flushed = f", {end.invalidations} of them flushed since" if end.invalidations else ""
        text = f"{who}: {end.pages} pages of {len(saved.pools)} pools saved{flushed}"
        if file == STANDARD:
            session.note(text)
        elif not session.quiet:
            session.write(f"{text}\n")
    if missing:
        what = ", ".join(f"{pages} of pool {pool_id}" for pool_id, pages in end.missing.items())
        raise PartlyDone(f"{who}: pages are missing from the save: {what}")

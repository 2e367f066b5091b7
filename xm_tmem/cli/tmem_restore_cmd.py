# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-restore`: a saved domain's tmem into a domain."""

from __future__ import annotations

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.copying import STANDARD, domain_named, limit_bytes, progress, rate_option, reading
from xm_tmem.cli.grid import show_facts
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import PartlyDone
from xm_tmem.operations.migration import Pace, restore
from xm_tmem.operations.resolve import label
from xm_tmem.operations.restoring import Restored, RestoreOptions
from xm_tmem.render.sections import Fact
from xm_tmem.streams.reader import rewindable, verify


@click.command(
    "tmem-restore",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-restore web.tmem web", "into the domain web, which must not have used tmem yet"),
        (
            "ssh away cat web.tmem | xm tmem-restore - web",
            "through a pipe; read in full before anything is changed",
        ),
        ("xm tmem-restore --into-existing web.tmem web", "into a domain whose pools are free or empty"),
        ("xm -N tmem-restore web.tmem web", "read and check the file, and change nothing"),
    ],
)
@click.option(
    "--into-existing", is_flag=True, help="Take a domain that uses tmem, if no page of it is in the way."
)
@click.option(
    "--partial", is_flag=True, help="Restore an incomplete save, and leave out pages the host refuses."
)
@rate_option
@click.argument("file", metavar="FILE")
@click.argument("domain", metavar="DOMAIN")
@click.pass_obj
def tmem_restore(
    session: Session, into_existing: bool, partial: bool, rate_kb: int | None, file: str, domain: str
) -> None:
    """Restore a saved domain's tmem, whole or not at all.

    FILE is a container or a stream of formats A or B; - is standard input. It is read to its end before anything is
    changed, and the host's counts are compared with it afterwards. If something fails every page is taken back.
    """
    checked_format(session, "tmem-restore")
    name = "standard input" if file == STANDARD else file

    def act(backend: Backend) -> None:
        target = domain_named(backend, domain)
        with reading(file) as stream:
            if session.dry_run:
                with rewindable(stream) as whole:
                    pools = verify(whole, name)
                session.write(f"{label(target)}: would be: {pools} pools restored from {name}\n")
                return
            with progress(session, f"restoring {label(target)}") as bar:
                options = RestoreOptions(into_existing, partial)
                pace = Pace(limit_bytes(rate_kb), bar)
                restored = restore(backend, target.domain_id, stream, name, options=options, pace=pace)
        report_restored(session, label(target), restored)

    session.ask_one(act, "tmem-restore")


def report_restored(session: Session, who: str, restored: Restored) -> None:
    """What the target has now. Raises PartlyDone when it refused pages."""
    if session.machine:
        facts = [
            Fact("domain", "text", "the domain", who),
            Fact("pools", "pools", "pools restored", restored.pools),
            Fact("pages", "pages", "persistent pages put", restored.pages),
            Fact("invalidations", "pages", "of them flushed again", restored.invalidations),
            Fact("refused", "pages", "persistent pages the host would not take", restored.refused),
        ]
        show_facts(session, "restored", facts)
    elif not session.quiet:
        flushed = f", {restored.invalidations} of them flushed again" if restored.invalidations else ""
        session.write(f"{who}: {restored.pages} pages of {restored.pools} pools restored{flushed}\n")
    for note in restored.notes:
        session.note(f"{who}: {note}")
    if restored.refused:
        raise PartlyDone(f"{who}: {restored.refused} pages were not taken by the host")

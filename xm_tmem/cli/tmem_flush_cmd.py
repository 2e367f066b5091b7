# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-flush`: take memory back from everybody's ephemeral pages."""

from __future__ import annotations

import click

from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.params import SIZE_KB
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.operations import lifecycle

HEADINGS = (
    Heading("connection", "text", "the host"),
    Heading("asked_kb", "kilobytes", "what was asked for"),
    Heading("freed_kb", "kilobytes", "what the host got back"),
)


@click.command(
    "tmem-flush",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-flush -a 64MiB", "take up to 64 MiB back from all domains' ephemeral pages"),
        ("xm -y tmem-flush 4096", "4096 KiB, without being asked"),
        ("xm -N tmem-flush 1GiB", "say how much there would be"),
    ],
)
@option(
    "-a",
    "--all",
    "all_domains",
    is_flag=True,
    help="All domains: the only way there is, and so optional.",
)
@click.argument("size_kb", metavar="SIZE", type=SIZE_KB)
@click.pass_obj
def tmem_flush(session: Session, all_domains: bool, size_kb: int) -> None:
    """Take memory back from all domains' tmem.

    SIZE is in KiB unless it ends in MiB, GiB or pages. Ephemeral pages are evicted until SIZE is reached or there are
    none; what the host got back is printed, in KiB. It may be less than asked for, and is no failure then:
    tmem-reclaim is the verb that fails.
    """
    checked_format(session, "tmem-flush")
    session.confirm(f"Evict up to {size_kb} KiB of the domains' ephemeral pages?")
    answers = session.ask(lambda backend: lifecycle.flush(backend, size_kb))
    freed = [(answer.connection, size_kb, answer.value) for answer in answers if answer.error is None]
    if session.machine:
        show_rows(session, "flushed", HEADINGS, freed)
    else:
        for connection, _, freed_kb in freed:
            where = f"{connection}: " if len(answers) > 1 else ""
            session.write(f"{where}{freed_kb} KiB {'could be' if session.dry_run else 'were'} freed\n")
    session.settle(answers)

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-freeable`: one number, as xm and xl printed it, and where it comes from."""

from __future__ import annotations

import click

from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.operations.query import freeable

HEADINGS = (
    Heading("connection", "text", "the host"),
    Heading("freeable_mb", "megabytes", "the hypervisor's own answer, rounded down"),
    Heading("ephemeral", "pages", "ephemeral pages held"),
    Heading("idle", "frames", "frames idle on tmem's own free list"),
)


@click.command(
    "tmem-freeable",
    cls=Verb,
    examples=[
        ("xm tmem-freeable", "one number, in MiB"),
        ("xm tmem-freeable -o json", "with what it consists of"),
    ],
)
@click.pass_obj
def tmem_freeable(session: Session) -> None:
    """Print how much tmem could be freed, in MiB.

    The hypervisor is asked itself: xl printed 0 from Xen 4.8 on, whatever the answer was.
    """
    answers = session.ask(freeable)
    known = [(answer.connection, answer.value) for answer in answers if answer.error is None]
    if session.machine or len(answers) > 1:
        rows = [(connection, it.freeable_mb, it.ephemeral, it.idle) for connection, it in known]
        show_rows(session, "freeable", HEADINGS, rows)
    else:
        session.write(f"{known[0][1].freeable_mb}\n")
    session.settle(answers)

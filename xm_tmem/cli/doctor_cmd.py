# SPDX-License-Identifier: GPL-2.0-only
"""`xm doctor`: what is here, what works, what does not and why, and what to do about it."""

from __future__ import annotations

import click

from xm_tmem.cli.diagnosis import diagnose_connection, diagnose_machine
from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb

HEADINGS = (
    Heading("check", "text", "what was looked at"),
    Heading("state", "text", "ok, note, or BAD"),
    Heading("finding", "text", "what was found"),
    Heading("advice", "text", "what to do about it"),
)


@click.command(
    "doctor",
    cls=Verb,
    examples=[
        ("xm doctor", "this machine, and the connection found without -c"),
        ("xm -c xen+ssh://root@alpha/ doctor", "and one to another host"),
    ],
)
@click.pass_obj
def doctor(session: Session) -> None:
    """Say what works here, what does not, and what to do about it.

    Nothing is changed. The exit status is that of the first connection that does not work.
    """
    findings = diagnose_machine(session)
    for connection in session.connections():
        findings += diagnose_connection(session, connection)
    show_rows(session, "findings", HEADINGS, [finding[:4] for finding in findings])
    session.status = next((finding.status for finding in findings if finding.status), 0)

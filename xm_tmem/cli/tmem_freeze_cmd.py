# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-freeze`: refuse new pages, for good or for a while."""

from __future__ import annotations

import time

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.choice import Choice, choice
from xm_tmem.cli.params import DURATION, domains_argument, wait_option
from xm_tmem.cli.results import change, checked_format, show
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.operations import lifecycle
from xm_tmem.operations.hosts import Answer


@click.command(
    "tmem-freeze",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-freeze web", "freeze the domain called web"),
        ("xm tmem-freeze -a", "freeze every domain that uses tmem; those that come later are not frozen"),
        (
            "xm tmem-freeze --for 10m 3 7",
            "freeze two domains, and after ten minutes thaw what was not frozen before",
        ),
    ],
)
@domains_argument
@option("--for", "duration_s", metavar="DURATION", type=DURATION, help="Thaw again after 90s, 10m or 2h.")
@wait_option
@click.pass_obj
def tmem_freeze(
    session: Session,
    all_domains: bool,
    domains: tuple[str, ...],
    duration_s: float | None,
    wait_s: float | None,
) -> None:
    """Freeze tmem: new pages are refused.

    A frozen domain can still get, flush and replace the pages it has; its guest sees failed puts and does without.
    With --for the command stays, and ends by thawing the domains that were not frozen before; Ctrl-C ends it sooner.
    """
    choose = choice(all_domains, domains, wait_s=wait_s)
    if duration_s is None:
        change(session, "tmem-freeze", lambda backend: lifecycle.freeze(backend, choose(backend)))
    else:
        _freeze_for(session, choose, duration_s)


def _freeze_for(session: Session, choose: Choice, duration_s: float) -> None:
    checked_format(session, "tmem-freeze")

    def freeze_for(backend: Backend) -> None:
        with lifecycle.frozen_meanwhile(backend, choose(backend)) as outcomes:
            show(session, "tmem-freeze", [Answer(backend.name, [outcomes], None)])
            if not session.dry_run and any(outcome.error is None for outcome in outcomes):
                session.note(f"thawing again in {duration_s:g} s; Ctrl-C does it now")
                time.sleep(duration_s)

    session.ask_one(freeze_for, "tmem-freeze --for")

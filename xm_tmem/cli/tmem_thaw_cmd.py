# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-thaw`: take new pages again."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.params import domains_argument
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.operations import lifecycle


@click.command(
    "tmem-thaw",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-thaw web", "thaw the domain called web"),
        ("xm -c model:lab tmem-thaw -a", "thaw every domain of the model host `lab`"),
    ],
)
@domains_argument
@click.pass_obj
def tmem_thaw(session: Session, all_domains: bool, domains: tuple[str, ...]) -> None:
    """Thaw tmem: new pages are taken again."""
    choose = choice(all_domains, domains)
    change(session, "tmem-thaw", lambda backend: lifecycle.thaw(backend, choose(backend)))

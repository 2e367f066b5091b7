# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-destroy`: the verb whose name promises what no release does."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.params import domains_argument
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.operations import lifecycle


@click.command(
    "tmem-destroy",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-destroy web", "send DESTROY for one domain: it is thawed, and keeps its pages"),
        ("xm tmem-flush -a 64MiB", "what really takes memory back"),
    ],
)
@domains_argument
@click.pass_obj
def tmem_destroy(session: Session, all_domains: bool, domains: tuple[str, ...]) -> None:
    """Send Xen's DESTROY, which only thaws and destroys nothing.

    Every release treats it as THAW and logs "destroyed". A model booted with quirks: documented does destroy.
    """
    choose = choice(all_domains, domains)
    change(
        session,
        "tmem-destroy",
        lambda backend: lifecycle.destroy(backend, choose(backend)),
        question="Xen's DESTROY only thaws; a model with quirks: documented destroys all pools. Send it?",
    )

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-set-weight`: one setting of one domain."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.params import NUMBER
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.operations.tuning import Wanted
from xm_tmem.operations.tuning import change as change_settings


@click.command(
    "tmem-set-weight",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-set-weight web 200", "weight 200 for the domain called web"),
        ("xm -N tmem-set-weight 3 0", "say what would change for domain 3"),
    ],
)
@click.argument("domain")
@click.argument("weight", metavar="N", type=NUMBER)
@click.pass_obj
def tmem_set_weight(session: Session, domain: str, weight: int) -> None:
    """Set the weight of a domain.

    QUIRK client_over_quota: in every release the domain with *less* than its share by weight gives up its own pages
    first. `xm tmem-explain weight` tells more.
    """
    wanted, choose = Wanted(weight=weight), choice(False, [domain])
    change(session, "tmem-set-weight", lambda backend: change_settings(backend, choose(backend), wanted))

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-set-cap`: one setting of one domain."""

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
    "tmem-set-cap",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-set-cap web 1000", "cap 1000 for the domain called web"),
        ("xm tmem-set-cap 3 0", "no cap for domain 3"),
    ],
)
@click.argument("domain")
@click.argument("cap", metavar="N", type=NUMBER)
@click.pass_obj
def tmem_set_cap(session: Session, domain: str, cap: int) -> None:
    """Set the cap of a domain (until Xen 4.7).

    The hypervisor stores and lists a cap, and no release ever enforced one. Xen 4.8 dropped it.
    """
    wanted, choose = Wanted(cap=cap), choice(False, [domain])
    change(session, "tmem-set-cap", lambda backend: change_settings(backend, choose(backend), wanted))

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-set-compress`: one setting of one domain."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.params import SWITCH
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.operations.tuning import Wanted
from xm_tmem.operations.tuning import change as change_settings


@click.command(
    "tmem-set-compress",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-set-compress web on", "compress new pages of the domain called web"),
        ("xm tmem-set-compress 3 0", "stop compressing for domain 3"),
    ],
)
@click.argument("domain")
@click.argument("compress", metavar="on|off", type=SWITCH)
@click.pass_obj
def tmem_set_compress(session: Session, domain: str, compress: bool) -> None:
    """Switch a domain's compression on or off.

    Pages that are held already stay as they are. A host booted with tmem_dedup refuses.
    """
    wanted, choose = Wanted(compress=compress), choice(False, [domain])
    change(session, "tmem-set-compress", lambda backend: change_settings(backend, choose(backend), wanted))

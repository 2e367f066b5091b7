# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-shared-auth`: who may join a shared pool."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.params import SWITCH, domains_argument
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option, word
from xm_tmem.ids import SharedUuid
from xm_tmem.operations.sharing import authorise
from xm_tmem.settings import UUID_ORDERS


@click.command(
    "tmem-shared-auth",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-shared-auth web -u 01234567-89ab-cdef-0123-456789abcdef -A 1", "let web join that pool"),
        (
            "xm tmem-shared-auth web --deny --uuid-order linux -u 01234567-89ab-cdef-0123-456789abcdef",
            "no longer; the uuid is written as blkid shows it in a Linux guest",
        ),
    ],
)
@domains_argument
@option("-u", "--uuid", required=True, metavar="UUID", help="The shared pool.")
@option("-A", "--auth", metavar="0|1", type=SWITCH, help="1 allows, 0 denies.")
@option("--allow", is_flag=True, help="The same as -A 1.")
@option("--deny", is_flag=True, help="The same as -A 0.")
@option("--uuid-order", type=word(UUID_ORDERS), help="How UUID is written: as libxc or as Linux has it.")
@click.pass_obj
def tmem_shared_auth(
    session: Session,
    all_domains: bool,
    domains: tuple[str, ...],
    uuid: str,
    auth: bool | None,
    allow: bool,
    deny: bool,
    uuid_order: str | None,
) -> None:
    """Allow or deny a domain a shared pool.

    -A 1 allows, as the hypervisor has it; the help of xm, and of xl until 4.8, said the opposite. A pool's uuid is all
    a guest needs to read what others share: keep it secret. -a is understood by Xen 4.0 to 4.8 only.
    """
    context = click.get_current_context()
    said = {
        answer for given, answer in ((allow, True), (deny, False), (auth is not None, bool(auth))) if given
    }
    if not said:
        raise click.UsageError("say -A 1 (or --allow), or -A 0 (or --deny)", context)
    if len(said) > 1:
        raise click.UsageError("allow and deny exclude each other", context)
    (allowed,) = said
    pool = SharedUuid.from_text(uuid, order=uuid_order or session.settings.uuid_order)
    choose = choice(all_domains, domains)
    change(
        session, "tmem-shared-auth", lambda backend: authorise(backend, choose(backend), pool, allow=allowed)
    )

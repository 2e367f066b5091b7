# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-uuid`: one shared pool, and how each party writes its uuid."""

from __future__ import annotations

import click

from xm_tmem.cli.grid import show_facts
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option, word
from xm_tmem.ids import SharedUuid
from xm_tmem.render.sections import Fact
from xm_tmem.settings import UUID_ORDERS


@click.command(
    "tmem-uuid",
    cls=Verb,
    connects=False,
    examples=[
        ("xm tmem-uuid 01234567-89ab-cdef-0123-456789abcdef", "a uuid as blkid shows it in a Linux guest"),
        ("xm tmem-uuid --order xen 01234567-89ab-cdef-0123-456789abcdef", "a uuid as it was given to xl"),
    ],
)
@option(
    "--order", type=word(UUID_ORDERS), default="linux", help="Who wrote UUID: linux (a guest) or xen (xl)."
)
@click.argument("uuid")
@click.pass_obj
def tmem_uuid(session: Session, order: str, uuid: str) -> None:
    """Show a shared pool's uuid as each party writes it.

    xl and Linux put the sixteen bytes into the hypercall's two words differently, so that authorising the uuid that
    blkid prints never matched a Linux guest's pool. `for_xl` is the text that does.
    """
    pool = SharedUuid.from_text(uuid, order=order)
    show_facts(
        session,
        "uuid",
        [
            Fact("linux", "text", "as a Linux guest's tools print it", pool.to_text(order="linux")),
            Fact(
                "for_xl", "text", "what to give xl, xm and libxc to mean this pool", pool.to_text(order="xen")
            ),
            Fact("uuid_0", "text", "first word of the hypercall, U0 of a listing", f"{pool.lo:x}"),
            Fact("uuid_1", "text", "second word of the hypercall, U1 of a listing", f"{pool.hi:x}"),
            Fact("xen_log", "text", "as xl dmesg has it", f"{pool.hi:x}.{pool.lo:x}"),
            Fact("list_parse", "text", "as xen-tmem-list-parse prints it", f"{pool.lo:x}.{pool.hi:x}"),
        ],
    )

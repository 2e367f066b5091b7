# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-set`: weight, cap and compression, in the syntax of xm and in that of xl."""

from __future__ import annotations

import click

from xm_tmem.cli.choice import choice
from xm_tmem.cli.declared import number
from xm_tmem.cli.params import NUMBER, SWITCH, domains_argument, switch
from xm_tmem.cli.results import change
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.operations.tuning import Wanted
from xm_tmem.operations.tuning import change as change_settings


@click.command(
    "tmem-set",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-set web -w 200 -p 1", "xl's syntax: weight 200, compression on"),
        ("xm tmem-set web weight=200 compress=1", "the same in xm's syntax"),
        ("xm tmem-set -a -w 100", "the same weight for all, and nothing else of them is changed"),
    ],
)
@domains_argument
@option("-w", "weight", metavar="N", type=NUMBER, help="Weight, from 0 on.")
@option("-c", "cap", metavar="N", type=NUMBER, help="Cap; until Xen 4.7, and never enforced by any.")
@option("-p", "compress", metavar="0|1", type=SWITCH, help="Compression off or on.")
@click.pass_obj
def tmem_set(
    session: Session,
    all_domains: bool,
    domains: tuple[str, ...],
    weight: int | None,
    cap: int | None,
    compress: bool | None,
) -> None:
    """Change weight, cap or compression.

    [DOMAIN] may also be one of weight=N, cap=N and compress=0|1, as in xm. Each domain is read first and only what
    differs is sent, also with -a, so that nothing else of its settings changes.
    """
    settings = {"weight": weight, "cap": cap, "compress": compress}
    names = []
    for word in domains:
        key, equals, value = word.partition("=")
        if not equals or key not in settings:
            names.append(word)
        elif settings[key] is not None:
            raise click.UsageError(f"{key} is given twice", click.get_current_context())
        else:
            try:
                settings[key] = switch(value) if key == "compress" else number(value)
            except ValueError as error:
                raise click.UsageError(f"{key}: {error}", click.get_current_context()) from None
    if all(value is None for value in settings.values()):
        unknown = [f"{name!r} is none of them; " for name in names if "=" in name][:1]
        what = f"say what to set, weight, cap or compress: {''.join(unknown)}-w N, -c N or -p 0|1"
        raise click.UsageError(what, click.get_current_context())
    compression = settings["compress"]
    wanted = Wanted(settings["weight"], settings["cap"], None if compression is None else bool(compression))
    choose = choice(all_domains, names, one_by_one=True)
    change(session, "tmem-set", lambda backend: change_settings(backend, choose(backend), wanted))

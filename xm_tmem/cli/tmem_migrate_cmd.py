# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-migrate`: a domain's tmem from one host to another."""

from __future__ import annotations

from contextlib import closing

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.copying import domain_named, limit_bytes, progress, rate_option, save_options, switching
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.tmem_restore_cmd import report_restored
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import PartlyDone
from xm_tmem.operations.migration import Pace, migrate
from xm_tmem.operations.resolve import label
from xm_tmem.operations.saving import SaveOptions, refuse, survey


@click.command(
    "tmem-migrate",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-migrate web xen+ssh://root@away/", "to the domain of the same name on another host"),
        ("xm -c model:a tmem-migrate web model:b --to 7", "between two model hosts, into domain 7"),
        ("xm tmem-migrate --live --switch 'xl pause web' web xen+ssh://root@away/", "copy while it runs"),
        ("xm tmem-migrate --rate 50MiB web xen+ssh://root@away/", "leave room on the network for others"),
    ],
)
@save_options
@click.option(
    "--to", "to_domain", metavar="DOMAIN", help="The domain on the other host, if it is called otherwise."
)
@click.option(
    "--into-existing", is_flag=True, help="Take a domain that uses tmem, if no page of it is in the way."
)
@rate_option
@click.argument("domain", metavar="DOMAIN")
@click.argument("uri", metavar="URI")
@click.pass_obj
def tmem_migrate(
    session: Session,
    live: bool,
    switch: str | None,
    partial: bool,
    risk_host: bool,
    to_domain: str | None,
    into_existing: bool,
    rate_kb: int | None,
    domain: str,
    uri: str,
) -> None:
    """Copy a domain's tmem to another host, verified before the source is let go.

    URI is that host's connection. The domain has to be there already, paused and without tmem, and this one paused
    unless --live; moving the domain itself is somebody else's task. Whatever fails, the source is as it was, and of
    the target every page is taken back.
    """
    checked_format(session, "tmem-migrate")
    options = SaveOptions(live, partial, risk_host, switching(switch, live=live))

    def act(source: Backend) -> None:
        start = domain_named(source, domain)
        with closing(session.open(uri)) as target:
            goal = domain_named(target, to_domain or start.name or str(start.domain_id))
            if session.dry_run:
                found = survey(source, start.domain_id)
                refuse(found, start.domain_id, options)
                where = f"{label(goal)} of {target.name}"
                session.write(f"{label(start)}: would be: {found.pages} pages copied to {where}\n")
                return
            with progress(session, f"migrating {label(start)}") as bar:
                restored, end = migrate(
                    source,
                    start.domain_id,
                    target,
                    goal.domain_id,
                    options=options,
                    into_existing=into_existing,
                    pace=Pace(limit_bytes(rate_kb), bar),
                )
            report_restored(session, f"{label(goal)} of {target.name}", restored)
            missing = sum(end.missing.values())
            if missing:
                raise PartlyDone(
                    f"{label(start)}: {missing} pages could not be had and are not on {target.name}"
                )

    session.ask_one(act, "tmem-migrate")

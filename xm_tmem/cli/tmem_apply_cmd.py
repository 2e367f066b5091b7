# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-apply`: domains brought to the settings of a file, once or again and again."""

from __future__ import annotations

from typing import BinaryIO

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.backends.registry import domain_events
from xm_tmem.cli.params import DURATION
from xm_tmem.cli.results import checked_format, show
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, CheckFailed, NoSuchDomain
from xm_tmem.ids import DomainId
from xm_tmem.operations.apply import Wish, apply, compare, read_wishes
from xm_tmem.operations.hosts import Answer
from xm_tmem.operations.looking import looks
from xm_tmem.operations.outcome import Outcome
from xm_tmem.settings import MAX_CONFIG_BYTES, parse_yaml


@click.command(
    "tmem-apply",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-apply domains.yaml", "bring the domains to what the file says"),
        ("xm tmem-apply --diff domains.yaml", "show what differs; exit status 7 when something does"),
        ("xm tmem-apply --watch 10s domains.yaml", "and again whenever a domain comes back with a new id"),
    ],
)
@option("--diff", is_flag=True, help="Show what differs and change nothing.")
@option("--watch", "watch_s", metavar="SECONDS", type=DURATION, help="Stay, and look again so often.")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def tmem_apply(session: Session, diff: bool, watch_s: float | None, file: BinaryIO) -> None:
    """Bring domains to the settings a file asks for.

    FILE is YAML: `domains: {web: {weight: 200, compress: on}, db: {allow: [UUID]}}`, with weight, cap, compress, and
    the uuids of shared pools to allow or deny. What is so already is left alone.

    With --watch, a libvirt that names the domains also tells when one starts: then it is looked at once.
    """
    checked_format(session, "tmem-apply")
    if diff and watch_s is not None:
        raise click.UsageError("--diff and --watch exclude each other", click.get_current_context())
    raw = file.read(MAX_CONFIG_BYTES + 1)
    if len(raw) > MAX_CONFIG_BYTES:
        raise BadInput(f"{file.name}: more than {MAX_CONFIG_BYTES} bytes")
    wishes = read_wishes(parse_yaml(raw, file.name), file.name, uuid_order=session.settings.uuid_order)
    if watch_s is not None:
        session.ask_one(lambda backend: _watch(session, backend, wishes, watch_s), "tmem-apply --watch")
        return
    answers = session.ask(lambda backend: (compare if diff else apply)(backend, wishes))
    show(session, "tmem-apply", answers, unchanged="as asked for")
    differing = [it for answer in answers if answer.error is None for it in answer.value if it.done]
    if diff and differing and session.status == 0:
        told = "1 domain differs" if len(differing) == 1 else f"{len(differing)} domains differ"
        raise CheckFailed(f"{told} from {file.name}")


def _watch(session: Session, backend: Backend, wishes: list[Wish], every_s: float) -> None:
    """Apply for ever; only what was changed or failed is shown. A domain that is not there is waited for."""
    known: set[DomainId] = set()
    events = domain_events(backend)
    if session.verbose:
        session.note(
            f"looking every {every_s:g} s{' and when libvirt says that a domain starts' if events else ''}"
        )
    for _ in looks(
        every_s, events, lambda error: session.note(f"{error}; looking every {every_s:g} s from now on")
    ):
        outcomes = [
            it for it in apply(backend, wishes, known=known) if not isinstance(it.error, NoSuchDomain)
        ]
        known = {
            it.target.domain_id for it in outcomes if it.error is None and it.target.domain_id is not None
        }
        told: list[Outcome] = [it for it in outcomes if it.error is not None or it.done]
        if told:
            show(session, "tmem-apply", [Answer(backend.name, [told], None)])

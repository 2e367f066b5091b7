# SPDX-License-Identifier: GPL-2.0-only
"""`xm info`: what host this is, which Xen, its tmem options, and what it can be asked."""

from __future__ import annotations

from typing import Any

import click

from xm_tmem.backends.interface import Backend, Capability, TmemState, why_no_tmem
from xm_tmem.cli.grid import Heading, show_facts, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.render.sections import Fact
from xm_tmem.render.structured import timestamp_text


@click.command(
    "info",
    cls=Verb,
    examples=[
        ("xm info", "the host that is found without -c"),
        ("xm -c model:lab info -o json", "a model host, for a program"),
    ],
)
@click.pass_obj
def info(session: Session) -> None:
    """Show what host this is and what it can be asked."""
    answers = session.ask(host_facts)
    hosts = [answer.value for answer in answers if answer.error is None]
    if session.machine and len(answers) > 1:
        names = list(dict.fromkeys(fact.name for facts in hosts for fact in facts))
        rows = [[_value(facts, name) for name in names] for facts in hosts]
        show_rows(session, "hosts", [Heading(name, "text") for name in names], rows)
    else:
        for facts in hosts:
            show_facts(session, "host", facts)
    session.settle(answers)


def host_facts(backend: Backend) -> list[Fact]:
    """What is known of the host, in reading order."""
    host, can = backend.host(), backend.capabilities
    facts = [
        Fact("connection", "text", "", host.connection),
        Fact("xen_version", "text", "", host.xen_version or None),
        Fact("release", "text", "the row of the release table in use", host.release or None),
        Fact("control_abi", "text", "how the hypervisor is asked", host.abi or None),
        Fact("tmem", "text", "on, off (at boot) or absent (not built)", host.tmem.value),
        Fact("command_line", "text", "the hypervisor's own", host.command_line or None),
        Fact(
            "options", "text", "tmem's options on it", " ".join(f"{k}={v}" for k, v in host.options.items())
        ),
        Fact("can", "text", "what it can be asked", _words([c for c in Capability if c in can])),
        Fact("cannot", "text", "what it cannot", _words([c for c in Capability if c not in can])),
    ]
    if host.recorded_at is not None:
        facts.append(Fact("recorded_at", "text", "", timestamp_text(host.recorded_at)))
    known = {fact.name for fact in facts}
    facts += [Fact(key, "text", "", value) for key, value in host.details.items() if key not in known]
    if host.tmem is not TmemState.ON:
        facts.append(Fact("advice", "text", "", why_no_tmem(host)))
    return facts


def _value(facts: list[Fact], name: str) -> Any:
    return next((fact.value for fact in facts if fact.name == name), None)


def _words(capabilities: list[Capability]) -> str:
    return " ".join((capability.name or "").lower().replace("_", "-") for capability in capabilities)

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-check`: rules for cron and monitoring."""

from __future__ import annotations

from typing import Any

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.grid import FORMATS, Heading, serialise, show_rows
from xm_tmem.cli.output import complain
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import CheckFailed, Failed
from xm_tmem.operations.check_memory import load_memory, memory_file, save_memory
from xm_tmem.operations.checking import Checked, Finding, check
from xm_tmem.operations.rules import RULES, Limits, limits
from xm_tmem.render.cells import visible

SCHEMA = "xm-tmem/findings/1"
RULE_HEADINGS = (
    Heading("rule", "text", "its name"),
    Heading("limit", "text", "the limit in force"),
    Heading("meaning", "text", "what it finds"),
)


@click.command(
    "tmem-check",
    cls=Verb,
    examples=[
        ("xm tmem-check", "every rule; one line for each finding, and exit status 7"),
        ("xm tmem-check --rules", "the rules and the limits in force"),
        ("xm tmem-check frozen refused --limit frozen=30m", "two rules, one with another limit"),
        ("xm tmem-check -o json | jq -r '.findings[].message'", "for a program"),
    ],
)
@click.argument("rules", metavar="[RULE]...", nargs=-1)
@option(
    "--limit", "given", metavar="RULE=LIMIT", multiple=True, help="Another limit: frozen=30m, hit-rate=off."
)
@option("--rules", "show_rules", is_flag=True, help="Show the rules and their limits; check nothing.")
@option("--forget", is_flag=True, help="Neither use nor keep what the last check saw.")
@click.pass_obj
def tmem_check(
    session: Session, rules: tuple[str, ...], given: tuple[str, ...], show_rules: bool, forget: bool
) -> None:
    """Check a host against rules, for cron and monitoring.

    All is well: no output, status 0. Something was found: a line each, status 7. The host could not be checked: as of
    any command. What was seen is remembered (under $XDG_STATE_HOME), so that the next check knows how long a domain has
    been frozen and what grew. Limits come from `check:` in the config file, then from --limit.
    """
    chosen = limits(session.settings.check, given, rules)
    if show_rules:
        show_rows(session, "rules", RULE_HEADINGS, [
            (name, _limit_text(chosen, name), rule.meaning) for name, rule in RULES.items()
        ])  # fmt: skip
        return
    form = require_format(session, FORMATS, "tmem-check")
    answers = session.ask(lambda backend: _checked(session, backend, chosen, forget=forget))
    several = len(answers) > 1
    records: list[dict[str, Any]] = []
    for answer in answers:
        for finding in answer.value.findings if answer.error is None else ():
            records.append({"connection": answer.connection, **finding._asdict()})
            if not session.machine:
                session.write(visible(f"{answer.connection}: " * several + _line(finding)) + "\n")
    if session.machine:
        session.write(serialise(form, {"schema": SCHEMA, "findings": records}, records))
    session.settle(answers)
    if records and session.status == 0:
        raise CheckFailed(f"{len(records)} finding{'s' * (len(records) > 1)}")


def _checked(session: Session, backend: Backend, chosen: Limits, *, forget: bool) -> Checked:
    if forget:
        return check(backend, chosen, None)
    path = memory_file(backend.name, session.environ)
    found = check(backend, chosen, load_memory(path, backend.name))
    if found.memory is not None:
        try:
            save_memory(path, found.memory)
        except Failed as error:  # what was found is worth more
            complain(str(error))
    return found


def _line(finding: Finding) -> str:
    """`frozen: web (1): frozen for 2 h (limit 1 h)`."""
    where = ""
    if finding.domain_id is not None:
        where = f"{finding.domain} ({finding.domain_id})" if finding.domain else f"domain {finding.domain_id}"
        where += f", pool {finding.pool}: " if finding.pool is not None else ": "
    return f"{finding.rule}: {where}{finding.message}"


def _limit_text(chosen: Limits, name: str) -> str:
    limit, kind = chosen.get(name), RULES[name].kind
    if limit is None:
        return "off"
    if kind == "switch":
        return "on"
    return {"duration": f"{limit:g}s", "ratio": f"{limit * 100:g}%"}.get(kind, f"{limit:g}")

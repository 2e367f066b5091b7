# SPDX-License-Identifier: GPL-2.0-only
"""A command that changes something: ask if need be, do it on every host, show each target's result.

What was done goes to standard output, one line for each target (`--quiet` leaves it out); what failed goes to
standard error. In the machine formats both are in one document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.grid import FORMATS, serialise
from xm_tmem.cli.output import complain
from xm_tmem.cli.session import Session, require_format
from xm_tmem.errors import TmemError
from xm_tmem.operations.hosts import Answer
from xm_tmem.operations.outcome import Outcome, Target
from xm_tmem.render.cells import visible

SCHEMA = "xm-tmem/results/1"


def change(
    session: Session, command: str, act: Callable[[Backend], list[Outcome]], *, question: str = ""
) -> None:
    """Run `act` on every connection and show what came of it. `question` is put first, if it is not empty."""
    checked_format(session, command)
    if question:
        session.confirm(question)
    show(session, command, session.ask(act))


def checked_format(session: Session, command: str) -> str:
    """The output format, one that results can be shown in. Raises BadInput: before anything is changed."""
    return require_format(session, FORMATS, command)


def show(
    session: Session, command: str, answers: Sequence[Answer[list[Outcome]]], *, unchanged: str = "unchanged"
) -> None:
    """Show each result, and let the session end with the status that stands for all of them.

    `unchanged` is what is said of a target to which nothing had to be done.
    """
    several = len(answers) > 1
    done: list[dict[str, Any]] = []
    errors: list[TmemError | None] = []
    for answer in answers:
        where = f"{answer.connection}: " if several else ""
        if answer.error is not None:
            errors.append(answer.error)
            done.append(_record(answer.connection, None, "", answer.error))
            complain(f"{where}{answer.error}")
            continue
        for outcome in answer.value:
            errors.append(outcome.error)
            done.append(_record(answer.connection, outcome.target, outcome.done, outcome.error))
            if outcome.error is not None:
                complain(f"{where}{_prefixed(outcome)}")
            elif not session.machine and not session.quiet:
                would = "would be: " if session.dry_run and outcome.done else ""
                session.write(
                    f"{visible(where + outcome.target.label)}: {would}{outcome.done or unchanged}\n"
                )
    if session.machine:
        whole = {"schema": SCHEMA, "command": command, "dry_run": session.dry_run, "results": done}
        session.write(serialise(session.format, whole, done))
    elif not done:
        session.note("no domain uses tmem: nothing to do")
    session.conclude(errors)


def _prefixed(outcome: Outcome) -> str:
    """The error, behind the domain unless the message names it."""
    message, label = str(outcome.error), outcome.target.label
    return message if label in message else f"{label}: {message}"


def _record(connection: str, target: Target | None, done: str, error: TmemError | None) -> dict[str, Any]:
    return {
        "connection": connection,
        "domain_id": target.domain_id if target is not None else None,
        "domain": target.label if target is not None else None,
        "done": done or None,
        "error": str(error) if error is not None else None,
        "exit_status": error.exit_status if error is not None else 0,
    }

# SPDX-License-Identifier: GPL-2.0-only
"""`xm evaluate`: what must hold exactly and what was published, run against the model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from xm_tmem.cli.progress import bar, wants_bar
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, CheckFailed, Failed

if TYPE_CHECKING:
    from hypervisor_model.evaluation import Result, Scenario


@click.command(
    "evaluate",
    cls=Verb,
    connects=False,
    examples=[
        ("xm evaluate", "the exact scenarios, in seconds"),
        ("xm evaluate --suite reference", "the published results of 2008 to 2013, in minutes"),
        ("xm evaluate --suite R10", "one of them"),
        ("xm evaluate --suite all --write docs/evaluation.md", "all, as a document"),
    ],
)
@option(
    "--suite",
    metavar="NAME",
    default="exact",
    help="exact, reference, recorded, all, or one scenario such as X3 or R10.",
)
@option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1),
    help="Scenarios that run at a time; left out: one for each processor.",
)
@option("--write", "path", metavar="FILE", type=click.Path(), help="Write the Markdown report there too.")
@click.pass_obj
def evaluate(session: Session, suite: str, jobs: int | None, path: str | None) -> None:
    """Compare the model with what must hold and what was published.

    Each scenario says its configuration, what came out, what it is compared with, and PASS, SHAPE, MISS or NO-REF. The
    exit status is 7 if an exact scenario does not pass.
    """
    form = require_format(session, ("table", "plain", "json"), "evaluate")
    from hypervisor_model.evaluation import chosen, render
    from xm_tmem.operations.interrupts import Endings

    try:
        cases = chosen(suite)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if path is not None:
        _write(path, "a", "")  # what cannot be written is better known now than after minutes
    with Endings():  # so that whatever ends this process also ends those of the scenarios
        results = _run(session, suite, len(cases), len(os.sched_getaffinity(0)) if jobs is None else jobs)
    try:
        session.write(_as_json(render.records(results)) if form == "json" else render.text(results))
    finally:  # of the two, what can be had
        if path is not None:
            _write(path, "w", render.markdown(results))
    failed = [result.scenario for result in results if result.scenario[0] == "X" and result.verdict != "PASS"]
    if failed:
        raise CheckFailed(f"not exact: {', '.join(failed)}")


def _as_json(records: list[dict[str, Any]]) -> str:
    import json

    return json.dumps({"schema": "xm-tmem/evaluation/1", "results": records}, indent=2) + "\n"


def _write(path: str, mode: str, text: str) -> None:
    try:
        with open(path, mode, encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from None


def _run(session: Session, suite: str, cases: int, jobs: int) -> list[Result]:
    """Run them with a bar on a terminal, else with a line for what begins and ends."""
    from hypervisor_model.evaluation import run

    shown = wants_bar() and not session.quiet
    running: list[str] = []
    done = 0
    with bar(f"evaluating {suite}", cases, shown=shown, refresh_s=0) as show:

        def tell(scenario: Scenario, result: Result | None) -> None:
            nonlocal done
            if result is None:
                running.append(scenario.name)
            elif scenario.name in running:
                running.remove(scenario.name)
                done += 1
            if shown:
                show(done, ", ".join(running))
            else:
                name = scenario.name if result is None else result.scenario
                session.note(f"{name}: " + ("running" if result is None else result.verdict))

        return run(suite, tell, jobs=jobs)

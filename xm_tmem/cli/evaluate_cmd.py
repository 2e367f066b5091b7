# SPDX-License-Identifier: GPL-2.0-only
"""`xm evaluate`: what must hold exactly and what was published, run against the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, CheckFailed

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
@option("--write", "path", metavar="FILE", type=click.Path(), help="Write the Markdown report there too.")
@click.pass_obj
def evaluate(session: Session, suite: str, path: str | None) -> None:
    """Compare the model with what must hold and what was published.

    Each scenario says its configuration, what came out, what it is compared with, and PASS, SHAPE, MISS or NO-REF. The
    exit status is 7 if an exact scenario does not pass.
    """
    form = require_format(session, ("table", "plain", "json"), "evaluate")
    from hypervisor_model.evaluation import render, run

    def tell(scenario: Scenario, result: Result | None) -> None:
        if not session.quiet:
            session.note(f"{scenario.name}: " + ("running" if result is None else result.verdict))

    try:
        results = run(suite, tell)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if path is not None:
        try:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(render.markdown(results))
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror}") from None
    if form == "json":
        import json

        session.write(
            json.dumps({"schema": "xm-tmem/evaluation/1", "results": render.records(results)}, indent=2)
            + "\n"
        )
    else:
        session.write(render.text(results))
    failed = [result.scenario for result in results if result.scenario[0] == "X" and result.verdict != "PASS"]
    if failed:
        raise CheckFailed(f"not exact: {', '.join(failed)}")

# SPDX-License-Identifier: GPL-2.0-only
"""`xm model sweep` and `compare`: many runs of a scenario with some of its values varied, and two runs side by side."""

from __future__ import annotations

import click

from xm_tmem.cli.grid import FORMATS
from xm_tmem.cli.model_results import failures_in, kept_results, report_in, show_comparison, show_sweep
from xm_tmem.cli.progress import bar, wants_bar
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import BadInput, Failed
from xm_tmem.version import VERSION


@click.command(
    "sweep",
    cls=Verb,
    connects=False,
    examples=[
        ("xm model sweep examples/pressure.yaml --vary weight.gold=100,200,400", "three runs"),
        (
            "xm model sweep s.yaml --vary host.memory=1GiB,2GiB --vary seed=1,2,3 --to r.jsonl",
            "six, kept in a file",
        ),
    ],
)
@click.argument("scenario", metavar="SCENARIO", type=click.Path())
@click.option(
    "--vary",
    "axes",
    metavar="KEY=V,V",
    multiple=True,
    required=True,
    help="Values for host.KEY or KEY.GUEST.",
)
@click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(),
    help="Keep the results here; go on with what is missing.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 1024),
    help="So many at once; one for each core if left out.",
)
@click.option("--dask", metavar="ADDRESS", help="Run on the Dask cluster whose scheduler is there.")
@click.pass_obj
def sweep(
    session: Session,
    scenario: str,
    axes: tuple[str, ...],
    file: str | None,
    jobs: int | None,
    dask: str | None,
) -> None:
    """Run a scenario with every combination of some values.

    A key is host.KEY, seed, duration, or a guest's key with its name behind it: weight.web, workload.rate.web, weight.*
    for all guests. With --to each result is kept as it comes, and the same command goes on after an interruption;
    results from before the scenario, or a file it names, was changed are refused. With --dask the scenario is sent to
    the workers; recordings and traces that it names must be on each of them, at the same path as here.
    """
    require_format(session, FORMATS, "`xm model sweep`")
    from hypervisor_model.scenario import kept
    from hypervisor_model.scenario import sweep as sweeping
    from hypervisor_model.scenario.errors import ScenarioError

    try:
        original = sweeping.Original.at(scenario, VERSION)
        points = {
            original.identity(point): point
            for point in sweeping.combinations([sweeping.parse_axis(axis) for axis in axes])
        }
    except ValueError as error:
        raise BadInput(str(error)) from None
    with kept_results(file, lambda lines: kept.results_in(lines, original.identity)) as (results, keep):
        missing = {identity: point for identity, point in points.items() if identity not in results}
        try:
            with (
                sweeping.workers(jobs, dask) as executor,
                bar("runs", len(missing), shown=wants_bar() and not session.quiet) as show,
            ):
                for done, result in enumerate(sweeping.run_all(original, missing, executor), 1):
                    for name, failure in failures_in(result):
                        raise BadInput(f"{name} ended before its time: {failure}")
                    results[result["scenario"]] = result
                    keep(result)
                    show(done, "")
        except ScenarioError as error:
            raise BadInput(str(error)) from None
        except sweeping.SweepError as error:
            raise Failed(str(error)) from None
    # A result that was there may have its keys in another order.
    show_sweep(session, [{**results[identity], "vary": point} for identity, point in points.items()])


@click.command(
    "compare", cls=Verb, connects=False, examples=[("xm model compare a.json b.json", "what differs")]
)
@click.argument("first", metavar="A", type=click.Path())
@click.argument("second", metavar="B", type=click.Path())
@click.option("-a", "--all", "everything", is_flag=True, help="Also what is the same in both.")
@click.pass_obj
def compare(session: Session, first: str, second: str, everything: bool) -> None:
    """Compare two runs, figure by figure.

    A and B are reports, as `xm model run SCENARIO` prints them with -o json or writes them with --json.
    """
    from hypervisor_model.scenario.compare import differences, report_of

    try:
        found = differences(report_in(first, report_of), report_in(second, report_of))
    except ValueError as error:
        raise BadInput(str(error)) from None
    show_comparison(
        session, [[*each, each.change] for each in found if everything or each.first != each.second]
    )

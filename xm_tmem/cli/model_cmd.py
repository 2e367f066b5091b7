# SPDX-License-Identifier: GPL-2.0-only
"""`xm model`: run a scenario here, or start, ask and stop a model host that runs one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xm_tmem.cli.grid import show_facts
from xm_tmem.cli.model_results import Draft, drafted, factor_in, json_line, status_fact
from xm_tmem.cli.model_sweep_cmd import compare, sweep
from xm_tmem.cli.progress import bar, interrupts, wants_bar
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import EXIT_INTERRUPTED, BadInput, Failed, TmemError, TmemOff, Unreachable

if TYPE_CHECKING:
    from hypervisor_model.scenario.history import History
    from hypervisor_model.scenario.load import Scenario
    from hypervisor_model.scenario.runner import Runner

T = TypeVar("T")
DEFAULT_NAME = "default"

name_option = click.option(
    "--name", metavar="NAME", default=DEFAULT_NAME, help="Which model host; one of each name."
)


class ModelGroup(click.Group):
    """Takes any unique prefix of a command's name, as `xm` itself does."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = [name for name in self.commands if args[0] and name.startswith(args[0])]
        if args[0] not in self.commands and len(found) == 1:
            return super().resolve_command(ctx, [found[0], *args[1:]])
        return super().resolve_command(ctx, args)


@click.group(
    "model",
    cls=ModelGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def model() -> None:
    """Run a host that is a model, with guests from a scenario file.

    `run` does it here and now and prints what came of it; `start` leaves a host running that the other commands find
    as model:NAME, the default one without -c.
    """


model.add_command(sweep)
model.add_command(compare)


@model.command(
    "start",
    cls=Verb,
    connects=False,
    examples=[
        ("xm model start", "a small host with three guests"),
        ("xm model start examples/shared.yaml --name lab", "another one; ask it with -c model:lab"),
        ("xm model start --resume", "go on from the last checkpoint, also after a crash"),
    ],
)
@click.argument("scenario", metavar="[SCENARIO]", required=False, type=click.Path())
@name_option
@click.option(
    "--factor", metavar="X", help="Modelled seconds per second, or max. As before when resuming, else 1."
)
@click.option("--resume", is_flag=True, help="Go on from the host's checkpoint.")
@click.option("--checkpoint-every", "interval", metavar="SECONDS", type=click.FloatRange(0, 86400), default=60.0,
              show_default=True, help="How often to write a checkpoint; 0: only when told and at stop.")  # fmt: skip
@click.pass_obj
def start(
    session: Session, scenario: str | None, name: str, factor: str | None, resume: bool, interval: float
) -> None:
    """Start a model host and return when it answers.

    Without SCENARIO it runs the small one that comes with xm. The host goes on when the terminal closes; its state
    is kept, and an earlier one of the same name, unless resumed, is moved to previous.sqlite beside it.
    """
    if resume and scenario is not None:
        raise BadInput("--resume goes on with the checkpoint's own scenario: give no other")
    options = ["--interval", str(interval)]
    if factor is not None:
        options += ["--factor", str(factor_in(factor))]
    if not resume:
        scenario = scenario or _default_scenario()
        _load(scenario)
    from hypervisor_model import launch
    from hypervisor_model.instance import log_path

    pid = _launching(lambda: launch.start(name, None if resume else scenario, options))
    if not session.quiet:
        where = "" if name == DEFAULT_NAME else f" -c model:{name}"
        session.write(f"model host {name} is running, process {pid}; log: {log_path(name)}\n")
        session.write(f"try: xm{where} tmem-list\n")


@model.command(
    "stop", cls=Verb, connects=False, examples=[("xm model stop", "checkpoint and end the default host")]
)
@name_option
@click.option("--discard", is_flag=True, help="End it even if its checkpoint cannot be written.")
@click.pass_obj
def stop(session: Session, name: str, discard: bool) -> None:
    """Stop a model host and wait until it has ended.

    Its state is written to disk first; if that fails the host goes on, unless --discard is given.
    """
    from hypervisor_model import launch

    _launching(lambda: launch.stop(name, discard=discard))
    if not session.quiet:
        session.write(f"model host {name} has stopped; `xm model start --resume` would go on from here\n")


@model.command("status", cls=Verb, connects=False, examples=[("xm model status -o json", "for a program")])
@name_option
@click.pass_obj
def status(session: Session, name: str) -> None:
    """Show what a model host is doing."""
    from hypervisor_model import launch
    from hypervisor_model.instance import log_path

    fields = _launching(lambda: launch.ask(name, "status"))
    facts = [status_fact(key, value) for key, value in {**fields, "log": log_path(name)}.items()]
    show_facts(session, "model-status", facts, title=f"model host {name}")


@model.command(
    "report",
    cls=Verb,
    connects=False,
    examples=[
        ("xm model report", "what each Linux guest has done so far"),
        ("xm model report -o json > now.json", "all figures, for `xm model compare`"),
    ],
)
@name_option
@click.pass_obj
def report_(session: Session, name: str) -> None:
    """Show what the guests of a model host have done so far.

    The guests go on. What tmem itself counted is in `xm tmem-list`; here is what each Linux guest read, wrote and
    swapped, and what cleancache and frontswap did for it. With -o json or yaml it is the report that `xm model run`
    makes.
    """
    form = require_format(session, ("table", "plain", "json", "yaml"), "`xm model report`")
    from hypervisor_model import launch
    from xm_tmem.cli.run_report import out_of_memory, work_of

    found = _launching(lambda: launch.ask_report(name))
    if form in ("json", "yaml"):
        from xm_tmem.cli.grid import serialise

        session.write(serialise(form, found, []))
    elif blocks := work_of(found["guests"]):
        session.write_blocks(blocks, units=session.settings.units)
    else:
        session.note("no guest of this host counts its own work; `xm tmem-list` has what tmem counted")
    if (warning := out_of_memory(found["guests"])) is not None:
        session.note(warning)


@model.command(
    "checkpoint", cls=Verb, connects=False, examples=[("xm model checkpoint", "write it all to disk now")]
)
@name_option
@click.pass_obj
def checkpoint(session: Session, name: str) -> None:
    """Have a model host write its state to disk.

    Returns when it is there. The host and its guests go on meanwhile.
    """
    from hypervisor_model import launch

    fields = _launching(lambda: launch.ask(name, "checkpoint", timeout_s=launch.STOP_S))
    if not session.quiet:
        session.write(f"written: {fields.get('checkpoint', '')}\n")


@model.command(
    "run",
    cls=Verb,
    connects=False,
    examples=[
        ("xm model run examples/demo.yaml", "boot it, let its guests work to the end, and list"),
        ("xm model run examples/pressure.yaml -o json", "a report for a program"),
        ("xm model run examples/pressure.yaml --html run.html", "and a page with plots for a browser"),
    ],
)
@click.argument("scenario", metavar="SCENARIO", type=click.Path())
@click.option("--html", "page_file", metavar="FILE", type=click.Path(), help="Write a page with plots.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(), help="Write report and samples.")
@click.option("--progress/--no-progress", default=None, help="A progress bar; left out: on a terminal.")
@click.pass_obj
def run(
    session: Session, scenario: str, page_file: str | None, json_file: str | None, progress: bool | None
) -> None:
    """Run a scenario here to its end and print the listing.

    Below the listing, of what tmem counted, stands what each guest counted: its pages read from and written to files
    and swap on its disk, the share of cleancache's gets that found their page (cc_hit, over the whole run and all its
    file systems), and the pages that frontswap put into tmem (stores) or could not (failed).

    Ctrl-C ends it early with what there is by then, and exit status 130; so does a guest whose trace or recording
    turns out to be damaged, with 2. With -o json or yaml the report has the host, each guest, and what each workload
    counted; -o raw is the hypervisor's own listing. The page of --html has plots over time and all figures; it needs
    no other file and no network. --json writes what -o json prints, and the samples of the plots.
    """
    form = require_format(session, ("table", "plain", "json", "yaml", "raw"), "`xm model run`")
    from hypervisor_model.scenario.errors import ScenarioError
    from hypervisor_model.scenario.history import History
    from hypervisor_model.scenario.report import report
    from hypervisor_model.scenario.runner import boot
    from xm_tmem.cli.run_report import out_of_memory

    try:
        loaded = _load(scenario)
        runner = boot(loaded)
    except ScenarioError as error:
        raise BadInput(str(error)) from None
    # What cannot be written is better known now than after the run.
    with drafted(page_file) as page_draft, drafted(json_file) as json_draft:
        history = History(runner) if page_draft or json_draft else None
        complete = _run(runner, history, _with_bar(session) if progress is None else progress)
        found = report(runner, complete=complete, description=loaded.description)
        if history is not None:
            _write_reports(found, history, page_draft, json_draft)
    for name, failure in runner.failures.items():
        session.report(f"{name} ended before its time: {failure}", BadInput.__name__, BadInput.exit_status)
    if not complete and not runner.failures:
        session.report(
            "interrupted: the report is of what was done by then", "KeyboardInterrupt", EXIT_INTERRUPTED
        )
    if form in ("json", "yaml"):
        from xm_tmem.cli.grid import serialise

        session.write(serialise(form, found, []))
    else:
        _show_listing(session, runner, scenario, found["guests"])
    if (warning := out_of_memory(found["guests"])) is not None:
        session.note(warning)


def _run(runner: Runner, history: History | None, with_bar: bool) -> bool:
    """Run to the end, to the first Ctrl-C or to the first guest that fails, between two operations; was it the end?"""
    total: float | None = runner.operations_total
    # Where operations are not known beforehand, a duration may be what ends the run.
    by_time = total is None
    if by_time and runner.lasts_for_a_time:
        total = runner.duration_us / 1e6
    start = time.monotonic()
    what = "modelled seconds" if by_time else "operations"
    with interrupts() as interrupted, bar(what, total, shown=with_bar) as show:

        def step(runner: Runner) -> bool:
            rate = f"{runner.operations / max(time.monotonic() - start, 1e-9):,.0f} operations/s"
            if by_time:
                show(runner.time_us / 1e6, f"{runner.time_us / 1e6:,.1f}, {rate}")
            else:
                show(runner.operations, rate)
            return not interrupted() and not runner.failures

        return runner.run(step) if history is None else history.run(runner, step)


def _write_reports(
    found: Mapping[str, Any], history: History, page_draft: Draft | None, json_draft: Draft | None
) -> None:
    from hypervisor_model.scenario.page import page

    samples = history.record()
    if page_draft is not None:
        page_draft.write(page(found, samples))
    if json_draft is not None:
        json_draft.write(json_line({**found, "history": samples}))


def _show_listing(
    session: Session, runner: Runner, scenario: str, guests: Sequence[Mapping[str, Any]]
) -> None:
    """The final state as any other command would list it, and below it the work of the guests."""
    from xm_tmem.backends.hypercall import HypercallBackend
    from xm_tmem.backends.transport.inprocess import InProcessTransport
    from xm_tmem.cli.run_report import work_of
    from xm_tmem.listing.select import selection
    from xm_tmem.operations.query import listed
    from xm_tmem.render.sections import Block, short_view

    names = {guest.domain_id: guest.name for guest in runner.guests}
    backend = HypercallBackend(f"scenario:{scenario}", InProcessTransport(runner.hypervisor, names), [])
    units = session.settings.units
    blocks: list[Block] = []
    if session.format == "raw":
        session.write(listed(backend).report.listing.raw)
        return
    host = runner.hypervisor
    session.note(
        f"{runner.operations} operations in {runner.time_us / 1e6:.1f} s of modelled time on Xen {host.release.name}"
    )
    try:
        blocks += short_view(listed(backend).report, selection(units=units))
    except TmemOff:  # the run is none the worse for it: it may be there to compare with
        session.note("tmem is off on this host: there is nothing to list")
    blocks += work_of(guests)
    if blocks:
        session.write_blocks(blocks, units=units)


def _with_bar(session: Session) -> bool:
    return wants_bar() and not session.quiet


def _default_scenario() -> str:
    from hypervisor_model.scenario.load import DEFAULT_SCENARIO

    return DEFAULT_SCENARIO


def _load(scenario: str) -> Scenario:
    from hypervisor_model.scenario.errors import ScenarioError
    from hypervisor_model.scenario.load import load_file

    try:
        return load_file(scenario)
    except ScenarioError as error:
        raise BadInput(str(error)) from None


def _launching(act: Callable[[], T]) -> T:
    """`act`, its errors as this package's."""
    from hypervisor_model.launch import LaunchError, NotRunning
    from hypervisor_model.public.places import PlaceError

    problem: TmemError
    try:
        return act()
    except PlaceError as error:
        problem = BadInput(str(error))
    except NotRunning as error:
        problem = Unreachable(f"{error}; `xm model start` starts one")
    except LaunchError as error:
        problem = Failed(str(error))
    except OSError as error:
        problem = Failed(f"{error.filename}: {error.strerror}")
    raise problem from None

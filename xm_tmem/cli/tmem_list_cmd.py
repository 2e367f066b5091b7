# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-list`: what the hypervisor says about tmem, in the order, columns, units and format asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.declared import DOMAINS, Declared, Option, UsageError, number
from xm_tmem.cli.output import complain, is_terminal
from xm_tmem.cli.session import Session
from xm_tmem.errors import BadInput, TmemError
from xm_tmem.listing.report import Report
from xm_tmem.listing.select import Selection, selection
from xm_tmem.operations.hosts import Answer
from xm_tmem.operations.query import Listed, listed
from xm_tmem.operations.resolve import targets
from xm_tmem.render.formats import render_listing
from xm_tmem.render.sections import legend as legend_of
from xm_tmem.render.sections import long_view, short_view, warnings
from xm_tmem.settings import UNITS
from xm_tmem.units import parse_duration


class View:
    """How a listing is shown."""

    __slots__ = ("headings", "legend", "selection", "use_long")

    def __init__(self, selection: Selection, use_long: bool, headings: bool, legend: bool) -> None:
        self.selection, self.use_long, self.headings, self.legend = selection, use_long, headings, legend


def show_listing(
    session: Session,
    domains: tuple[str, ...],
    use_long: bool,
    all_domains: bool,
    by_client: bool,
    sort: str | None,
    where: str | None,
    columns: str | None,
    units: str | None,
    no_headings: bool,
    legend: bool,
    watch_s: float | None,
    count: int | None,
) -> None:
    """List tmem: the host, its clients and their pools.

    Counters are the hypervisor's, since boot or since the pool was made; a dash is what this release does not say.
    `xm tmem-explain` tells what each one means. --filter also understands `and`, `or`, `not` and parentheses.
    """
    if all_domains and domains:
        raise UsageError("tmem-list", "give domains or -a, not both")
    if count is not None and watch_s is None:
        raise UsageError("tmem-list", "--count goes with --watch")
    if use_long and columns:
        raise UsageError("tmem-list", "give -l, which has every column, or --columns, not both")
    hosts = len(session.connections())
    if hosts > 1 and session.format in ("raw", "prometheus"):
        raise BadInput(f"-o {session.format} is for one host at a time, not for {hosts}")
    chosen = selection(
        columns=columns or session.settings.columns or None,
        where=where,
        order=sort,
        units=units or _usual_units(session),
        by_client=by_client,
    )
    view = View(chosen, use_long, not no_headings, legend)
    # A person's or a program's listing needs the long form for its rates; raw is what was asked for, no more.
    fetch_long = use_long or session.format != "raw"

    def read(backend: Backend) -> Listed:
        return listed(backend, targets(backend, domains) if domains else None, use_long=fetch_long)

    if watch_s is not None:
        shown = count if count is not None else -1
        session.ask_one(
            lambda backend: _watch(session, backend, read, view, watch_s, shown), "tmem-list --watch"
        )
    else:
        _show(session, view, session.ask(read))


def _usual_units(session: Session) -> str:
    """Sizes that fit on a terminal; pages, which are exact, in a pipe."""
    if session.settings.units == "auto" and session.format != "table":
        return "pages"
    return session.settings.units


def _show(session: Session, view: View, answers: Sequence[Answer[Listed]]) -> None:
    """One listing for each host, and a line for whatever failed."""
    answered = [answer.value for answer in answers if answer.error is None]
    good = [it for it in answered if it.found]
    several = len(answers) > 1
    texts = [
        _text(session, view, it.report, several=several, first=number == 0) for number, it in enumerate(good)
    ]
    if several:
        texts = _together(session.format, [it.report.connection for it in good], texts)
    for text in texts:
        session.write(text)
    for it in good:
        for warning in warnings(it.report):
            session.note(warning)
    for outcome in (outcome for it in answered for outcome in it.outcomes):
        if outcome.error is not None:
            complain(str(outcome.error))
    for answer in answers:
        if answer.error is not None:
            complain(f"{answer.connection}: {answer.error}")
    errors: list[TmemError | None] = [answer.error for answer in answers if answer.error is not None]
    for it in answered:
        errors += [outcome.error for outcome in it.outcomes] or [None]
    session.conclude(errors)


def _text(session: Session, view: View, report: Report, *, several: bool, first: bool) -> str | bytes:
    """One host's listing. The rows of several are one CSV, with headings at the `first`."""
    form = session.format
    if form != "table":
        headings = view.headings and (first or form != "csv")
        return render_listing(report, view.selection, form, use_long=view.use_long,
                              headings=headings, legend=view.legend, whose=several)  # fmt: skip
    blocks = long_view(report, view.selection) if view.use_long else short_view(report, view.selection)
    if view.legend:
        blocks.append(legend_of(blocks, view.selection.units))
    return session.draw(blocks, headings=view.headings, units=view.selection.units)


def _together(form: str, connections: Sequence[str], texts: Sequence[str | bytes]) -> list[str | bytes]:
    """The listings of several hosts as one output."""
    words = [str(text) for text in texts]
    if form == "json":
        return [f"[{','.join(text.rstrip() for text in words)}]\n"]
    if form == "yaml":
        return [f"---\n{text}" for text in words]
    if form in ("table", "plain"):
        return [f"{connection}:\n{text}" for connection, text in zip(connections, words, strict=True)]
    return list(words)


def _watch(
    session: Session,
    backend: Backend,
    read: Callable[[Backend], Listed],
    view: View,
    every_s: float,
    left: int,
) -> None:
    """List every `every_s` seconds, `left` times or, when it is negative, for ever.

    Domains that are not there when it begins are a slip of the user's; later, they may come back.
    """
    clears = is_terminal() and not session.machine and session.environ.get("TERM", "dumb") != "dumb"
    first = True
    while left != 0:
        left -= 1
        seen = read(backend)
        answer = Answer(backend.name, [seen], None)
        if clears:
            # Home, and what is left of the screen away: no flicker, and the listing before stays in the scrollback.
            session.write(f"\x1b[H\x1b[J{backend.name}   {time.strftime('%H:%M:%S')}\n\n")
        _show(session, view, [answer])
        if first and not seen.found:
            return
        if session.format == "csv":
            view.headings = False
        first = False
        if left != 0:
            time.sleep(every_s)
            if not clears and not session.machine:
                session.write("\n")


tmem_list = Declared(
    "tmem-list",
    show_listing,
    argument=DOMAINS,
    options=[
        Option("-l", "--long", attribute="use_long", help="Every counter, not only the usual columns."),
        Option("-a", "--all", attribute="all_domains", help="All domains that use tmem, as without DOMAIN."),
        Option("--by-client", help="One row for each domain instead of one for each pool."),
        Option("--sort", metavar="KEY", help="Order by columns: pages,domain; -pages turns it round."),
        Option(
            "--filter",
            attribute="where",
            metavar="EXPR",
            help="Only rows that pass: frozen, weight>10, name~web.",
        ),
        Option(
            "--columns", metavar="LIST", help="Columns: a,b instead of the usual ones; +a,b besides them."
        ),
        Option("--units", words=UNITS, help="How amounts of memory are shown."),
        Option("--no-headings", help="Leave titles and headings out."),
        Option("--legend", help="Say what the columns mean, below."),
        Option(
            "--watch",
            attribute="watch_s",
            metavar="[SECONDS]",
            convert=parse_duration,
            omitted="2",
            help="List again and again, every 2 seconds.",
        ),
        Option("--count", metavar="N", convert=number, help="With --watch: stop after so many listings."),
    ],
    examples=[
        ("xm tmem-list", "every domain and its pools"),
        ("xm tmem-list -l web", "every counter of one domain"),
        ("xm tmem-list --filter 'frozen or hit_rate<0.2' --sort -pages", "which domains are worth a look"),
        ("xm tmem-list --watch 5 --by-client", "the same again every five seconds"),
        (
            "xm tmem-list -o json | jq '.clients[].weight'",
            "for a program; -o raw is the hypervisor's own text",
        ),
    ],
)

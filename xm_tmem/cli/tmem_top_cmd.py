# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-top`: what tmem does now: live on a terminal, or line by line for scripts."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from xm_tmem.cli.grid import FORMATS, serialise
from xm_tmem.cli.params import DURATION, NUMBER
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb, option, word
from xm_tmem.errors import BadInput
from xm_tmem.listing.rates import Activity, Observer, Rates
from xm_tmem.operations.query import listed
from xm_tmem.operations.watching import Watched, ticks
from xm_tmem.render import plain
from xm_tmem.render.live import SORT_KEYS, View, ordered
from xm_tmem.render.sections import Column, Section
from xm_tmem.render.structured import timestamp_text

INTERVAL_S = 2.0
SCHEMA = "xm-tmem/rates/1"
HEADINGS = {  # name -> unit, what it is
    "time": ("text", "when the reading was made, UTC"),
    "record": ("text", "host, domain or pool"),
    "domain": ("id", "the domain's id"),
    "name": ("text", "the domain's name"),
    "pool": ("id", "the pool's id"),
    "type": ("text", "of a pool"),
    "frozen": ("flag", "are new pages refused"),
    "pages": ("number", "pages held"),
    "ops_s": ("number", "hypercalls for each second"),
    "evictions_s": ("number", "ephemeral pages evicted"),
    "puts_s": ("number", "puts"),
    "gets_s": ("number", "gets"),
    "flushes_s": ("number", "page flushes"),
    "refused_s": ("number", "puts refused for lack of memory"),
    "hit_rate": ("ratio", "gets that found their page"),
    "put_success": ("ratio", "puts that were taken"),
}


class Wish(NamedTuple):
    """What to show, how often, and how many times (None: until somebody has seen enough)."""

    every_s: float
    times: int | None
    by_pool: bool
    sort: str
    descending: bool


@click.command(
    "tmem-top",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-top", "a live view; h shows the keys, q ends it"),
        ("xm tmem-top --sort gets/s --pools", "the pools, the busiest first"),
        ("xm tmem-top -b -n 3 -d 10s", "three times, ten seconds apart, as text"),
        ("xm tmem-top -b -n 60 -o jsonl > rates.jsonl", "two minutes for a program"),
    ],
)
@option(
    "-b", "--batch", is_flag=True, help="Lines instead of a live view, as also where there is no terminal."
)
@option("-n", "--count", metavar="N", type=NUMBER, help="End after so many readings' rates.")
@option(
    *("-d", "--interval", "every_s"),
    metavar="SECONDS",
    type=DURATION,
    default=INTERVAL_S,
    help="From one reading to the next: 2s.",
)
@option("-p", "--pools", "by_pool", is_flag=True, help="A row for each pool instead of one for each domain.")
@option(
    "--sort", type=word(SORT_KEYS), default="domain", metavar="KEY", help=f"One of {', '.join(SORT_KEYS)}."
)
@click.pass_obj
def tmem_top(
    session: Session, batch: bool, count: int | None, every_s: float, by_pool: bool, sort: str
) -> None:
    """Show what tmem does now: rates, hit rates and evictions.

    All rates are for each second, from one reading to the next. Amounts are sorted with the largest first. Xen counts
    evictions for the whole host alone; the rates of a shared pool are shown with --pools, and not for a domain.
    """
    connections = session.connections()
    if len(connections) > 1:
        raise BadInput(f"tmem-top shows one host at a time, not {len(connections)}")
    wish = Wish(every_s, count, by_pool, sort, sort not in ("domain", "name", "pool"))
    from xm_tmem.cli import screen

    with Watched(lambda: session.open(connections[0])) as host:
        if batch or session.machine or not screen.is_usable(session.environ):
            _batch(session, host, wish)
        else:
            _live(session, host, wish)


def _live(session: Session, host: Watched, wish: Wish) -> None:
    """The live view, until q, or Ctrl-C, or `count` readings' rates have been shown."""
    import sys

    from xm_tmem.cli.live_view import LiveView
    from xm_tmem.cli.screen import Screen
    from xm_tmem.operations.interrupts import Endings
    from xm_tmem.render.sparkline import bars

    asks = session.settings.confirm and not session.yes
    live = LiveView(
        host, wish.every_s, sort=wish.sort, descending=wish.descending, by_pool=wish.by_pool, asks=asks
    )
    ramp = bars(session.environ, sys.stdout.encoding)
    styled = (session.color or session.settings.color) != "never"
    with Endings(), Screen(styled=styled) as terminal:
        shown = 0
        while not live.ended:
            terminal.draw(live.frame(*terminal.size(), ramp))
            key = terminal.key(live.seconds_left())
            if key is not None:
                live.press(key)
            elif wish.times is not None and shown >= wish.times:
                break
            else:
                live.read()
                shown += 1


def _batch(session: Session, host: Watched, wish: Wish) -> None:
    """Rates as lines, `count` times or for ever; the first come after one interval."""
    form = require_format(session, FORMATS, "tmem-top")
    observer = Observer()
    for number in ticks(wish.every_s, None if wish.times is None else wish.times + 1):
        rates = observer.observe(host.ask(listed).report)
        if number == 0:
            continue
        rows = ordered(View(rates, wish.every_s, wish.sort, wish.descending, wish.by_pool))
        records = [_host_record(rates), *(_record(rates, row) for row in rows)]
        if session.machine:
            text = serialise(form, {"schema": SCHEMA, "seconds": rates.seconds, "rates": records}, records)
            session.write(text if form != "csv" or number == 1 else text.partition("\n")[2])
        else:
            columns = [
                Column(name, unit, meaning, [_shown(record[name], unit) for record in records])
                for name, (unit, meaning) in HEADINGS.items()
            ]
            session.write(plain.render([Section("", tuple(columns))]))  # a line to a row, also on a terminal


def _host_record(rates: Rates) -> dict[str, Any]:
    known = {"pages": rates.host.pages, "ops_s": rates.host.ops, "evictions_s": rates.host.evictions}
    return {name: known.get(name) for name in HEADINGS} | _of(rates, "host")


def _record(rates: Rates, row: Activity) -> dict[str, Any]:
    known = {
        "domain": row.domain,
        "name": row.name,
        "pool": row.pool,
        "type": row.kind,
        "frozen": row.frozen,
        "pages": row.pages,
        "puts_s": row.puts,
        "gets_s": row.gets,
        "flushes_s": row.flushes,
        "refused_s": row.refused,
        "hit_rate": row.hit_rate,
        "put_success": row.put_success,
    }
    kind = "domain" if row.pool is None else "pool"
    return {name: known.get(name) for name in HEADINGS} | _of(rates, kind)


def _of(rates: Rates, record: str) -> dict[str, Any]:
    return {"time": timestamp_text(rates.report.timestamp), "record": record}


def _shown(value: Any, unit: str) -> Any:
    return f"{value:.1f}" if isinstance(value, float) and unit != "ratio" else value

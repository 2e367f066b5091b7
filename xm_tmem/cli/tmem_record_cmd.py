# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-record`: listings kept in a file, for later."""

from __future__ import annotations

import click

from xm_tmem.cli.params import DURATION, NUMBER
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, Unreachable
from xm_tmem.listing.capture import Capture
from xm_tmem.listing.recording import Recorder
from xm_tmem.operations.recording import capture
from xm_tmem.operations.watching import Watched, ticks

INTERVAL_S = 10.0


@click.command(
    "tmem-record",
    cls=Verb,
    examples=[
        ("xm tmem-record --count 1 web.xmr", "add one capture to web.xmr, as from cron"),
        ("xm tmem-record --interval 10s --count 360 web.xmr", "an hour, a capture every ten seconds"),
        ("xm -c replay:web.xmr tmem-list", "what the last capture of it says; replay:web.xmr@-10m goes back"),
    ],
)
@click.argument("file", type=click.Path(dir_okay=False))
@option(
    "--interval",
    "every_s",
    metavar="SECONDS",
    type=DURATION,
    default=INTERVAL_S,
    help="From one to the next: 10s.",
)
@option("--count", metavar="N", type=NUMBER, help="Stop after so many captures; without it, on Ctrl-C.")
@click.pass_obj
def tmem_record(session: Session, file: str, every_s: float, count: int | None) -> None:
    """Record listings to a file, one every few seconds.

    FILE is added to if it is a recording of the same host. Each capture is on the disk before the next is made, and a
    recording is whole whenever this ends. A host that cannot be reached for a while leaves a gap. Every command that
    reads takes a recording by `-c replay:FILE`, tmem-diff and tmem-plot take it by its name.
    """
    if file == "-":
        raise BadInput("tmem-record adds to a file, not to standard output: name one (./- is called -)")
    connections = session.connections()
    if len(connections) > 1:
        raise BadInput(f"tmem-record records one host at a time, not {len(connections)}")
    with Watched(lambda: session.open(connections[0])) as host:
        first = host.ask(capture)  # a host that cannot be listed at all leaves no file behind
        with Recorder(file) as recorder:
            _begin(session, recorder, first)
            made = 0
            try:
                for number in ticks(every_s, count):
                    made += _record(session, recorder, first if number == 0 else _later(session, host))
            finally:
                session.note(f"{made} capture{'s' * (made != 1)} added to {file}")


def _begin(session: Session, recorder: Recorder, first: Capture) -> None:
    """Say what was found wrong with the file. Raises BadInput where it is another host's."""
    if recorder.cut_bytes:
        session.note(f"{recorder.path}: cut off a torn capture of {recorder.cut_bytes} bytes at its end")
    last = recorder.last
    if last is not None and last.connection != first.connection:
        raise BadInput(f"{recorder.path} is a recording of {last.connection}, not of {first.connection}")


def _later(session: Session, host: Watched) -> Capture | None:
    """A capture, or None while the host cannot be reached."""
    try:
        return host.ask(capture)
    except Unreachable as error:
        session.note(f"no capture: {error}")
        return None


def _record(session: Session, recorder: Recorder, made: Capture | None) -> int:
    """The number of captures added: 1 or 0."""
    if made is None:
        return 0
    size = recorder.add(made)
    if session.verbose:
        session.note(f"{size} bytes added to {recorder.path}")
    return 1

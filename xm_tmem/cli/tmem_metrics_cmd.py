# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-metrics`: a host's tmem for Prometheus: once, to a file for node_exporter, or to whoever scrapes."""

from __future__ import annotations

from collections.abc import Iterable

import click

from xm_tmem.cli.metrics_server import LOOPBACK, MetricsServer, parse_address
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, TmemError
from xm_tmem.operations.atomic_file import replace_file
from xm_tmem.operations.query import listed
from xm_tmem.operations.watching import Watched
from xm_tmem.render import prometheus

EVERYBODY = 0o644  # node_exporter runs as a user of its own


@click.command(
    "tmem-metrics",
    cls=Verb,
    examples=[
        ("xm tmem-metrics", "the metrics of the host, as OpenMetrics text"),
        ("xm tmem-metrics -o prometheus | promtool check metrics", "in Prometheus' older format"),
        ("xm tmem-metrics --textfile /var/lib/node_exporter/tmem.prom", "for node_exporter, as from cron"),
        ("xm tmem-metrics --listen 9178", "answer scrapes at http://127.0.0.1:9178/metrics until Ctrl-C"),
    ],
)
@option(
    "--textfile",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="Replace this file in one step, for node_exporter.",
)
@option("--listen", metavar="ADDR:PORT", help="Answer scrapes there; a port alone is this machine's own.")
@click.pass_obj
def tmem_metrics(session: Session, textfile: str | None, listen: str | None) -> None:
    """Tell Prometheus about tmem.

    Names are xen_tmem_..., in base units. A host that cannot be read has xen_tmem_up 0, which is told also when the
    command fails for that. A file is in Prometheus' text format, which is what node_exporter reads; -o prometheus
    is the same on standard output. --listen wants the extra `metrics`.
    """
    if textfile is not None and listen is not None:
        raise click.UsageError("give --textfile or --listen, not both", click.get_current_context())
    if session.output not in (None, "auto", "prometheus"):
        raise BadInput("tmem-metrics has OpenMetrics output, and with -o prometheus the older text format")
    connections = session.connections()
    if len(connections) > 1:
        raise BadInput(f"tmem-metrics tells of one host at a time, not of {len(connections)}")
    with Watched(lambda: session.open(connections[0])) as host:
        if listen is not None:
            _serve(session, host, connections[0], listen)
        else:
            _once(session, host, connections[0], textfile)


def _once(session: Session, host: Watched, connection: str, textfile: str | None) -> None:
    """The metrics as they are now. A host that cannot be read is down, and that is this command's failure too."""
    openmetrics = textfile is None and session.output != "prometheus"
    error: TmemError | None = None
    try:
        text = prometheus.render(host.ask(listed).report, openmetrics=openmetrics)
    except TmemError as failed:
        error, text = failed, prometheus.render_down(connection, openmetrics=openmetrics)
    if textfile is None:
        session.write(text)
    else:
        replace_file(textfile, text.encode("utf-8", "backslashreplace"), mode=EVERYBODY)
    if error is not None:
        raise error


def _serve(session: Session, host: Watched, connection: str, listen: str) -> None:
    """Answer scrapes until somebody interrupts."""
    address, port = parse_address(listen)
    told = ""

    def read() -> Iterable[prometheus.Family]:
        nonlocal told
        try:
            report = host.ask(listed).report
        except TmemError as error:
            if told != str(error):  # once, and not at every scrape
                told = str(error)
                session.note(told)
            return prometheus.families_down(connection)
        told = ""
        return prometheus.families(report)

    server = MetricsServer(address, port, read)
    try:
        shown = f"[{address}]" if ":" in address else address
        session.note(f"metrics at http://{shown}:{server.port}/metrics")
        if address not in (LOOPBACK, "::1", "localhost"):
            session.note("whoever can reach this address can read them")
        server.wait()
    finally:
        server.close()

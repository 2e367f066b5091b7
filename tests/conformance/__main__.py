# SPDX-License-Identifier: GPL-2.0-only
"""Replays recordings of real Xen on the model: `python -m tests.conformance FILE...`.

FILE is a trace (.jsonl.gz) or a guest's traffic (.tmemops.gz, with its NAME.listings.json beside it). One line for
each, what differs below it, and the sums last. Exit status: 0 if nothing differs, 1 if something does, 2 for a file
that is no recording.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.conformance.guest_fit import fit
from tests.conformance.guest_replay import GuestReplay
from tests.conformance.guest_trace import SUFFIX, GuestTrace
from tests.conformance.replay import replay
from tests.conformance.trace import TraceError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--keep-going", type=int, default=1, metavar="N", help="differences shown of one file (default 1)"
    )
    parser.add_argument(
        "--fit",
        action="store_true",
        help="for guests' runs with evictions: the size of the host that explains them, and how many gets agree",
    )
    arguments = parser.parse_args(argv)
    runs = [path for path in arguments.files if path.name.endswith(SUFFIX)]
    traces = [path for path in arguments.files if path not in runs]
    keep_going = max(1, arguments.keep_going)
    try:
        divergences = replay_traces(traces, keep_going=keep_going) if traces else 0
        divergences += replay_runs(runs, keep_going=keep_going, fitted=arguments.fit) if runs else 0
    except TraceError as error:
        print(f"python -m tests.conformance: {error}", file=sys.stderr)
        return 2
    return 1 if divergences else 0


def replay_traces(paths: list[Path], *, keep_going: int) -> int:
    """Replay traces, and return how many divergences were found."""
    operations = divergences = 0
    for path in paths:
        outcome = replay(path, keep_going=keep_going)
        _show(outcome, outcome.divergences)
        operations += outcome.operations
        divergences += len(outcome.divergences)
    print(f"{len(paths)} traces, {operations} operations, {divergences} divergences")
    return divergences


def replay_runs(paths: list[Path], *, keep_going: int, fitted: bool) -> int:
    """Replay guests' runs, and return how many divergences were found."""
    snapshots = divergences = 0
    for path in paths:
        trace = GuestTrace(path)
        outcome = GuestReplay(trace).run(keep_going=keep_going)
        _show(outcome, outcome.divergences)
        if fitted and trace.evicted:
            print(fit(trace), flush=True)
        snapshots += outcome.snapshots
        divergences += len(outcome.divergences)
    print(f"{len(paths)} runs, {snapshots} snapshots, {divergences} divergences")
    return divergences


def _show(outcome: object, divergences: Iterable[object]) -> None:
    print(outcome, *divergences, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())

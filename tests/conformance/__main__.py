# SPDX-License-Identifier: GPL-2.0-only
"""Replays recordings of real Xen on the model: `python -m tests.conformance FILE...`.

One line for each file, what differs below it, and the sums last. Exit status: 0 if nothing differs, 1 if something
does, 2 for a file that is no recording.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.conformance.replay import replay
from tests.conformance.trace import TraceError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a trace (.jsonl.gz)")
    parser.add_argument(
        "--keep-going", type=int, default=1, metavar="N", help="differences shown of one file (default 1)"
    )
    arguments = parser.parse_args(argv)
    try:
        return replay_traces(arguments.files, keep_going=arguments.keep_going)
    except TraceError as error:
        print(f"python -m tests.conformance: {error}", file=sys.stderr)
        return 2


def replay_traces(paths: list[Path], *, keep_going: int) -> int:
    operations = divergences = 0
    for path in paths:
        outcome = replay(path, keep_going=keep_going)
        print(outcome, flush=True)
        for divergence in outcome.divergences:
            print(divergence, flush=True)
        operations += outcome.operations
        divergences += len(outcome.divergences)
    print(f"{len(paths)} traces, {operations} operations, {divergences} divergences")
    return 1 if divergences else 0


if __name__ == "__main__":
    sys.exit(main())

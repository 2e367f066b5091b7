# SPDX-License-Identifier: GPL-2.0-only
"""`python -m benchmarks [NAME...] [--quick] [--json FILE] [--document FILE]`: measure, print a table, store the run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    builds,
    content,
    figures,
    guests,
    hot_path,
    library,
    metadata,
    model_host,
    results,
    save_stream,
    tool,
)
from benchmarks.figures import Figure

Subject = Callable[..., list[Figure]]
SUBJECTS: Mapping[str, Subject] = {
    "hot-path": hot_path.figures,
    "metadata": metadata.figures,
    "content": content.figures,
    "tool": tool.figures,
    "model-host": model_host.figures,
    "guests": guests.figures,
    "library": library.figures,
    "save-stream": save_stream.figures,
}


MARK = "<!-- measured -->"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure, and judge by the goals."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(SUBJECTS)}; else all"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds; less sure")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="store the run here, not in benchmarks/results/"
    )
    parser.add_argument(
        "--compiled", type=Path, metavar="DIR", default=builds.COMPILED, help="where the compiled build lies"
    )
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help=f"put the table into this file, behind its line {MARK}"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in SUBJECTS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(SUBJECTS)}")
    before = os.getloadavg()
    measured: list[Figure] = []
    failed = False
    both = builds.find(arguments.compiled)
    for name in arguments.names or SUBJECTS:
        start = time.monotonic()
        try:
            measured += SUBJECTS[name](both, quick=arguments.quick)
        except (OSError, subprocess.CalledProcessError) as error:
            measured.append(figures.not_measured(name, f"failed: {_short(error)}"))
            failed = True
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    last = results.last(quick=arguments.quick)
    run = results.run_of(measured, quick=arguments.quick, load=before)
    print(f"{results.heading(run)}, {os.getloadavg()[0]:.1f} after; medians of interleaved rounds\n")
    print(figures.table(measured, last))
    if arguments.document is not None:
        put_into(arguments.document, f"{results.heading(run)}.\n\n{figures.markdown(measured)}\n")
    print(f"\nstored in {os.path.relpath(results.store(run, arguments.json))}")
    return int(failed)


def put_into(document: Path, text: str) -> None:
    """Replace what stands behind the document's line MARK. Raises OSError."""
    before = document.read_text(encoding="utf-8").partition(MARK)[0]
    document.write_text(f"{before}{MARK}\n\n{text}", encoding="utf-8")


def _short(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"{os.path.basename(str(error.cmd[0]))} ended with status {error.returncode}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())

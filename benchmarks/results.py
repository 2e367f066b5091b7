# SPDX-License-Identifier: GPL-2.0-only
"""Runs kept as JSON under benchmarks/results/, each with its date and the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def run_of(figures: Sequence[Figure], *, quick: bool, load: Sequence[float]) -> dict[str, Any]:
    """A run to be stored."""
    return {
        "format": "xm-tmem-benchmarks/1",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "load_average": [round(value, 2) for value in load],
        "quick": quick,
        "figures": [figure.as_json() for figure in figures],
    }


def heading(run: dict[str, Any]) -> str:
    """When and where a run was made."""
    about = run["machine"]
    return (
        f"{run['date']}, {about['processor']}, {about['processors']} CPUs, {about['system']}, {about['python']}; "
        f"load average {run['load_average'][0]:.1f} before"
    )


def store(run: dict[str, Any], file: Path | None = None) -> Path:
    """Write a run to `file`, by default one named by its date. Raises OSError."""
    if file is None:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{run['date'].replace(':', '')}.json"
    file.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return file


def last(*, quick: bool) -> dict[str, Any]:
    """For each figure's name what the latest stored run of the same thoroughness has of it."""
    figures: dict[str, Any] = {}
    for file in sorted(RESULTS.glob("*.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        if run["quick"] == quick:
            figures |= {figure["name"]: figure for figure in run["figures"]}
    return figures

# SPDX-License-Identifier: GPL-2.0-only
"""The builds of the model, and measuring a subject on one of them in a process of its own.

A child imports `hypervisor_model` from where its build lies and everything else from this checkout, so that both builds
are measured by the same code.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"
HOW = ".ci/compiled --version makes it"

# The package is bound to its directory by its first import, which is why that comes before all others. What stays on
# the path behind everything is for the shared object that mypyc lays beside the package.
_BOOTSTRAP = """
import sys
place = sys.argv.pop(1)
sys.path.insert(0, place)
import hypervisor_model
del sys.path[0]
sys.path.append(place)
from benchmarks.builds import child
child()
"""


@dataclass(frozen=True)
class Build:
    """A build of the model; `why_not` says what keeps it from being measured."""

    name: str
    place: Path
    why_not: str = ""
    note: str = ""

    def measure(self, subject: str, **arguments: Any) -> dict[str, Any]:
        """What `benchmarks.SUBJECT.measure(**arguments)` returns in a process that runs this build.

        Raises CalledProcessError; what the child has to say is on standard error.
        """
        answer = subprocess.run(
            [sys.executable, "-c", _BOOTSTRAP, str(self.place), subject, json.dumps(arguments)],
            cwd=ROOT,
            env={**os.environ, "XM_TMEM_PURE": "1" if self.name == "pure" else "0"},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        values: dict[str, Any] = json.loads(answer)
        return values


def child() -> None:
    """In the child: measure, and print the answer."""
    subject, arguments = sys.argv[1:]
    json.dump(importlib.import_module(f"benchmarks.{subject}").measure(**json.loads(arguments)), sys.stdout)


def find(place: Path = COMPILED) -> tuple[Build, Build]:
    """Pure and compiled."""
    return Build("pure", ROOT), _compiled(place)


def _compiled(place: Path) -> Build:
    if not (place / "hypervisor_model").is_dir():
        return Build("compiled", place, f"there is no compiled build: {HOW}")
    try:
        made = Build("compiled", place).measure("builds")["name"]
    except subprocess.CalledProcessError:
        return Build("compiled", place, "the compiled build does not start")
    if made != "compiled":
        return Build("compiled", place, f"what lies in {_shown(place)} is not compiled: {HOW}")
    return Build("compiled", place, note=_older(place))


def measure() -> dict[str, Any]:
    """Which build this process runs."""
    from hypervisor_model.build import name

    return {"name": name()}


def _older(place: Path) -> str:
    """A remark if the compiled build was made from other sources than these."""
    for directory in ("lib", "host", "tmem", "guests", "guests/workloads"):
        for source in sorted((ROOT / "hypervisor_model" / directory).glob("*.py")):
            copy = place / source.relative_to(ROOT)
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                return f"compiled from an older {source.relative_to(ROOT)}: {HOW} anew"
    return ""


def _shown(place: Path) -> str:
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else str(place)

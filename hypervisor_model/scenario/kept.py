# SPDX-License-Identifier: GPL-2.0-only
"""The file in which a sweep keeps its results, a line of JSON for each, and what of it is to be believed.

Every line says what its result came from, as a digest: a result of what the scenario was before it was edited is not
taken for one of what it is now. A last line may be cut, of a sweep that was killed while it wrote; anything else that
is no result is a sign that the file is something else, which nobody wants lines added to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

from hypervisor_model.scenario.compare import report_of

SCHEMA: Final = "xm-tmem/sweep/1"
MAX_LINE_BYTES: Final = 64 << 20

Point = Mapping[str, str]
"""A value, as it would stand in the file, for each key that is varied."""

_BEGINNING: Final = json.dumps({"schema": SCHEMA})[:-1].encode()


class NotKept(ValueError):
    """The file holds something else than results of this sweep."""


def result(identity: str, point: Point, report: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of one run. The schema comes first, so that also a line cut short can be told."""
    return {"schema": SCHEMA, "scenario": identity, "vary": dict(point), "report": report}


def results_in(file: BinaryIO, identity: Callable[[Point], str]) -> tuple[dict[str, dict[str, Any]], int]:
    """The results in `file` by their identities, and how many of its bytes are results: a cut last line is not.

    `identity` says which one a result at a point has now. Raises NotKept.
    """
    found: dict[str, dict[str, Any]] = {}
    size = number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        kept = _result_in(line)
        if kept is None:
            if not line.endswith(b"\n") and (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
                break
            raise NotKept(f"line {number} is no result of a sweep: give another --to")
        if not _is_of(kept, identity):
            raise NotKept(
                f"line {number} is of what the scenario, a file it names, or xm was before it changed: "
                "give another --to, or remove the file"
            )
        found[kept["scenario"]] = kept
        size += len(line)
    return found, size


def _result_in(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return None
    vary = found.get("vary")
    if not isinstance(vary, dict) or not all(isinstance(value, str) for value in vary.values()):
        return None
    try:
        report_of(found.get("report"))
    except ValueError:
        return None
    return found


def _is_of(kept: Mapping[str, Any], identity: Callable[[Point], str]) -> bool:
    try:
        return bool(kept.get("scenario") == identity(kept["vary"]))
    except ValueError:  # ScenarioError too: there is nothing any more to vary so
        return False

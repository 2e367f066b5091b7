# SPDX-License-Identifier: GPL-2.0-only
"""What to print where a replay gives another result than the recording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.trace import Operation, results_of

_MOST_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Divergence:
    """Operation `number` (from 1) gave `got`; `before` are the operations that led to it, the latest last."""

    number: int
    operation: Operation
    got: dict[str, Any]
    before: Sequence[Operation]

    def __str__(self) -> str:
        expected = results_of(self.operation)
        lines = [f"  operation {self.number}: {_arguments(self.operation)}"]
        for name in sorted({*expected, *self.got}):
            if expected.get(name) != self.got.get(name):
                lines += _difference(name, expected.get(name), self.got.get(name))
        lines.append(f"  the {len(self.before)} operations before it:")
        first = self.number - len(self.before)
        lines += [
            f"    {number} {_arguments(operation)} -> {_short(results_of(operation))}"
            for number, operation in enumerate(self.before, first)
        ]
        return "\n".join(lines)


def listing_differences(expected: str, got: str) -> list[str]:
    """The counters in which two listings differ, each as `line tag: expected A, got B`."""
    wanted, found = counters(expected), counters(got)
    return [
        f"{line} {tag}: expected {wanted.get((line, tag), 'none')}, got {found.get((line, tag), 'none')}"
        for line, tag in {**wanted, **found}
        if wanted.get((line, tag)) != found.get((line, tag))
    ]


def _difference(name: str, expected: Any, got: Any) -> list[str]:
    if name == "out" and isinstance(expected, str) and isinstance(got, str):
        lines = listing_differences(expected, got) or ["the same counters, laid out otherwise"]
        return ["    out:", *(f"      {line}" for line in lines)]
    return [f"    {name}: expected {_short(expected)}, got {_short(got)}"]


def counters(listing: str) -> dict[tuple[str, str], str]:
    """Each `tag:value` of a listing, by the line it stands in and the tag.

    A line is named by its letter and the ids it begins with; a name met before (Xen garbles the lines of shared
    pools) gets a number too, and so does a tag that occurs more than once in its line.
    """
    found: dict[tuple[str, str], str] = {}
    names: dict[str, int] = {}
    for line in listing.splitlines():
        letter, _, rest = line.partition("=")
        fields = [field.partition(":") for field in rest.split(",")]
        ids = [f"{tag}:{value}" for tag, _, value in fields if tag in ("CI", "PI", "SI")]
        name = " ".join([letter, *ids[:2]])
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name += f" #{names[name]}"
        tags: dict[str, int] = {}
        for tag, _, value in fields:
            tags[tag] = tags.get(tag, 0) + 1
            found[name, tag if tags[tag] == 1 else f"{tag} #{tags[tag]}"] = value
    return found


def _arguments(operation: Operation) -> str:
    results = results_of(operation)
    arguments = {name: value for name, value in operation.items() if name not in results and name != "op"}
    return f"{operation['op']} {_short(arguments)}"


def _short(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}... ({len(text)} characters)"

# SPDX-License-Identifier: GPL-2.0-only
"""Two runs' reports side by side: every figure that both have, by host and by guest of the same name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hypervisor_model.scenario.report import SCHEMA

Number = int | float


class Difference(NamedTuple):
    """A figure in both runs. `change` is relative to the first; None where that is 0 or nothing."""

    where: str
    figure: str
    first: Number | None
    second: Number | None

    @property
    def change(self) -> float | None:
        if not self.first or self.second is None:
            return None
        return self.second / self.first - 1


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """All figures of two reports. Raises ValueError for what is no report, or runs without a guest in common."""
    for each in (first, second):
        if each.get("schema") != SCHEMA:
            raise ValueError("no report of a run: make one with `xm model run FILE -o json`")
    found = list(_figures("host", first["host"], second["host"]))
    others = {guest["name"]: guest for guest in second["guests"]}
    common = [guest for guest in first["guests"] if guest["name"] in others]
    if not common:
        raise ValueError("the two runs have no guest in common")
    for guest in common:
        found += _figures(guest["name"], guest, others[guest["name"]])
    return found


def _figures(where: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name, value in first.items():
        other = second.get(name)
        if name == "driver" and isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _figures(f"{where} driver", value, other)
        elif name not in ("domain_id", "name") and _is_figure(value) and _is_figure(other):
            yield Difference(where, name, value, other)


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))

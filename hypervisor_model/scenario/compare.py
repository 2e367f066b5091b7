# SPDX-License-Identifier: GPL-2.0-only
"""Two runs' reports side by side: every figure that both have, by host and by guest of the same name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hypervisor_model.scenario.report import SCHEMA

MOST: Final = 1 << 64
"""No counter gets there: a number that does, or is none (NaN), was not written by a run."""

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


def report_of(document: object) -> Mapping[str, Any]:
    """The document if it is the report of a run, with a host and guests that have names. Raises ValueError."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError("no report of a run: make one with `xm model run FILE -o json`")
    if not isinstance(document.get("host"), dict):
        raise ValueError("a damaged report of a run: `host` is no mapping")
    guests = document.get("guests")
    if not isinstance(guests, list) or not all(_is_guest(guest) for guest in guests):
        raise ValueError("a damaged report of a run: `guests` is no list of guests with names")
    return document


def _is_guest(guest: object) -> bool:
    return isinstance(guest, dict) and isinstance(guest.get("name"), str)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """All figures of two reports (see `report_of`). Raises ValueError for runs without a guest in common."""
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
        elif name not in ("domain_id", "name") and is_figure(value) and is_figure(other):
            yield Difference(where, name, value, other)


def is_figure(value: object) -> bool:
    """Is it a number that a run may count or compute, or None where there is none?"""
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MOST

# SPDX-License-Identifier: GPL-2.0-only
"""A value as the text of a cell, by its unit: pages, bytes, ratios, flags, and names from hostile hands.

An absent value is "-". Pages and frames are 4096 bytes each; `auto` gives each amount the unit that fits it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from xm_tmem.units import PAGE_BYTES

ABSENT = "-"
_MEMORY = {"pages": PAGE_BYTES, "frames": PAGE_BYTES, "bytes": 1}  # unit -> bytes
_SIZES = {
    "pages": PAGE_BYTES,
    "bytes": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
}  # what --units may ask for -> bytes
_LEFT = frozenset(("text", "letters", "ids"))


def is_left_aligned(unit: str) -> bool:
    return unit in _LEFT


def is_memory(unit: str) -> bool:
    """Does `units` change how amounts of this unit are shown?"""
    return unit in _MEMORY


def visible(text: str) -> str:
    """`text` with everything that could move a cursor, start an escape code or hide written as a backslash escape."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def cell_texts(values: Iterable[Any], unit: str, units: str) -> list[str]:
    """The texts of a column's values, all of one unit; `units` is one of listing.select.UNITS."""
    write = _writer(unit, units)
    if unit == "ratio":
        # Of thousands, few differ: most are of idle pools.
        return list(map(_Written(write).__getitem__, values))
    return [ABSENT if value is None else write(value) for value in values]


class _Written(dict[Any, str]):
    """The texts of values, each written once."""

    def __init__(self, write: Callable[[Any], str]) -> None:
        super().__init__({None: ABSENT})
        self._write = write

    def __missing__(self, value: Any) -> str:
        self[value] = text = self._write(value)
        return text


def cell_text(value: Any, unit: str, units: str) -> str:
    return ABSENT if value is None else _writer(unit, units)(value)


def _writer(unit: str, units: str) -> Callable[[Any], str]:
    if unit in _MEMORY:
        size = _MEMORY[unit]
        if units == "auto":
            return lambda value: human_size(value * size)
        shown = _SIZES[units]
        if shown == size:
            return str
        return lambda value: _amount(value * size, shown)
    return _WRITERS.get(unit, str)


def _amount(size_bytes: int, unit_bytes: int) -> str:
    if size_bytes % unit_bytes == 0:
        return str(size_bytes // unit_bytes)
    return f"{size_bytes / unit_bytes:.2f}"


def human_size(size_bytes: int) -> str:
    """A size in the largest binary unit that leaves at least 1 of it: 0, 512B, 28KiB, 1.4GiB."""
    if abs(size_bytes) < 1024:
        return f"{size_bytes}B" if size_bytes else "0"
    power = 1
    while power < len(_SUFFIXES) - 1 and abs(size_bytes) >= 999.5 * 1024**power:
        power += 1
    amount = size_bytes / 1024**power
    return f"{amount:.{1 if abs(amount) < 9.95 and amount != int(amount) else 0}f}{_SUFFIXES[power]}"


_SUFFIXES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_WRITERS: dict[str, Callable[[Any], str]] = {
    "flag": lambda value: "yes" if value else "no",
    "ratio": lambda value: f"{value * 100:.1f}%",
    "hex": lambda value: f"{value:x}",
    "ids": lambda value: ",".join(map(str, value)) or ABSENT,
    "text": visible,
}

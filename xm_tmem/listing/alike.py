# SPDX-License-Identifier: GPL-2.0-only
"""Lines of one shape, read together: those with the same keys in the same order, as nearly all of a listing are.

A listing of a thousand domains has a hundred thousand values. One pattern for a shape finds those of all its lines in
one call; what does not fit the pattern is for its reader to take line by line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

_FEW = 8  # lines: for fewer a pattern does not pay
_PORTION = 1000  # lines: as texts, their values take twenty times the memory
_MOST_SHAPES = 4  # of a portion: nobody's listing has more, and a hostile one gains nothing by it

Rows = list[tuple[str, ...]]


def alike(
    lines: Sequence[str], value: Callable[[str], str | None]
) -> Iterator[tuple[list[str], Sequence[int], Rows]]:
    """Of each shape among `lines` the keys, the numbers of its lines, and for each line the texts of its values.

    Such lines are wholly "X=" and then "key:text" with commas between, each text as the pattern `value(key)`, which
    has no groups, wants it; None: lines with this key have no shape. Lines of no shape, or of a rare one, are left out.
    """
    for start in range(0, len(lines), _PORTION):
        yield from _portion(lines, range(start, min(start + _PORTION, len(lines))), value)


def _portion(
    lines: Sequence[str], left: Sequence[int], value: Callable[[str], str | None]
) -> Iterator[tuple[list[str], Sequence[int], Rows]]:
    """`alike` of the lines numbered `left`."""
    for _ in range(_MOST_SHAPES):
        if len(left) < _FEW:
            return
        keys, pattern = _shape(lines[left[0]], value)
        rows = (
            re.findall(pattern, "\n".join([lines[number] for number in left]), re.MULTILINE) if keys else []
        )
        if len(rows) == len(left):
            yield keys, left, rows
            return
        fitting = [number for number in left if re.fullmatch(pattern, lines[number])] if rows else []
        if rows:
            yield keys, fitting, rows
        gone = {left[0], *fitting}
        left = [number for number in left if number not in gone]


def _shape(line: str, value: Callable[[str], str | None]) -> tuple[list[str], str]:
    """The keys of a line and the pattern of all lines with them; no keys where it has no shape."""
    keys = [field[:2] for field in line[2:].split(",")]
    values = [value(key) for key in keys]
    if len(keys) < 2 or len(set(keys)) < len(keys) or not all(map(str.isalnum, keys)) or None in values:
        return [], ""
    fields = ",".join(f"{key}:({text})" for key, text in zip(keys, values, strict=True))
    return keys, f"^{re.escape(line[:2])}{fields}$"

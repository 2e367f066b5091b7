# SPDX-License-Identifier: GPL-2.0-only
"""Lines that differ in nothing but their digits, read together: nearly all lines of a large listing are such.

Line by line, a listing of a thousand domains takes some thirty thousandths of a second; column by column the same work
is done by a few calls for each column. Whatever is not entirely as the hypervisor writes it is for its reader to take
line by line.
"""

from __future__ import annotations

from collections.abc import Sequence

_DIGITS = b"0123456789"
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:,="
_NOT_SEPARATORS = bytes(byte for byte in range(256) if byte not in b":,")
_AS_ZEROS = bytes.maketrans(_DIGITS, b"0" * 10)
_TOO_LONG = b"0" * 20
"""A decimal number of fewer digits is less than 2**64."""


def alike(lines: Sequence[bytes]) -> list[list[int]]:
    """The numbers of all lines, those together that are the same but for their digits."""
    found: dict[bytes, list[int]] = {}
    for number, line in enumerate(lines):
        found.setdefault(line.translate(None, _DIGITS), []).append(number)
    return list(found.values())


def columns(lines: Sequence[bytes]) -> dict[str, list[str]] | None:
    """The values of lines that are alike, such as b"P=CI:1,PI:0,PT:EP", by their two-letter keys.

    None unless each line is its letter and "=", and then only keys, each once and in the same order, each with a value
    of letters and digits, of these at most nineteen together. A value may be empty.
    """
    first = lines[0]
    if first.translate(None, _PLAIN) or first[1:2] != b"=":
        return None
    keys = first.decode("ascii").replace(":", ",").split(",")[::2]
    names = [keys[0][2:], *keys[1:]]
    count = len(keys)
    separators = first.translate(None, _NOT_SEPARATORS)
    if separators != b":" + b",:" * (count - 1) or len(set(names)) < count or any(len(n) != 2 for n in names):
        return None
    text = b",".join(lines)
    if _TOO_LONG in text.translate(_AS_ZEROS):
        return None
    parts = text.decode("ascii").replace(":", ",").split(",")
    found: dict[str, list[str]] = {}
    for position, (key, name) in enumerate(zip(keys, names, strict=True)):
        # Digits can hide in a key: "C1I" and "CI" are alike.
        if parts[2 * position :: 2 * count].count(key) != len(lines):
            return None
        found[name] = parts[2 * position + 1 :: 2 * count]
    return found

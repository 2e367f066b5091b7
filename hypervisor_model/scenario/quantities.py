# SPDX-License-Identifier: GPL-2.0-only
"""Sizes and times as scenarios write them: `64MiB`, `20 pages`, `250us`, `1.5min`.

A unit is always asked for: a bare 512 has meant KiB, MiB and pages to different tools of Xen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hypervisor_model.public.xen import PAGE_SHIFT, PAGE_SIZE

_NUMBER: Final = r"\d{1,18}(\.\d{1,9})?"
SIZE_PATTERN: Final = rf"^{_NUMBER} *([KMGT](i?B)?|pages?)$"
TIME_PATTERN: Final = rf"^{_NUMBER} *(us|ms|s|min|h)$"
UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

_UNITS: Final[Mapping[str, Mapping[str, int]]] = {
    "pages": {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "p": PAGE_SIZE},
    "time": {"us": 1, "ms": 1000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000},
}
PATTERNS: Final[Mapping[str, str]] = {"pages": SIZE_PATTERN, "time": TIME_PATTERN}
EXAMPLES: Final[Mapping[str, str]] = {"pages": "64MiB, 2GiB or 20 pages", "time": "250us, 5ms, 2s or 1.5min"}


def parse_quantity(text: str, quantity: str) -> int:
    """`text` in pages or microseconds (`quantity` "pages" or "time"), rounded up. Raises ValueError."""
    if not re.fullmatch(PATTERNS[quantity], text, re.ASCII):
        raise ValueError(f"{text!r} is not understood: write {EXAMPLES[quantity]}")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzBGKMT ")
    unit = text[len(number) :].strip()
    whole, _, fraction = number.partition(".")
    factor = _UNITS[quantity][unit if quantity == "time" else unit[0]]
    scaled = int(whole + fraction) * factor
    scale: int = 10 ** len(fraction) << (PAGE_SHIFT if quantity == "pages" else 0)
    return -(-scaled // scale)

# SPDX-License-Identifier: GPL-2.0-only
"""Pages, KiB, MiB: the conversions, and the rounding that each control operation applies; durations.

A tmem page is 4096 bytes in every release. Amounts without a unit in their name are pages.
"""

from __future__ import annotations

import re

from xm_tmem.errors import BadInput

PAGE_BYTES = 4096
PAGE_KB = 4
PAGES_PER_MB = 256

_SUFFIX_BYTES = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kb": 1 << 10,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mb": 1 << 20,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gb": 1 << 30,
    "gib": 1 << 30,
    "t": 1 << 40,
    "tb": 1 << 40,
    "tib": 1 << 40,
}
_SIZE = r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*"  # compiled when first used, as below: few commands read a size


def parse_size(text: str, *, default_unit: str = "KiB") -> int:
    """`text` such as 512, 64MiB, 1.5G or 20 pages, in bytes. A bare number has `default_unit`.

    Decimal-looking suffixes (MB) mean the binary unit, as Xen's own tools have it. Raises BadInput.
    """
    match = re.fullmatch(_SIZE, text, re.ASCII | re.IGNORECASE)
    if match is None:
        raise BadInput(f"{text!r} is no size: write a number with KiB, MiB, GiB or pages")
    number, suffix = match.groups()
    unit = (suffix or default_unit).lower()
    factor = PAGE_BYTES if unit in ("p", "page", "pages") else _SUFFIX_BYTES.get(unit)
    if factor is None:
        raise BadInput(f"{suffix!r} is no unit: use KiB, MiB, GiB or pages")
    whole, _, fraction = number.partition(".")
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * factor // scale


def kb_from_bytes(size_bytes: int) -> int:
    """Bytes as KiB, rounded up."""
    return (size_bytes + 1023) >> 10


def pages_from_kb(size_kb: int) -> int:
    """KiB as pages, rounded up: what FLUSH does with its argument (C: tmemc_flush_mem)."""
    return (size_kb + PAGE_KB - 1) // PAGE_KB


def mb_from_pages(pages: int) -> int:
    """Pages as MiB, rounded down: what QUERY_FREEABLE_MB does."""
    return pages // PAGES_PER_MB


_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)"
MAX_SECONDS = 366 * 24 * 3600.0


def parse_duration(text: str) -> float:
    """90, 90s, 10m, 2h or 1d, in seconds: more than nothing and at most a year. Raises BadInput."""
    match = re.fullmatch(_DURATION, text.strip().lower(), re.ASCII)
    if match is None or match[2] not in _UNIT_SECONDS:
        raise BadInput(f"{text!r} is no duration: write 90s, 10m or 2h")
    seconds = float(match[1]) * _UNIT_SECONDS[match[2]]
    if not 0 < seconds <= MAX_SECONDS:
        raise BadInput(f"{text!r} is out of range: a duration is more than nothing and at most a year")
    return seconds

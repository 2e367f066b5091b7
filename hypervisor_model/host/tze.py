# SPDX-License-Identifier: GPL-2.0-only
"""Trailing-zero elimination: how much of a page is left without the zero words at its end (C: tmh_tze_pfp_scan).

Units     bytes; always a multiple of 8, because the C looks at 64-bit words.
"""

from __future__ import annotations

from typing import Final

from hypervisor_model.public.xen import PAGE_SIZE

TZE_WORD_BYTES: Final = 8

_ZERO_PAGE: Final = bytes(PAGE_SIZE)
# 2048 down to 8 zeros: each run is there or is not, as the bits of a number.
_RUNS: Final = tuple(bytes(PAGE_SIZE >> shift) for shift in range(1, 10))


def tze_size(page: bytes) -> int:
    """The bytes of a page of 4096 up to its last non-zero word: 0 for a zero page, 4096 if nothing can be left out."""
    if page[-TZE_WORD_BYTES:] != _RUNS[-1]:
        return PAGE_SIZE
    if page == _ZERO_PAGE:
        return 0
    size = PAGE_SIZE
    for run in _RUNS:
        rest = size - len(run)
        if page[rest:size] == run:
            size = rest
    return size

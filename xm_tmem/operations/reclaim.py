# SPDX-License-Identifier: GPL-2.0-only
"""Free host memory from tmem and leave every domain frozen or not, as it was: xend's balloon sequence, repaired.

    freeze all -> how much is there -> flush -> (something that uses the memory) -> thaw those that were not frozen

xend thawed *all* at the end, also the domains an operator had frozen. Here the state before is read first and
restored on success, failure and interrupt alike.
"""

from __future__ import annotations

from collections.abc import Callable

from xm_tmem.backends.interface import Backend, Capability, require
from xm_tmem.operations.lifecycle import flush, frozen_meanwhile
from xm_tmem.operations.outcome import everyone


class Reclaimed:
    """What came of it. `status` is the exit status of what ran in the window, None when nothing did."""

    __slots__ = ("asked_kb", "freeable_mb", "freed_kb", "status")

    def __init__(self, asked_kb: int, freeable_mb: int, freed_kb: int, status: int | None) -> None:
        self.asked_kb, self.freeable_mb, self.freed_kb, self.status = asked_kb, freeable_mb, freed_kb, status


def reclaim(backend: Backend, size_kb: int, *, window: Callable[[], int] | None = None) -> Reclaimed:
    """Flush `size_kb` with all clients frozen, call `window` while they are, and thaw those that were not frozen.

    Raises Unsupported before anything is sent; Failed when a domain could not be thawed again; what a step or
    `window` raises, after the thaw.
    """
    require(backend, Capability.FREEZE | Capability.FLUSH | Capability.FREEABLE | Capability.LIST)
    with frozen_meanwhile(backend, [everyone()]) as outcomes:
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        freeable_mb = backend.freeable_mb()
        freed_kb = flush(backend, size_kb)
        status = window() if window is not None else None
    return Reclaimed(size_kb, freeable_mb, freed_kb, status)

# SPDX-License-Identifier: GPL-2.0-only
"""Finds the size of the host that explains a run in which pages were evicted.

That size is the one number a recording does not have: what else lived in the machine's memory is unknown. Tmem's
ephemeral list is plain LRU by time of put, so too small a host loses pages that the guest still got, and too large
a one keeps pages that it missed; between them lies the size, or a range of sizes, that explains every get, and the
number of evictions tells the sizes of a range apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.conformance.guest_replay import GuestOutcome, GuestReplay
from tests.conformance.guest_trace import GuestTrace

_HOPELESS: Final = 1000  # a replay whose errors of one kind lead by so many has the wrong size


@dataclass(frozen=True)
class Fit:
    """The best size found."""

    trace: GuestTrace
    frames: int
    outcome: GuestOutcome

    def __str__(self) -> str:
        outcome = self.outcome
        agree = outcome.ephemeral_gets - outcome.wrong_ephemeral_gets
        return (
            f"{outcome.name}: host of {self.frames} pages: {agree} of {outcome.ephemeral_gets} ephemeral gets agree, "
            f"{outcome.records - _errors(outcome)} of {outcome.records} answers; "
            f"{outcome.evicted} pages evicted, recorded {self.trace.evicted}"
        )


def fit(trace: GuestTrace) -> Fit:
    """Search for the size: fewest wrong answers first, then the nearest number of evictions.

    A page more means about one eviction less, which soon leads there; bisection takes over where it does not.
    """
    low, high = 0, 2 * trace.most_pages + 4096
    frames = high // 2
    best: Fit | None = None
    while low < high:
        outcome = GuestReplay(trace, frames).run(most_wrong=_HOPELESS)
        tried = Fit(trace, frames, outcome)
        if best is None or _badness(tried) < _badness(best):
            best = tried
        too_many = outcome.evicted - trace.evicted
        too_small = outcome.lost - outcome.kept or too_many
        if too_small == 0 or (_errors(outcome) == 0 and trace.compresses):
            break  # sizes of compressed pages are not recorded, so neither is how many had to go
        if too_small > 0:
            low = frames + 1
        else:
            high = frames
        frames = frames + too_many if low <= frames + too_many < high else (low + high) // 2
    assert best is not None
    return best


def _errors(outcome: GuestOutcome) -> int:
    return outcome.lost + outcome.kept


def _badness(tried: Fit) -> tuple[int, int]:
    unseen = tried.trace.records - tried.outcome.records
    return unseen + _errors(tried.outcome), abs(tried.outcome.evicted - tried.trace.evicted)

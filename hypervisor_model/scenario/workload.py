# SPDX-License-Identifier: GPL-2.0-only
"""Which page of a working set is touched next: the simple access patterns `random`, `zipf` and `scan`.

The same seed gives the same sequence on any machine: apart from random.Random only operations that IEEE 754 rounds
in one way (+ - * / sqrt) are used, never the C library's pow.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect
from collections.abc import Mapping
from typing import Any, Final, Protocol

SKEW_STEPS: Final = 64  # a skew is rounded to this fraction of 1


class Pattern(Protocol):
    """A sequence of page numbers."""

    def next_page(self) -> int:
        """0 .. working set - 1."""


class Random:
    """Every page as likely as any other."""

    __slots__ = ("_rng", "_working_set")

    def __init__(self, working_set: int, rng: random.Random) -> None:
        self._working_set = working_set
        self._rng = rng

    def next_page(self) -> int:
        return int(self._rng.random() * self._working_set)


class Zipf:
    """The page of rank r with a probability that falls as 1 / r**skew; ranks are spread over the working set."""

    __slots__ = ("_cumulative", "_rng", "_stride", "_total", "_working_set")

    def __init__(self, working_set: int, skew: float, rng: random.Random) -> None:
        self._working_set = working_set
        self._rng = rng
        self._cumulative = array("d")
        steps = round(skew * SKEW_STEPS)
        total = 0.0
        for rank in range(1, working_set + 1):
            total += 1.0 / _power(float(rank), steps)
            self._cumulative.append(total)
        self._total = total
        # Coprime to the working set, so that neighbours in rank are no neighbours in the file.
        self._stride = next(
            n for n in range(working_set * 5 // 8 + 1, 2 * working_set + 2) if _coprime(n, working_set)
        )

    def next_page(self) -> int:
        rank = bisect(self._cumulative, self._rng.random() * self._total, 0, self._working_set - 1)
        return rank * self._stride % self._working_set


class Scan:
    """From the first page to the last, over and over."""

    __slots__ = ("_next", "_working_set")

    def __init__(self, working_set: int) -> None:
        self._working_set = working_set
        self._next = 0

    def next_page(self) -> int:
        page = self._next
        self._next = (page + 1) % self._working_set
        return page


def make_pattern(spec: Mapping[str, Any], rng: random.Random) -> Pattern:
    """The pattern of a checked `workload:`."""
    working_set: int = spec["working_set"]
    if spec["kind"] == "zipf":
        return Zipf(working_set, spec["skew"], rng)
    if spec["kind"] == "scan":
        return Scan(working_set)
    return Random(working_set, rng)


def _power(base: float, steps: int) -> float:
    """base ** (steps / SKEW_STEPS), by multiplications and square roots."""
    result = 1.0
    for _ in range(steps // SKEW_STEPS):
        result *= base
    fraction, bit, root = steps % SKEW_STEPS, SKEW_STEPS >> 1, math.sqrt(base)
    while fraction:
        if fraction & bit:
            result *= root
            fraction -= bit
        bit >>= 1
        root = math.sqrt(root)
    return result


def _coprime(a: int, b: int) -> bool:
    return math.gcd(a, b) == 1

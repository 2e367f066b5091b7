# SPDX-License-Identifier: GPL-2.0-only
"""A cache simulated in metadata alone, beside libCacheSim (package libcachesim) driven from Python over the same trace.

A shared ephemeral pool is an LRU: a get that hits moves the page to the end of the list that evictions begin with. So
an access is a get, and a put if it missed; both caches must count the same misses.
"""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.timing import in_turns, median, ratio
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.tmem.guest_ops import Guest

TURN = 2000  # accesses
TOKEN = b"token"
GOAL_SHARE = 0.5


def measure(pages: int, rounds: int) -> dict[str, Any]:
    """Accesses per second of both, and the ratio."""
    library = import_module("libcachesim")
    draw = random.Random(1)
    weights = [1 / rank for rank in range(1, 4 * pages + 1)]
    trace = draw.choices(range(4 * pages), weights, k=(rounds + 1) * TURN)
    guest = Hypervisor(frames=pages, exact=False, contents="tokens").create_domain(1)
    pool = guest.new_pool(shared=True, uuid=(1, 1))
    capacity = _fill(guest, pool, pages)
    cache, request = library.LRU(cache_size=capacity), library.Request()
    request.obj_size = 1
    ours, theirs = _Walk(trace), _Walk(trace)

    def tmem() -> int:
        get, put = guest.get, guest.put
        for page in ours.turn():
            oid, index = page >> 6, page & 63
            if get(pool, oid, index)[0] != 1:  # an empty pool answers with an error
                ours.misses += 1
                put(pool, oid, index, TOKEN)
        return TURN

    def cachesim() -> int:
        get = cache.get
        for page in theirs.turn():
            request.obj_id = page
            if not get(request):
                theirs.misses += 1
        return TURN

    taken = in_turns({"tmem": tmem, "libcachesim": cachesim}, rounds)
    return {
        "tmem_per_s": 1e9 / median(taken["tmem"]),
        "libcachesim_per_s": 1e9 / median(taken["libcachesim"]),
        "ratio": ratio(taken["libcachesim"], taken["tmem"]),
        "misses": [ours.misses, theirs.misses],
    }


class _Walk:
    """A trace, walked by turns; and how many of its accesses missed."""

    def __init__(self, trace: list[int]) -> None:
        self._trace = trace
        self._at = self.misses = 0

    def turn(self) -> list[int]:
        self._at += TURN
        return self._trace[self._at - TURN : self._at]


def _fill(guest: Guest, pool: int, pages: int) -> int:
    """How many pages the host holds: filled once, and emptied."""
    for index in range(2 * pages):
        guest.put(pool, 1 << 30, index, TOKEN)
    held = sum(guest.get(pool, 1 << 30, index)[0] == 1 for index in range(2 * pages))
    guest.flush_object(pool, 1 << 30)
    return held


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """Speed and share of every build."""
    try:
        import_module("libcachesim")
    except ImportError:
        return [not_measured("LRU in metadata mode", "libcachesim is not installed: pip install libcachesim")]
    lines: list[Figure] = []
    for build in builds:
        if build.why_not:
            lines.append(not_measured(f"LRU in metadata mode, {build.name}", build.why_not))
            continue
        answer = build.measure("library", pages=5_000 if quick else 50_000, rounds=20 if quick else 100)
        ours, theirs = answer["misses"]
        lines.append(
            Figure(
                f"LRU in metadata mode, {build.name}",
                answer["tmem_per_s"],
                "accesses/s",
                answer["ratio"],
                f"libcachesim, {answer['libcachesim_per_s']:,.0f}/s",
                Goal(GOAL_SHARE, at_least=True),
                build.note or f"{ours:,} misses; libcachesim {theirs:,}",
            )
        )
    return lines

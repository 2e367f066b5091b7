# SPDX-License-Identifier: GPL-2.0-only
"""What the model itself needs: bytes for each resident page, and whether time and memory depend on how many there are.

Bytes     what the process grew by (RSS) for each page, 256 to an object: with one token standing for all pages, which
          leaves tmem's own data alone; and with a copy of a guest's frame for each, less its 4096 bytes, which adds
          what Python and malloc put around a copy.
Flatness  pages are tokens of a few bytes; the small and the large host take turns in one process. An operation is the
          mean of a get that hits and the put of the same page, for every object in turn, oldest first; an eviction is
          a put to a full host.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.timing import in_turns, median, ratio
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.tmem.guest_ops import Guest

PAGE_BYTES = 4096
PAGES_PER_OBJECT = 256
SMALL = 20_000
TOKEN = b"token"
BYTES_GOALS = {"pure": 230, "compiled": 165}
FLAT = 1.15


def rss_bytes() -> int:
    """Memory of this process that is resident."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(pages: int, operations: int, large: int, rounds: int) -> dict[str, Any]:
    """All figures of this build."""
    answer: dict[str, Any] = {}
    # Before all else, and both hosts held: memory given back would be used again, and not seen.
    answer["bytes"], tokens = _bytes_per_page(pages, "tokens", TOKEN)
    with_contents, copies = _bytes_per_page(pages, "pages", bytearray(os.urandom(PAGE_BYTES)))
    answer["copied_bytes"] = with_contents - PAGE_BYTES
    del tokens, copies
    answer["growth"] = _growth(operations)
    answer["flat_ns"], answer["flat"] = _compare(_walker, large, rounds)
    answer["eviction_ns"], answer["eviction"] = _compare(_evictor, large, rounds)
    return answer


def _bytes_per_page(pages: int, contents: str, page: bytes | bytearray) -> tuple[float, Guest]:
    """Bytes that the process grows by, and whose they are."""
    guest = Hypervisor(frames=2 * pages, exact=False, contents=contents).create_domain(1)
    pool = guest.new_pool()
    gc.collect()
    before = rss_bytes()
    for number in range(pages):
        guest.put(pool, number // PAGES_PER_OBJECT, number % PAGES_PER_OBJECT, page)
    gc.collect()
    return (rss_bytes() - before) / pages, guest


def _growth(operations: int) -> float:
    """Bytes by which an operation at constant residency lets the process grow."""
    walk = _fill(Hypervisor(frames=2 * SMALL, exact=False, contents="tokens").create_domain(1), SMALL)
    walk(4 * SMALL)
    gc.collect()
    before = rss_bytes()
    walk(operations)
    gc.collect()
    return (rss_bytes() - before) / operations


def _fill(guest: Guest, pages: int) -> Callable[[int], int]:
    """A pool of so many tokens, and what walks on through it by so many operations, half gets and half puts."""
    pool = guest.new_pool()
    for page in range(pages):
        guest.put(pool, page // PAGES_PER_OBJECT, page % PAGES_PER_OBJECT, TOKEN)
    objects = pages // PAGES_PER_OBJECT
    at = 0

    def walk(operations: int) -> int:
        nonlocal at
        get, put = guest.get, guest.put
        for _ in range(max(1, operations // (2 * PAGES_PER_OBJECT))):
            for index in range(PAGES_PER_OBJECT):
                assert get(pool, at, index)[0] == 1
            for index in range(PAGES_PER_OBJECT):
                put(pool, at, index, TOKEN)
            at = (at + 1) % objects
        return max(1, operations // (2 * PAGES_PER_OBJECT)) * 2 * PAGES_PER_OBJECT

    return walk


def _walker(pages: int) -> Callable[[], int]:
    walk = _fill(Hypervisor(frames=2 * pages, exact=False, contents="tokens").create_domain(1), pages)
    walk(SMALL)
    return lambda: walk(4 * PAGES_PER_OBJECT)


def _evictor(pages: int) -> Callable[[], int]:
    """A full host, and what puts an object's worth of pages more."""
    guest = Hypervisor(frames=pages, exact=False, contents="tokens").create_domain(1)
    pool = guest.new_pool()
    oid = 0

    def put_object() -> int:
        nonlocal oid
        for index in range(PAGES_PER_OBJECT):
            guest.put(pool, oid, index, TOKEN)
        oid += 1
        return PAGES_PER_OBJECT

    while oid * PAGES_PER_OBJECT < pages + SMALL:
        put_object()
    return put_object


def _compare(make: Callable[[int], Callable[[], int]], large: int, rounds: int) -> tuple[float, float]:
    """Nanoseconds per operation on the large host, and the ratio to the small one."""
    taken = in_turns({"small": make(SMALL), "large": make(large)}, rounds)
    gc.collect()
    return median(taken["large"]), ratio(taken["large"], taken["small"])


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """All figures of every build."""
    lines: list[Figure] = []
    large = 200_000 if quick else 1_000_000
    for build in builds:
        name = build.name
        if build.why_not:
            lines.append(not_measured(f"metadata, {name}", build.why_not))
            continue
        operations = 200_000 if quick else 10_000_000
        answer = build.measure(
            "metadata", pages=100_000, operations=operations, large=large, rounds=50 if quick else 300
        )
        goal = Goal(BYTES_GOALS[name], "B")
        lines += [
            Figure(f"metadata per resident page, {name}", answer["bytes"], "B", goal=goal, note=build.note),
            Figure(f"  with what is around a copied page, {name}", answer["copied_bytes"], "B"),
            Figure(
                f"growth over {operations:,} operations, {name}",
                answer["growth"],
                "B/operation",
                goal=Goal(0.1, "B/operation"),
            ),
            Figure(
                f"get and put at {large:,} pages, {name}",
                answer["flat_ns"],
                "ns",
                answer["flat"],
                f"at {SMALL:,} pages",
                Goal(FLAT),
            ),
            Figure(
                f"put that evicts at {large:,} pages, {name}",
                answer["eviction_ns"],
                "ns",
                answer["eviction"],
                f"at {SMALL:,} pages",
                Goal(FLAT),
            ),
        ]
    return lines

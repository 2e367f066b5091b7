# SPDX-License-Identifier: GPL-2.0-only
"""Put, get that hits, get that misses and flush of 4 KiB pages: the mean of the four, in libc copies.

20,000 pages (78 objects of 256), in a private ephemeral pool, whose gets take pages away. Guest pages are put
by reference    20,000 distinct `bytes`, which the model keeps without a copy, or
copied          from 64 frames that the guest may change (`bytearray`).
A get hands out the page by reference; "copied on get too" writes it to a frame of the guest's besides, as the C does.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.libc_copy import DESTINATION_PAGES, FRAMES, PAGE_BYTES, LibcCopy
from benchmarks.timing import cpu_ns, median
from hypervisor_model.hypervisor import Hypervisor

PAGES_PER_OBJECT = 256
PAGES = DESTINATION_PAGES // PAGES_PER_OBJECT * PAGES_PER_OBJECT
HEAP_PAGES = 2 * PAGES
YARDSTICK = "XM_TMEM_C_YARDSTICK"
C_NOTE = "it takes the time on the wall itself, which is scaled by the share of a CPU it was given: rough under load"
OPERATIONS = ("put", "get", "miss", "flush")
BATCHES = ("put_many", "get_many")
GOALS = {
    ("pure", True, "copied"): 3.0,
    ("pure", False, "copied"): 2.3,
    ("compiled", True, "copied"): 1.5,
    ("compiled", False, "copied"): 1.3,
    ("compiled", False, "by reference"): 1.0,
}


class Pool:
    """A guest with a pool on a host of its own, and each operation done to all pages of one object."""

    def __init__(self, *, exact: bool, copied: bool) -> None:
        hypervisor = Hypervisor(frames=HEAP_PAGES, command_line="tmem=1", exact=exact)
        self._guest = hypervisor.create_domain(1)
        self._pool = self._guest.new_pool()
        self._frames = [bytearray(os.urandom(PAGE_BYTES)) for _ in range(FRAMES)]
        number = range(PAGES)
        self._pages: list[Any] = (
            [self._frames[page % FRAMES] for page in number]
            if copied
            else [page.to_bytes(4, "little") * (PAGE_BYTES // 4) for page in number]
        )

        objects = [
            [(oid, index, self._pages[oid * PAGES_PER_OBJECT + index]) for index in range(PAGES_PER_OBJECT)]
            for oid in range(len(self))
        ]
        self._requests = objects
        self._keys = [[(oid, index) for oid, index, _ in pages] for pages in objects]
        for oid in range(len(self)):
            self.put(oid)

    def put(self, oid: int) -> None:
        put, pool = self._guest.put, self._pool
        first = oid * PAGES_PER_OBJECT
        for index, page in enumerate(self._pages[first : first + PAGES_PER_OBJECT]):
            put(pool, oid, index, page)

    def get(self, oid: int) -> None:
        get, pool = self._guest.get, self._pool
        for index in range(PAGES_PER_OBJECT):
            get(pool, oid, index)

    miss = get

    def put_batch(self, oid: int) -> None:
        self._guest.put_many(self._pool, self._requests[oid])

    def get_batch(self, oid: int) -> None:
        self._guest.get_many(self._pool, self._keys[oid])

    def get_to_frame(self, oid: int) -> None:
        get, pool, frames = self._guest.get, self._pool, self._frames
        for index in range(PAGES_PER_OBJECT):
            page = get(pool, oid, index)[1]
            assert page is not None
            frames[index % FRAMES][:] = page

    def flush(self, oid: int) -> None:
        flush, pool = self._guest.flush_page, self._pool
        for index in range(PAGES_PER_OBJECT):
            flush(pool, oid, index)

    def __len__(self) -> int:
        """Objects."""
        return PAGES // PAGES_PER_OBJECT


def measure(rounds: int) -> dict[str, Any]:
    """Nanoseconds per operation, and the ratio of the mix to a libc copy, by exactness and kind of pages."""
    copy = LibcCopy()
    pools = {
        (exact, kind): Pool(exact=exact, copied=kind == "copied")
        for exact in (True, False)
        for kind in ("copied", "by reference")
    }
    taken: dict[tuple[bool, str], list[tuple[dict[str, float], float]]] = {key: [] for key in pools}
    yardstick = _yardstick()
    c_mix: list[float] = []
    for number in range(rounds + 1):  # the first warms up
        for key, pool in pools.items():
            one = _round(pool, copy)
            if number:
                taken[key].append(one)
        if number and yardstick is not None:
            c_mix.append(yardstick() / median([one[1] for ones in taken.values() for one in ones[-1:]]))
    return {
        "mixes": [
            {
                "exact": exact,
                "kind": kind,
                "ns": {name: median([ns[name] for ns, _ in ones]) for name in ones[0][0]},
                "copies": median([sum(ns[name] for name in OPERATIONS) / 4 / copied for ns, copied in ones]),
                "copies_both_ways": median(
                    [
                        (ns["put"] + ns["get to frame"] + ns["miss"] + ns["flush"]) / 4 / copied
                        for ns, copied in ones
                    ]
                ),
            }
            for (exact, kind), ones in taken.items()
        ],
        "copy_ns": median([copied for ones in taken.values() for _, copied in ones]),
        "c_copies": median(c_mix) if c_mix else None,
    }


def _round(pool: Pool, copy: LibcCopy) -> tuple[dict[str, float], float]:
    """Nanoseconds of each operation, and of a libc copy, while the pool stays as full as it is but for two objects.

    One of them is got and missed, the other flushed, which lies half the pool away, and both are put again: so memory
    is used again that no cache holds any more.
    """
    ns: dict[str, list[int]] = {name: [] for name in (*OPERATIONS, "get to frame", *BATCHES)}

    def timed(name: str, act: Callable[[int], None], oid: int) -> None:
        start = cpu_ns()
        act(oid)
        ns[name].append(cpu_ns() - start)
        copy.turn(PAGES_PER_OBJECT // 4)

    for oid in range(len(pool)):
        other = (oid + len(pool) // 2) % len(pool)
        if oid % 3 == 0:
            timed("get", pool.get, oid)
        elif oid % 3 == 1:
            timed("get to frame", pool.get_to_frame, oid)
        else:
            timed("get_many", pool.get_batch, oid)
        timed("miss", pool.miss, oid)
        timed("flush", pool.flush, other)
        timed("put", pool.put, oid)
        if oid % 3 == 2:
            timed("put_many", pool.put_batch, other)
        else:
            timed("put", pool.put, other)
    return {
        name: sum(taken) / len(taken) / PAGES_PER_OBJECT for name, taken in ns.items()
    }, copy.take_mean_ns()


def _yardstick() -> Callable[[], float] | None:
    """Nanoseconds of the mean of the four operations in a C build of tmem.c; None where none is named.

    The library times itself by the clock on the wall: that is scaled by the share of a CPU the call was given.
    """
    path = os.environ.get(YARDSTICK)
    if not path:
        return None
    bench = ctypes.CDLL(path).tmem_bench
    bench.argtypes = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(ctypes.c_double * 4))

    def mix() -> float:
        ns = (ctypes.c_double * 4)()
        start, cpu = time.perf_counter_ns(), cpu_ns()
        bench(PAGES, PAGES_PER_OBJECT, FRAMES, ctypes.byref(ns))
        share = (cpu_ns() - cpu) / (time.perf_counter_ns() - start)
        return sum(ns) / 4 * min(1.0, share)

    return mix


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """The mix of every build; and of the real C, where it is to be had."""
    lines: list[Figure] = []
    for build in builds:
        if build.why_not:
            lines.append(not_measured(f"hot path, {build.name}", build.why_not))
            continue
        answer = build.measure("hot_path", rounds=2 if quick else 7)
        c_copies = answer["c_copies"]
        for mix in answer["mixes"]:
            exact, kind, ns = mix["exact"], mix["kind"], mix["ns"]
            name = f"hot path, {build.name}, {'exact' if exact else 'exact=False'}, {kind}"
            goal = GOALS.get((build.name, exact, kind))
            mean_ns = sum(ns[operation] for operation in OPERATIONS) / 4
            each = ", ".join(f"{operation} {ns[operation]:.0f}" for operation in OPERATIONS)
            lines.append(
                Figure(
                    name,
                    mean_ns,
                    "ns",
                    mix["copies"],
                    f"libc 4 KiB memcpy, {answer['copy_ns']:.0f} ns",
                    None if goal is None else Goal(goal),
                    f"{build.note or build.name}: {each} ns",
                )
            )
            if kind == "by reference":
                single_ns = (ns["put"] + ns["get"]) / 2
                batch_ns = sum(ns[operation] for operation in BATCHES) / 2
                lines.append(
                    Figure(
                        f"  {name[10:]}, put and get in batches of {PAGES_PER_OBJECT}",
                        batch_ns,
                        "ns",
                        batch_ns / single_ns,
                        f"put and get one by one, {single_ns:.0f} ns",
                    )
                )
            if c_copies:
                lines.append(
                    Figure(f"  {name[10:]}, beside C", mean_ns, "ns", mix["copies"] / c_copies, "tmem.c in C")
                )
        if c_copies:
            lines.append(
                Figure(
                    f"tmem.c in C, beside {build.name}",
                    c_copies * answer["copy_ns"],
                    "ns",
                    c_copies,
                    "memcpy",
                )
            )
        else:
            lines.append(not_measured("tmem.c in C", f"measured where ${YARDSTICK} names a build of it"))
    return lines

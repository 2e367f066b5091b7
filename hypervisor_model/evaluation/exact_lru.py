# SPDX-License-Identifier: GPL-2.0-only
"""X1, X2: a guest that keeps an LRU of M pages over a private ephemeral pool of N is one LRU of M + N pages.

If the get comes before the eviction that makes room, exactly so; as Linux does it, room first, one page less.
The oracle is an LRU of this file, and libCacheSim where it is installed.
"""

import random
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module

from hypervisor_model.evaluation.result import Result, exact
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.work import Action, Touch
from hypervisor_model.hypervisor import Hypervisor

HOST_FRAMES = 1_000
GUEST_PAGES = 300
ACCESSES = 6_000


class Accesses:
    """A workload of given keys."""

    def __init__(self, keys: Sequence[int]) -> None:
        self._actions: list[Action] = [Touch(keys, cpu_ns=1)]

    def unit(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions


def lru_hits(keys: Sequence[int], size: int) -> int:
    """Hits of an LRU cache of `size` pages."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in held:
            held.move_to_end(key)
            hits += 1
        else:
            if len(held) >= size:
                held.popitem(last=False)
            held[key] = None
    return hits


def libcachesim_hits(keys: Sequence[int], size: int) -> int | None:
    """The same from libCacheSim; None where it is not installed."""
    try:
        library = import_module("libcachesim")
    except ImportError:
        return None
    cache = library.LRU(cache_size=size)
    request = library.Request()
    request.obj_size = 1
    hits = 0
    for key in keys:
        request.obj_id = key
        hits += bool(cache.get(request))
    return hits


def traces() -> dict[str, list[int]]:
    """Six seeded streams of pages: skewed, uniform, looping, drifting, and two mixes."""
    rng = random.Random(20090526)
    first = file_key(0, 1)
    skewed = [first + int(rng.random() ** 2 * 1_500) for _ in range(ACCESSES)]
    uniform = [first + rng.randrange(1_300) for _ in range(ACCESSES)]
    loop = [first + number % 1_037 for number in range(ACCESSES)]
    drift = [first + number // 20 + rng.randrange(900) for number in range(ACCESSES)]
    halves = skewed[: ACCESSES // 2] + loop[: ACCESSES // 2]
    files = [file_key(0, 1 + key % 7) + (key - first) // 7 for key in skewed]
    return {
        "skewed": skewed,
        "uniform": uniform,
        "loop": loop,
        "drift": drift,
        "halves": halves,
        "seven files": files,
    }


def pool_capacity(hypervisor: Hypervisor) -> int:
    """How many ephemeral pages the host holds when it is full: filled up once, and emptied."""
    guest = hypervisor.create_domain(99)
    pool = guest.new_pool()
    held = 0
    for index in range(2 * HOST_FRAMES):
        guest.put(pool, 0, index, b"fill")
    for index in range(2 * HOST_FRAMES):
        held += guest.get(pool, 0, index)[0] == 1
    hypervisor.destroy_domain(99)
    return held


def guest_hits(keys: Sequence[int], hypervisor: Hypervisor, *, get_first: bool) -> int:
    """Accesses that needed no disk, guest and pool together."""
    cleancache = Cleancache(hypervisor.create_domain(1))
    cleancache.init_fs()
    memory = GuestMemory(
        GUEST_PAGES,
        disk=Disk(),
        contents=Contents(1),
        cleancache=cleancache,
        readahead=1,
        reclaim_batch=1,
        get_first=get_first,
    )
    Guest(memory, [Accesses(keys)]).run(1 << 62)
    return len(keys) - memory.file_reads


def _one_lru(scenario: str, title: str, *, get_first: bool) -> Result:
    failures: list[str] = []
    totals: list[int] = []
    oracle = "own LRU"
    for name, keys in traces().items():
        for release in ("4.3", "4.12"):
            capacity = pool_capacity(
                Hypervisor(release=release, frames=HOST_FRAMES, exact=False, contents="tokens")
            )
            size = GUEST_PAGES + capacity - (not get_first)
            hypervisor = Hypervisor(release=release, frames=HOST_FRAMES, exact=False, contents="tokens")
            hits = guest_hits(keys, hypervisor, get_first=get_first)
            expected = {"own LRU": lru_hits(keys, size)}
            independent = libcachesim_hits(keys, size) if release == "4.3" else None
            if independent is not None:
                expected["libCacheSim"] = independent
                oracle = "own LRU and libCacheSim"
            failures += [
                f"{name} on {release}: {hits} hits, {who} {count}"
                for who, count in expected.items()
                if count != hits
            ]
            totals.append(hits)
    configuration = (
        f"guest of {GUEST_PAGES} pages, host of {HOST_FRAMES} frames ({capacity} ephemeral pages), six traces of "
        f"{ACCESSES:,} accesses, releases 4.3 and 4.12"
    )
    formula = "LRU(M + N)" if get_first else "LRU(M + N - 1)"
    return exact(
        scenario,
        title,
        configuration,
        f"{formula}, {oracle}",
        failures,
        f"{sum(totals):,} hits, all as predicted",
    )


def x1() -> Result:
    """Get first."""
    return _one_lru("X1", "exclusive-lru", get_first=True)


def x2() -> Result:
    """Room first, as Linux does."""
    return _one_lru("X2", "linux-order", get_first=False)

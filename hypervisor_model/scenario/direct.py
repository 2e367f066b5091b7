# SPDX-License-Identifier: GPL-2.0-only
"""The guest kind `direct`: no kernel, only a seeded stream of puts, gets and flushes at a given rate.

Models    a domain whose tmem traffic is known beforehand. Page n of the working set belongs to pool n modulo the
          number of pools, to object n // 64 of it and has index n % 64.
Units     one operation takes 1/rate seconds of modelled time, whatever the hypervisor answers.
Left out  memory of its own: what is put comes from nowhere, what is got goes nowhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hypervisor_model.guests.cleancache import uuid_words
from hypervisor_model.scenario.content import CLASSES, PageMaker
from hypervisor_model.scenario.schema import closed, flag, quantity, uuid_text, whole
from hypervisor_model.scenario.workload import make_pattern

if TYPE_CHECKING:
    from hypervisor_model.guests.handle import TmemHandle
    from hypervisor_model.scenario.driver import Boot, Value

PAGES_PER_OBJECT: Final = 64
MAX_POOLS: Final = 16

POOL: Final[Mapping[str, Any]] = closed(
    "A tmem pool, made when the guest boots.",
    {
        "persistent": flag(
            "Pages stay until the guest flushes them (frontswap); else they may be evicted.", False
        ),
        "shared": flag("Domains that give the same uuid share the pool.", False),
        "uuid": uuid_text("The key of a shared pool."),
    },
)

_TRAFFIC: Final[Mapping[str, Any]] = {
    "working_set": quantity(
        "pages",
        "How many different pages are touched.",
        default="1024 pages",
        **{"x-minimum": 1, "x-maximum": 1 << 22},
    ),
    "mix": {
        **closed(
            "The shares of the operations, in any unit.",
            {
                "put": whole("Store a page.", 0, 1_000_000, default=0),
                "get": whole("Ask for a page.", 0, 1_000_000, default=0),
                "flush": whole("Drop a page.", 0, 1_000_000, default=0),
            },
        ),
        "default": {"put": 50, "get": 45, "flush": 5},
    },
    "rate": whole("Operations per second.", 1, 10_000_000, default=1000),
    "operations": {
        "description": "After so many the guest is done; null: it never is.",
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 1 << 60,
        "default": 100_000,
    },
    "content": {
        "description": "What the pages hold. "
        + "; ".join(f"{name}: {text}" for name, text in CLASSES.items())
        + ".",
        "enum": list(CLASSES),
        "default": "random",
    },
}

_PATTERNS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "random": ("Every page as likely as any other.", {}),
    "zipf": (
        "Few pages are touched often, many seldom.",
        {
            "skew": {
                "description": "The page of rank r is touched in proportion to 1 / r**skew.",
                "type": "number",
                "minimum": 0,
                "maximum": 8,
                "default": 1.0,
            }
        },
    ),
    "scan": ("From the first page to the last, over and over.", {}),
}


def _workload_schema() -> dict[str, Any]:
    branches = []
    for name, (summary, keys) in _PATTERNS.items():
        const = {"description": summary, "type": "string", "const": name}
        branches.append(closed(summary, {"kind": const, **_TRAFFIC, **keys}, ("kind",)))
    return {"oneOf": branches, "default": {"kind": "random"}}


PROPERTIES: Final[Mapping[str, Any]] = {
    "pools": {
        "description": "The guest's pools; one private ephemeral pool if left out.",
        "type": "array",
        "items": POOL,
        "minItems": 1,
        "maxItems": MAX_POOLS,
        "default": [{}],
    },
    "workload": _workload_schema(),
}


def complaint(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the schema cannot say of the keys of a guest."""
    for at, pool in enumerate(spec["pools"]):
        if pool["shared"] != ("uuid" in pool):
            problem = "a shared pool needs a uuid" if pool["shared"] else "a uuid is for shared pools only"
            return f"pools[{at}]", problem
    if not any(spec["workload"]["mix"].values()):
        return "workload.mix", "nothing to do: every share is 0"
    return None


def endless(spec: Mapping[str, Any]) -> bool:
    """Were no operations given to end with?"""
    return spec["workload"]["operations"] is None


class DirectGuest:
    """The driver."""

    __slots__ = (
        "_flush_below",
        "_get_below",
        "_guest",
        "_maker",
        "_operations",
        "_pattern",
        "_pools",
        "_put_below",
        "_rate",
        "_rewrites",
        "_rng",
        "done",
        "flushes",
        "gets",
        "gets_hit",
        "puts",
        "puts_stored",
    )

    def __init__(
        self, guest: TmemHandle, spec: Mapping[str, Any], seed: str, *, tokens: bool = False
    ) -> None:
        self._guest = guest
        self._rng = random.Random(seed)
        workload = spec["workload"]
        self._pattern = make_pattern(workload, self._rng)
        self._maker = PageMaker(workload["content"], seed, tokens=tokens)
        self._rate: int = workload["rate"]
        self._operations: int | None = workload["operations"]
        mix = workload["mix"]
        self._put_below: int = mix["put"]
        self._get_below: int = self._put_below + mix["get"]
        self._flush_below: int = self._get_below + mix["flush"]
        self._rewrites = 0
        self.done = self.puts = self.puts_stored = self.gets = self.gets_hit = self.flushes = 0
        answers = [
            guest.new_pool(
                persistent=pool["persistent"],
                shared=pool["shared"],
                uuid=uuid_words(pool["uuid"]) if "uuid" in pool else (0, 0),
            )
            for pool in spec["pools"]
        ]
        self._pools = [answer for answer in answers if answer >= 0]

    @property
    def time_us(self) -> int:
        return self.done * 1_000_000 // self._rate

    @property
    def finished(self) -> bool:
        return self.done == self._operations or not self._pools

    @property
    def operations_total(self) -> int | None:
        return self._operations if self._pools else 0

    def step(self, budget: int, until_us: int) -> int:
        if self.finished:
            return 0
        room = -(-until_us * self._rate // 1_000_000) - self.done  # operations that begin before until_us
        if self._operations is not None:
            room = min(room, self._operations - self.done)
        count = max(0, min(budget, room))
        guest, pools, rng = self._guest, self._pools, self._rng
        next_page, make_page = self._pattern.next_page, self._maker.page
        for _ in range(count):
            number = next_page()
            pool_id = pools[number % len(pools)]
            oid, index = divmod(number // len(pools), PAGES_PER_OBJECT)
            choice = rng.random() * self._flush_below
            if choice < self._put_below:
                self.puts += 1
                self._rewrites += 1
                self.puts_stored += guest.put(pool_id, oid, index, make_page(number, self._rewrites)) == 1
            elif choice < self._get_below:
                self.gets += 1
                self.gets_hit += guest.get(pool_id, oid, index)[0] == 1
            else:
                self.flushes += 1
                guest.flush_page(pool_id, oid, index)
        self.done += count
        return count

    def report(self) -> Mapping[str, Value]:
        return {
            "operations": self.done,
            "puts": self.puts,
            "puts_stored": self.puts_stored,
            "gets": self.gets,
            "gets_hit": self.gets_hit,
            "flushes": self.flushes,
        }


def make(boot: Boot) -> DirectGuest:
    """The driver of a guest of kind `direct`."""
    tokens = boot.hypervisor.contents == "tokens"
    return DirectGuest(boot.tmem, boot.spec, boot.seed, tokens=tokens)

# SPDX-License-Identifier: GPL-2.0-only
"""What tmem traffic looks like, in a dozen numbers: for holding a modelled guest to a recorded one.

Shares are in percent: of all operations on pages the puts, gets and flushes; of the ephemeral gets those that hit; of
the puts those that were persistent, and those whose content had not been put before.
A hit's reuse distance is the number of ephemeral puts between the page's put and its get, in buckets.
"""

from collections.abc import Iterable
from typing import Final

from hypervisor_model.guests.handle import TmemHandle
from hypervisor_model.guests.recording import Operation
from hypervisor_model.public.tmem import (
    TMEM_DESTROY_POOL,
    TMEM_FLUSH_OBJECT,
    TMEM_FLUSH_PAGE,
    TMEM_GET_PAGE,
    TMEM_NEW_POOL,
    TMEM_POOL_PERSIST,
    TMEM_PUT_PAGE,
)

BUCKETS: Final = (1 << 10, 1 << 12, 1 << 14, 1 << 16)
NAMES: Final = (
    "puts",
    "gets",
    "flushes",
    "hits",
    "persistent",
    "distinct",
    "<1k",
    "1k-4k",
    "4k-16k",
    "16k-64k",
    ">64k",
)


class Traffic:
    """Counts operations as they go by."""

    def __init__(self) -> None:
        self._puts = [0, 0]  # ephemeral, persistent
        self._gets = [0, 0]
        self._flushes = self._hits = 0
        self._contents: set[object] = set()
        self._put_at: dict[tuple[int, int, int], int] = {}
        self._distances = [0] * (len(BUCKETS) + 1)

    def put(self, persistent: bool, place: tuple[int, int, int], content: object) -> None:
        self._puts[persistent] += 1
        self._contents.add(content)
        if not persistent:
            self._put_at[place] = self._puts[0]

    def get(self, persistent: bool, place: tuple[int, int, int], hit: bool) -> None:
        self._gets[persistent] += 1
        if hit and not persistent:
            self._hits += 1
            distance = self._puts[0] - self._put_at.pop(place, self._puts[0])
            self._distances[sum(distance >= limit for limit in BUCKETS)] += 1

    def flush(self) -> None:
        self._flushes += 1

    def shares(self) -> dict[str, float]:
        """By name, in percent."""
        puts, gets = sum(self._puts), sum(self._gets)
        total = max(1, puts + gets + self._flushes)
        first = [
            puts / total,
            gets / total,
            self._flushes / total,
            self._hits / max(1, self._gets[0]),
            self._puts[1] / max(1, puts),
            len(self._contents) / max(1, puts),
        ]
        numbers = first + [count / max(1, self._hits) for count in self._distances]
        return {name: 100 * number for name, number in zip(NAMES, numbers, strict=True)}


def of_recording(operations: Iterable[Operation]) -> Traffic:
    """The traffic of a recorded guest."""
    traffic = Traffic()
    persistent: set[int] = set()
    for operation in operations:
        op, pool = operation.op, operation.pool
        if op == TMEM_NEW_POOL:
            if operation.page_index & TMEM_POOL_PERSIST:
                persistent.add(operation.ret)
        elif op == TMEM_DESTROY_POOL:
            persistent.discard(pool)
        elif op == TMEM_PUT_PAGE:
            content = -1 if operation.is_zero else operation.content
            traffic.put(pool in persistent, (pool, operation.oid, operation.page_index), content)
        elif op == TMEM_GET_PAGE:
            traffic.get(pool in persistent, (pool, operation.oid, operation.page_index), operation.ret == 1)
        elif op in (TMEM_FLUSH_PAGE, TMEM_FLUSH_OBJECT):
            traffic.flush()
    return traffic


class Metered:
    """A guest's handle with a meter in front."""

    def __init__(self, handle: TmemHandle) -> None:
        self._handle = handle
        self._persistent: set[int] = set()
        self.traffic = Traffic()

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        pool = self._handle.new_pool(persistent=persistent, shared=shared, uuid=uuid)
        if persistent:
            self._persistent.add(pool)
        return pool

    def destroy_pool(self, pool_id: int) -> int:
        return self._handle.destroy_pool(pool_id)

    def put(self, pool_id: int, oid: int, index: int, page: bytes) -> int:
        self.traffic.put(pool_id in self._persistent, (pool_id, oid, index), page)
        return self._handle.put(pool_id, oid, index, page)

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        answer = self._handle.get(pool_id, oid, index)
        self.traffic.get(pool_id in self._persistent, (pool_id, oid, index), answer[0] == 1)
        return answer

    def flush_page(self, pool_id: int, oid: int, index: int) -> int:
        self.traffic.flush()
        return self._handle.flush_page(pool_id, oid, index)

    def flush_object(self, pool_id: int, oid: int) -> int:
        self.traffic.flush()
        return self._handle.flush_object(pool_id, oid)

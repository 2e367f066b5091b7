# SPDX-License-Identifier: GPL-2.0-only
"""A tmem of a few lines with the guest handle's contract: an oracle for what guests do, not for the hypervisor."""

from collections import OrderedDict

ENOENT = 2
ENOMEM = 12


class StandIn:
    """`capacity` ephemeral pages in order of their puts, `room` persistent ones; every call is logged."""

    def __init__(self, capacity: int, room: int = 1 << 30) -> None:
        self.capacity, self.room = capacity, room
        self.ephemeral: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
        self.persistent: dict[tuple[int, int, int], bytes] = {}
        self.pools: dict[int, bool] = {}
        self.calls: list[tuple[object, ...]] = []
        self.evicted = 0

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        self.calls.append(("new_pool", persistent, shared, uuid))
        pool_id = len(self.pools)
        self.pools[pool_id] = persistent
        return pool_id

    def destroy_pool(self, pool_id: int) -> int:
        self.calls.append(("destroy_pool", pool_id))
        for store in (self.ephemeral, self.persistent):
            for key in [key for key in store if key[0] == pool_id]:
                del store[key]
        del self.pools[pool_id]
        return 1

    def put(self, pool_id: int, oid: int, index: int, page: bytes) -> int:
        self.calls.append(("put", pool_id, oid, index))
        key = (pool_id, oid, index)
        if self.pools[pool_id]:
            if key not in self.persistent and len(self.persistent) >= self.room:
                return -ENOMEM
            self.persistent[key] = page
            return 1
        self.ephemeral.pop(key, None)
        while len(self.ephemeral) >= self.capacity:
            if not self.ephemeral:
                return -ENOMEM
            self.ephemeral.popitem(last=False)
            self.evicted += 1
        self.ephemeral[key] = page
        return 1

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        self.calls.append(("get", pool_id, oid, index))
        key = (pool_id, oid, index)
        page = self.persistent.get(key) if self.pools[pool_id] else self.ephemeral.pop(key, None)
        return (0, None) if page is None else (1, page)

    def flush_page(self, pool_id: int, oid: int, index: int) -> int:
        self.calls.append(("flush_page", pool_id, oid, index))
        found = self.persistent.pop((pool_id, oid, index), None) or self.ephemeral.pop(
            (pool_id, oid, index), None
        )
        return 1 if found else -ENOENT

    def flush_object(self, pool_id: int, oid: int) -> int:
        self.calls.append(("flush_object", pool_id, oid))
        for store in (self.ephemeral, self.persistent):
            for key in [key for key in store if key[:2] == (pool_id, oid)]:
                del store[key]
        return 1

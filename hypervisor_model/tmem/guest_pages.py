# SPDX-License-Identifier: GPL-2.0-only
"""Put, get and flush of single pages as a guest asks for them: the hottest calls of the model.

Models    do_tmem_op of tmem.c after the struct has been fetched: the counting of operations and errors, the client
          made on first use, the look-up of the pool.

`ops.py` has what do_tmem_put, do_tmem_get and do_tmem_flush_page do in every case. Their commonest one is written out
here once more, without a call: a page in a frame of its own, in a private ephemeral pool, in an object whose tree
needs no new node for it and loses none. A case with anything else about it is left to `ops.py` before anything
has changed; `tests/hypervisor_model/tmem/test_guest_pages.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.domain import Domain
from hypervisor_model.public.tmem import MAX_POOLS_PER_DOMAIN
from hypervisor_model.public.xen import ENODEV, ENOMEM, PAGE_SIZE
from hypervisor_model.tmem.client import client_create, client_of
from hypervisor_model.tmem.content import associate
from hypervisor_model.tmem.evict import ensure_avail_pages
from hypervisor_model.tmem.fill import no_content
from hypervisor_model.tmem.obj import Oid, as_oid
from hypervisor_model.tmem.ops import (
    MISS,
    flush_page,
    get,
    no_descriptor,
    put,
    put_with,
    take_back,
)
from hypervisor_model.tmem.page import new_pgp

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

PageLike = bytes | bytearray | memoryview
_KEPT: Final = 2
"""A bottom node with more items than this loses one without any change of the tree."""


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestPages:
    """The hypercalls of one domain on single pages. Results are C's: >= 0, or a negative errno.

    An object id is a 192-bit integer, or its three words in a tuple. Arguments that no struct could carry (an
    index of 33 bits, a page of the wrong length) raise ValueError and change nothing.
    """

    __slots__ = ("_pools", "_tmem", "domain")

    def __init__(self, tmem: Tmem, domain: Domain) -> None:
        self._tmem = tmem
        self.domain = domain
        # The client's own table, once there is a client.
        self._pools: list[Pool | None] = [None] * MAX_POOLS_PER_DOMAIN

    # The way in and out.

    def _refuse(self) -> int:
        """Count an operation that no pool counts, and say what stands against it: 0 or a negative errno."""
        tmem = self._tmem
        if not tmem.initialized:
            return -ENODEV
        tmem.other_ops += 1
        client = client_of(self.domain)
        if self.domain.dying:
            tmem.errored_tmem_ops += 1
            return -ENODEV if client is not None else -ENOMEM
        if client is None:
            client = client_create(tmem, self.domain)
            assert client is not None
        self._pools = client.pools
        tmem.current = self.domain
        return 0

    def _enter(self, pool_id: int) -> Pool | int:
        """Find the pool of an operation, which counts it; else count it, and a negative errno."""
        tmem = self._tmem
        if 0 <= pool_id < MAX_POOLS_PER_DOMAIN:
            pool = self._pools[pool_id]
            if pool is not None:
                tmem.current = self.domain
                return pool
        refused = self._refuse()
        if refused:
            return refused
        pool = self._pools[pool_id] if 0 <= pool_id < MAX_POOLS_PER_DOMAIN else None
        if pool is None:
            tmem.errored_tmem_ops += 1
            return -ENODEV
        tmem.other_ops -= 1
        return pool

    def _fail(self, rc: int) -> int:
        """Count an operation that did not get as far as its pool's counters."""
        self._tmem.other_ops += 1
        return self._leave(rc)

    def _leave(self, rc: int) -> int:
        if rc < 0:
            self._tmem.errored_tmem_ops += 1
        return rc

    def _make_room(self) -> bool:
        """Evict if memory is short. False: none could be had, and the release takes no for an answer."""
        tmem = self._tmem
        tmem.current = self.domain
        return ensure_avail_pages(tmem) or not tmem.release.client_info_abi

    # Put.

    def put(self, pool_id: int, oid: Oid, index: int, page: PageLike | None) -> int:
        """TMEM_PUT_PAGE: 1 stored, or a negative errno. `page` None is a frame that can't be read."""
        tmem = self._tmem
        if type(page) is not bytes or (len(page) != PAGE_SIZE and tmem.page_bytes):
            if type(page) is bytearray and len(page) == tmem.page_bytes:
                page = b"".join((page,))  # copies sooner than bytes(page), which looks for __bytes__ first
            else:
                page = _as_page(page, tmem.page_bytes)
        pool = None if pool_id >> 4 else self._pools[pool_id]
        if pool is None:
            entered = self._enter(pool_id)
            if isinstance(entered, int):
                return entered
            pool = entered
        heap = tmem.heap
        if heap.avail < tmem.scarce_below and not self._make_room():
            return self._fail(-ENOMEM)
        obj = pool.objs.get(oid)
        if obj is None or page is None or not pool.private_ephemeral:
            return self._put(pool, oid, index, page)
        leaf = obj.leaves.get(index >> 6)
        client = pool.client
        if leaf is None or client.compress or client.frozen:
            return self._put(pool, oid, index, page)
        slot = index & 63
        items = leaf.items
        if items[slot] is not None:
            return self._put(pool, oid, index, page)
        spare = tmem.spare_pgps
        pgp = spare.pop() if spare else new_pgp()
        if tmem.exact:
            tmem.current = self.domain
            tmem.held_obj = obj
            if not pool.mempool.place(pgp, tmem.pgp_units):
                return self._leave(no_descriptor(tmem, obj, pool, False))
            tmem.held_obj = None
        data_pages = heap.data_pages
        if data_pages >= heap.data_limit and not heap.list_spare_page():
            tmem.current = self.domain
            tmem.held_obj = obj
            return self._leave(put_with(tmem, pgp, obj, pool, False, index, page, None))
        pgp.obj = obj
        pgp.index = index
        pgp.data = page
        items[slot] = pgp
        leaf.count += 1
        count = tmem.pgp_count + 1
        tmem.pgp_count = count
        if count > tmem.pgp_count_max:
            tmem.pgp_count_max = count
        count = pool.pgp_count + 1
        pool.pgp_count = count
        if count > pool.pgp_count_max:
            pool.pgp_count_max = count
        data_pages += 1
        heap.data_pages = data_pages
        if data_pages + tmem.persistent_frames > tmem.page_count_max:
            tmem.page_count_max = data_pages + tmem.persistent_frames
        if tmem.dedup:
            tmem.current = self.domain
            tmem.held_obj = obj
            tmem.in_flight = 1
            if not associate(tmem, pgp, 0, 0):
                return self._leave(take_back(tmem, pgp, obj, pool, False, no_content(tmem)))
            tmem.in_flight = 0
            tmem.held_obj = None
        head = tmem.ephemeral_head
        last = head.global_prev
        pgp.global_prev = last
        pgp.global_next = head
        last.global_next = pgp
        head.global_prev = pgp
        count = tmem.pgp_count - tmem.persistent_pgps
        if count > tmem.eph_count_max:
            tmem.eph_count_max = count
        head = client.ephemeral_head
        last = head.list_prev
        pgp.list_prev = last
        pgp.list_next = head
        last.list_next = pgp
        head.list_prev = pgp
        count = client.eph_count + 1
        client.eph_count = count
        if count > client.eph_count_max:
            client.eph_count_max = count
        pool.good_puts += 1
        return 1

    def _put(self, pool: Pool, oid: Oid, index: int, page: bytes | None) -> int:
        """A put that has anything uncommon about it."""
        self._tmem.current = self.domain
        return self._leave(put(self._tmem, pool, oid, index, page))

    def put_many(self, pool_id: int, pages: Iterable[tuple[Oid, int, PageLike | None]]) -> list[int]:
        """A put for each (object id, index, page), one after another: what each of them answers, in their order.

        A page that raises ValueError ends the batch; those before it have been put.
        """
        return [self.put(pool_id, oid, index, page) for oid, index, page in pages]

    # Get.

    def get(self, pool_id: int, oid: Oid, index: int) -> tuple[int, bytes | None]:
        """TMEM_GET_PAGE: (1, page), (0, None) for a miss, or (negative errno, None)."""
        pool = None if pool_id >> 4 else self._pools[pool_id]
        if pool is None:
            return self.get_to(pool_id, oid, index, True)
        tmem = self._tmem
        obj = pool.objs.get(oid)
        if obj is None:
            if pool.pgp_count and type(oid) is int:
                pool.missed_gets += 1
                return MISS
        elif pool.private_ephemeral:
            leaf = obj.leaves.get(index >> 6)
            if leaf is not None:
                slot = index & 63
                pgp = leaf.items[slot]
                if pgp is None:
                    pool.missed_gets += 1
                    return MISS
                count = leaf.count
                if count > _KEPT and pgp.store is None:
                    leaf.items[slot] = None
                    leaf.count = count - 1
                    pool.found_gets += 1
                    pool.client.eph_count -= 1
                    before = pgp.global_prev
                    behind = pgp.global_next
                    before.global_next = behind
                    behind.global_prev = before
                    before = pgp.list_prev
                    behind = pgp.list_next
                    before.list_next = behind
                    behind.list_prev = before
                    tmem.heap.data_pages -= 1
                    tmem.pgp_count -= 1
                    pool.pgp_count -= 1
                    if tmem.exact:
                        pool.mempool.release(pgp)
                    page = pgp.data
                    pgp.data = None
                    tmem.spare_pgps.append(pgp)
                    return 1, page
        tmem.current = self.domain
        return get(tmem, pool, oid, index, True)

    def get_to(self, pool_id: int, oid: Oid, index: int, writable: bool) -> tuple[int, bytes | None]:
        """`get` into a frame that may not be writable."""
        if type(oid) is not int:
            oid = as_oid(oid)
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool, None
        return get(self._tmem, pool, oid, index, writable)

    def get_many(self, pool_id: int, keys: Iterable[tuple[Oid, int]]) -> list[tuple[int, bytes | None]]:
        """A get for each (object id, index), one after another: what each of them answers, in their order."""
        return [self.get(pool_id, oid, index) for oid, index in keys]

    # Flush.

    def flush_page(self, pool_id: int, oid: Oid, index: int) -> int:
        """TMEM_FLUSH_PAGE: 1 whether or not the page was there, or a negative errno."""
        pool = None if pool_id >> 4 else self._pools[pool_id]
        tmem = self._tmem
        if pool is None:
            entered = self._enter(pool_id)
            if isinstance(entered, int):
                return entered
            pool = entered
        obj = pool.objs.get(oid)
        if obj is not None and pool.private_ephemeral:
            leaf = obj.leaves.get(index >> 6)
            client = pool.client
            if leaf is not None and not client.frozen:
                slot = index & 63
                pgp = leaf.items[slot]
                if pgp is None:
                    pool.flushs_missed += 1
                    return 1
                count = leaf.count
                if count > _KEPT and pgp.store is None:
                    leaf.items[slot] = None
                    leaf.count = count - 1
                    pool.flushs_found += 1
                    client.eph_count -= 1
                    before = pgp.global_prev
                    behind = pgp.global_next
                    before.global_next = behind
                    behind.global_prev = before
                    before = pgp.list_prev
                    behind = pgp.list_next
                    before.list_next = behind
                    behind.list_prev = before
                    tmem.heap.data_pages -= 1
                    tmem.pgp_count -= 1
                    pool.pgp_count -= 1
                    if tmem.exact:
                        pool.mempool.release(pgp)
                    pgp.data = None
                    tmem.spare_pgps.append(pgp)
                    return 1
        tmem.current = self.domain
        return self._leave(flush_page(tmem, pool, oid, index))


def _as_page(page: object, page_bytes: int) -> bytes | None:
    """A page, or whatever can be copied to one, as immutable bytes; None is passed on. Raises ValueError."""
    if page is None:
        return None
    if not isinstance(page, (bytes, bytearray, memoryview)):
        raise ValueError(f"a page is bytes, not {type(page).__name__}")
    if page_bytes and len(page) != page_bytes:
        raise ValueError(f"a page has {page_bytes} bytes, not {len(page)}")
    return bytes(page)

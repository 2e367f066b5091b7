# SPDX-License-Identifier: GPL-2.0-only
"""Memory revocation: pick an ephemeral page and give its memory back.

Models    "MEMORY REVOCATION ROUTINES" of tmem.c: client_over_quota, tmem_try_to_evict_pgp, tmem_evict,
          tmem_relinquish_npages (4.12: tmem_flush_npages), tmem_ensure_avail_pages, tmem_relinquish_pages.
Units     pages.
Left out  locks as such. What the one operation under way holds is skipped by eviction, as its trylock would be:
          `held_obj`, `held_pool` and `held_tree` of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypervisor_model.tmem.client import Client, client_of
from hypervisor_model.tmem.content import Pcd, disassociate
from hypervisor_model.tmem.obj import obj_free
from hypervisor_model.tmem.page import move_to_young_end, pgp_free, pgp_recycle, unlist_ephemeral

if TYPE_CHECKING:
    from hypervisor_model.tmem.page import Pgp
    from hypervisor_model.tmem.state import Tmem

MAX_EVICTIONS_PER_RELINQUISH: Final = 10
_FAILED_EVICTIONS_ALLOWED: Final = 10
_I32_SIGN: Final = 1 << 31


def client_over_quota(tmem: Tmem, client: Client) -> bool:
    """Must `client` give up its own oldest page rather than the oldest of all?"""
    total = (tmem.client_weight_total + _I32_SIGN) % (2 * _I32_SIGN) - _I32_SIGN  # C: an int
    if total == 0 or client.weight == 0 or client.eph_count == 0:
        return False
    inverse_share = _quotient(tmem.eph_count * 100, client.eph_count)
    inverse_weight = _quotient(total * 100, client.weight)
    if tmem.documented:
        return inverse_share < inverse_weight
    # QUIRK client_over_quota: the name promises "holds more than its share", but both sides are reciprocals, so it
    # is true of a client *below* its share, in every release.
    return inverse_share > inverse_weight


def _quotient(dividend: int, divisor: int) -> int:
    """C's division, towards zero: the total may be negative, and in 4.12 the pages of a client too."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _may_evict(tmem: Tmem, pgp: Pgp) -> bool:
    """C: tmem_try_to_evict_pgp. A shared content gets a second chance, at the young end of the lists."""
    obj = pgp.obj
    pool = obj.pool
    if pool.is_dying or obj is tmem.held_obj:
        return False
    if tmem.dedup:
        content = pgp.store
        if not isinstance(content, Pcd) or content.first_byte == tmem.held_tree:
            return False
        if content.ref_count > 1 and not pgp.eviction_attempted:
            pgp.eviction_attempted = True
            move_to_young_end(tmem, pgp)
            return False
    return pool is not tmem.held_pool or obj.has_more_than(1)


def evict(tmem: Tmem) -> bool:
    """Take one ephemeral page back (C: tmem_evict). False: none can be taken."""
    tmem.evict_attempts += 1
    client = client_of(tmem.current)
    pgp: Pgp
    if client is not None and client_over_quota(tmem, client):
        head = client.ephemeral_head
        pgp = head.list_next
        if pgp is not head:
            while pgp is not head:
                behind = pgp.list_next
                if _may_evict(tmem, pgp):
                    # 4.12 bills the caller, even if the page has come to its list from a pool of somebody else's.
                    _evict_page(tmem, pgp, client if tmem.release.client_info_abi else pgp.obj.pool.client)
                    return True
                pgp = behind
            return False
    head = tmem.ephemeral_head
    pgp = head.global_next
    while pgp is not head:
        behind = pgp.global_next
        if _may_evict(tmem, pgp):
            _evict_page(tmem, pgp, pgp.obj.pool.client)
            return True
        pgp = behind
    return False


def _evict_page(tmem: Tmem, pgp: Pgp, client: Client) -> None:
    client.eph_count -= 1
    unlist_ephemeral(pgp)
    obj = pgp.obj
    obj.delete(pgp.index)
    content = pgp.store
    if content is None:
        pgp_recycle(tmem, pgp, obj.pool)
    elif isinstance(content, Pcd):
        # QUIRK tmem_evict: parting from the content first, it never lowers `cp` and `cb` of the client.
        if tmem.documented and pgp.size > 0:
            obj.pool.client.compressed_pages -= 1
            obj.pool.client.compressed_sum_size -= pgp.size
        disassociate(tmem, pgp, content, obj.pool)
        pgp_free(tmem, pgp)
    else:
        pgp_free(tmem, pgp)
    if not obj.has_more_than(0):
        obj_free(tmem, obj)
    tmem.evicted_pgs += 1


def relinquish_npages(tmem: Tmem, count: int) -> int:
    """Evict until `count` pages are on tmem's list, and hand the whole list to the heap; how many those were.

    C: tmem_relinquish_npages; 4.12: tmem_flush_npages.
    """
    heap = tmem.heap
    while heap.tmem_list_pages < count:
        if not evict(tmem):
            break
    released = heap.tmem_list_pages
    if released:
        heap.release_list()
    return released


def ensure_avail_pages(tmem: Tmem) -> bool:
    """Evict until 1 MiB is free, before anything is locked (C: tmem_ensure_avail_pages). False: gave up.

    4.3 puts all the same when it has given up, after one attempt more.
    """
    heap = tmem.heap
    failed = 0
    allowed = _FAILED_EVICTIONS_ALLOWED if tmem.release.client_info_abi else _FAILED_EVICTIONS_ALLOWED + 1
    while heap.memory_is_short():
        if not evict(tmem):
            failed += 1
            if failed >= allowed:
                return False
    return True


def relinquish_page(tmem: Tmem, order: int, from_tmem: bool) -> bool:
    """Give the heap a page of tmem's list, after eviction if need be (C: tmem_relinquish_pages)."""
    heap = tmem.heap
    if not tmem.options.tmem or not heap.freeable:
        return False
    tmem.relinq_attempts += 1
    if order > 0:
        return False
    evictions = 0
    got = heap.take_listed_page()
    while not got and evictions < MAX_EVICTIONS_PER_RELINQUISH and evict(tmem):
        evictions += 1
        got = heap.take_listed_page()
    if evictions > tmem.max_evicts_per_relinq:
        tmem.max_evicts_per_relinq = evictions
    if got:
        if not from_tmem:
            heap.scrubbed += 1
        tmem.relinq_pgs += 1
    return got

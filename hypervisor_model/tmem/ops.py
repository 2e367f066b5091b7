# SPDX-License-Identifier: GPL-2.0-only
"""The operations on pages: put, get, flush.

Models    "TMEM CORE OPERATIONS" of tmem.c: do_tmem_put, do_tmem_dup_put, do_tmem_get, do_tmem_flush_page,
          do_tmem_flush_object. What a put stores is made in `fill.py`.

Pages are immutable bytes; None is a frame that can't be read. Results are C's: 1, 0 or a negative errno.

Everything that can happen to a page is here; `guest_pages.py` has its commonest cases written out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypervisor_model.host.guest_memory import ZERO_PAGE
from hypervisor_model.public.xen import (
    EEMPTY,
    EFAULT,
    EFROZEN,
    EINVAL,
    ENOMEM,
    ENOSPC,
)
from hypervisor_model.tmem.content import associate
from hypervisor_model.tmem.fill import (
    NO_CONTENT,
    POOR,
    Part,
    Restored,
    copy_from_client,
    fill,
    put_compressed,
)
from hypervisor_model.tmem.memory import page_alloc
from hypervisor_model.tmem.obj import Obj, Oid, as_oid, check_index, check_oid, obj_free, obj_new
from hypervisor_model.tmem.page import (
    Invalidated,
    Pgp,
    append,
    append_ephemeral,
    count_descriptor,
    free_data,
    move_to_young_end,
    new_pgp,
    pgp_delete,
    pgp_free,
)

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

NO_INDEX: Final = 0xFFFFFFFF
MISS: Final[tuple[int, bytes | None]] = (0, None)
_EMPTY: Final[tuple[int, bytes | None]] = (-EEMPTY, None)


def put(tmem: Tmem, pool: Pool, oid: Oid, index: int, page: bytes | None, part: Part | None = None) -> int:
    """Put a page (C: do_tmem_put): 1, or -ENOMEM, -EFROZEN, -EFAULT, -EINVAL, -ENOSPC."""
    obj = pool.objs.get(oid)
    if obj is not None:
        found = obj.lookup(index)
        if found is not None:
            return _dup_put(tmem, found, obj, pool, page, part)
        check_index(index)
        if pool.client.frozen:
            return _refuse_frozen(tmem, pool, True)
        is_new = False
    else:
        if type(oid) is not int:
            return put(tmem, pool, as_oid(oid), index, page, part)
        check_index(index)
        if pool.client.frozen:
            return _refuse_frozen(tmem, pool, False)
        check_oid(oid)
        obj = obj_new(tmem, pool, oid)
        if obj is None:
            pool.failed_puts += 1
            return -ENOMEM
        is_new = True
    tmem.held_obj = obj
    spare = tmem.spare_pgps
    pgp = spare.pop() if spare else new_pgp()
    if tmem.exact and not pool.mempool.place(pgp, tmem.pgp_units):
        return no_descriptor(tmem, obj, pool, is_new)
    return put_with(tmem, pgp, obj, pool, is_new, index, page, part)


def put_with(
    tmem: Tmem,
    pgp: Pgp,
    obj: Obj,
    pool: Pool,
    is_new: bool,
    index: int,
    page: bytes | None,
    part: Part | None,
) -> int:
    """The rest of a put, once it has a descriptor: into the object, give it data, and onto its lists."""
    pgp.obj = obj
    count_descriptor(tmem, pool)
    persistent = pool.persistent
    if persistent:
        tmem.persistent_pgps += 1
    else:
        tmem.in_flight = 1
    if not obj.insert(index, pgp):
        pgp.index = NO_INDEX  # C: it gets its index once it is in its object
        pgp.data = None
        _drop_unlisted(tmem, pgp, pool)
        return _give_up(tmem, obj, pool, is_new, -ENOMEM)
    pgp.index = index
    rc = fill(tmem, pgp, pool, page, part)
    if rc != 1:
        return take_back(tmem, pgp, obj, pool, is_new, rc)
    client = pool.client
    if persistent:
        append(pgp, pool.persistent_head)
        client.succ_pers_puts += 1
    else:
        append_ephemeral(tmem, pgp, client)
        tmem.in_flight = 0
        tmem.eph_count_max = max(tmem.eph_count_max, tmem.eph_count)
        client.eph_count += 1
        client.eph_count_max = max(client.eph_count_max, client.eph_count)
    if pool.shared:
        obj.last_client = client.cli_id
    tmem.held_obj = None
    pool.good_puts += 1
    return 1


def _refuse_frozen(tmem: Tmem, pool: Pool, found: bool) -> int:
    """No new page goes into a frozen pool.

    QUIRK do_tmem_put: 4.12 counts that in `px` only for an object that is there already.
    """
    pool.failed_puts += 1
    if found or not tmem.release.client_info_abi:
        pool.no_mem_puts += 1
    return -EFROZEN


def take_back(tmem: Tmem, pgp: Pgp, obj: Obj, pool: Pool, is_new: bool, rc: int) -> int:
    """Undo a put whose page is in its object and on no list yet (C: delete_and_free, del_pgp_from_obj)."""
    obj.delete(pgp.index)
    _drop_unlisted(tmem, pgp, pool)
    return _give_up(tmem, obj, pool, is_new, 1 if rc == NO_CONTENT else rc)


def _drop_unlisted(tmem: Tmem, pgp: Pgp, pool: Pool) -> None:
    """Free a page that never came onto a list.

    QUIRK pgp_delist: during a live save 4.3 reports it as invalidated all the same; 4.12 forgets its descriptor.
    """
    tmem.in_flight = 0
    if pool.persistent and pool.client.live_migrating:
        if tmem.documented:
            pool.client.live_migrating = False
            pgp_free(tmem, pgp)
            pool.client.live_migrating = True
            return
        if tmem.release.client_info_abi:
            pool.client.forgotten_pgps.append(pgp)
        else:
            pool.client.invalidated.append(Invalidated(pgp))
    pgp_free(tmem, pgp)


def no_descriptor(tmem: Tmem, obj: Obj, pool: Pool, is_new: bool) -> int:
    """The end of a put for whose descriptor there was no memory."""
    tmem.alloc_failed += 1
    return _give_up(tmem, obj, pool, is_new, -ENOMEM)


def _give_up(tmem: Tmem, obj: Obj, pool: Pool, is_new: bool, rc: int) -> int:
    """The end of every put that failed with its object at hand (C: free, unlock_obj)."""
    tmem.held_obj = None
    if is_new:
        obj_free(tmem, obj)
    pool.no_mem_puts += 1
    pool.failed_puts += 1
    return rc


def _dup_put(tmem: Tmem, pgp: Pgp, obj: Obj, pool: Pool, page: bytes | None, part: Part | None) -> int:
    """Put over a page that is there (C: do_tmem_dup_put). If that fails the old page goes: never stale data."""
    client = pool.client
    if client.live_migrating:
        return _flush_dup(tmem, pgp, obj, pool, -ENOSPC)
    tmem.held_obj = obj
    rc = POOR
    if client.compress and pgp.size != 0 and (part is None or part.length):
        rc = put_compressed(tmem, pgp, pool, page)
        if rc == -ENOMEM:
            return _flush_dup(tmem, pgp, obj, pool, -ENOSPC)
        if rc < 0:
            tmem.failed_copies += 1
            return _flush_dup(tmem, pgp, obj, pool, rc)
    if rc == POOR:
        if pgp.data is not None:
            free_data(tmem, pgp, pool)
        if not page_alloc(tmem, pool):
            return _flush_dup(tmem, pgp, obj, pool, -ENOSPC)
        pgp.size = 0
        if isinstance(part, Restored):
            page, part = part.over
        if part is None:
            content: bytes | int = -EFAULT if page is None else page
        else:
            content = copy_from_client(page, part)
        if isinstance(content, int):
            pgp.data = ZERO_PAGE
            tmem.failed_copies += 1
            return _flush_dup(tmem, pgp, obj, pool, content)
        pgp.data = content
        if tmem.dedup and not pool.persistent and not associate(tmem, pgp, 0, 0):
            return _flush_dup(tmem, pgp, obj, pool, -ENOSPC)
    if pool.shared:
        obj.last_client = client.cli_id
    tmem.held_obj = None
    pool.dup_puts_replaced += 1
    pool.good_puts += 1
    if pool.persistent:
        client.succ_pers_puts += 1
    return 1


def _flush_dup(tmem: Tmem, pgp: Pgp, obj: Obj, pool: Pool, rc: int) -> int:
    tmem.held_obj = None
    obj.delete(pgp.index)
    pgp_delete(tmem, pgp)  # it may have no data any more
    if not obj.has_more_than(0):
        obj_free(tmem, obj)
    pool.dup_puts_flushed += 1
    pool.failed_puts += 1
    return rc


def get(tmem: Tmem, pool: Pool, oid: Oid, index: int, writable: bool) -> tuple[int, bytes | None]:
    """Get a page (C: do_tmem_get): (1, page), (0, None) for a miss, or (-errno, None), which is counted.

    From a private ephemeral pool the page goes to the guest for good. `writable`: can it be copied there? If not
    the page stays where it was (in C such a page leaves its object and stays on the lists, which ends in a crash).
    """
    if not pool.pgp_count:
        tmem.other_ops += 1
        tmem.errored_tmem_ops += 1
        return _EMPTY
    obj = pool.objs.get(oid)
    if obj is None and type(oid) is not int:
        return get(tmem, pool, as_oid(oid), index, writable)
    pgp = None if obj is None else obj.lookup(index)
    if obj is None or pgp is None:
        pool.missed_gets += 1
        return MISS
    if not writable:
        pool.missed_gets += 1
        tmem.failed_copies += 1
        tmem.errored_tmem_ops += 1
        return -EFAULT, None
    page = pgp.data
    pool.found_gets += 1
    if pool.persistent:
        pool.client.succ_pers_gets += 1
        return 1, page
    if pool.shared:
        pool.client.other_eph_gets += 1
        move_to_young_end(tmem, pgp)
        current = tmem.current
        if current is not None:
            obj.last_client = current.domid
        return 1, page
    _remove(tmem, obj, index)
    return 1, page


def _remove(tmem: Tmem, obj: Obj, index: int) -> bool:
    """Free the page at `index`, and its object with the last of its pages. False: there is none."""
    pgp = obj.delete(index)
    if pgp is None:
        return False
    pgp_delete(tmem, pgp)
    if not obj.has_more_than(0):
        obj_free(tmem, obj)
    return True


def read(
    tmem: Tmem, pool: Pool, oid: int, index: int, part: Part, writable: bool
) -> tuple[int, bytes | None, Part | None]:
    """TMEM_READ: as `get`, and which part of the page goes to the guest; None is all of it.

    QUIRK do_tmem_get: of a page that is compressed or deduplicated the guest gets the whole, whatever it asked for.
    """
    pgp = None
    if pool.pgp_count:
        obj = pool.objs.get(oid)
        pgp = None if obj is None else obj.lookup(index)
    if pgp is None or pgp.store is not None:
        return *get(tmem, pool, oid, index, writable), None
    if not part.in_range or (writable and not part.fits):
        pool.missed_gets += 1
        tmem.failed_copies += 1
        tmem.errored_tmem_ops += 1
        return -EINVAL, None, None
    return *get(tmem, pool, oid, index, writable), part


def flush_page(tmem: Tmem, pool: Pool, oid: Oid, index: int) -> int:
    """Drop a page if it is there (C: do_tmem_flush_page): 1, or -EFROZEN from a frozen client."""
    obj = pool.objs.get(oid)
    if obj is None and type(oid) is not int:
        return flush_page(tmem, pool, as_oid(oid), index)
    if obj is not None and _remove(tmem, obj, index):
        pool.flushs_found += 1
    else:
        pool.flushs_missed += 1
    return 1 if not pool.client.frozen else _frozen_flush(tmem)


def flush_object(tmem: Tmem, pool: Pool, oid: int) -> int:
    """Drop all pages of an object (C: do_tmem_flush_object): 1, or -EFROZEN from a frozen client."""
    obj = pool.objs.get(oid)
    if obj is None:
        pool.flush_objs_missed += 1
    else:
        obj_destroy(tmem, obj)
        pool.flush_objs_found += 1
    return 1 if not pool.client.frozen else _frozen_flush(tmem)


def _frozen_flush(tmem: Tmem) -> int:
    # QUIRK do_tmem_flush_page, do_tmem_flush_object: a frozen client's flush is done *and* answers -EFROZEN.
    return 1 if tmem.documented else -EFROZEN


def obj_destroy(tmem: Tmem, obj: Obj) -> None:
    """Free an object with its pages, in order of index (C: obj_destroy with pgp_destroy)."""

    def destroy_page(pgp: Pgp) -> None:
        pgp_delete(tmem, pgp)

    obj.destroy(destroy_page)
    obj_free(tmem, obj)

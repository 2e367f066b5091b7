# SPDX-License-Identifier: GPL-2.0-only
"""The guest's side of HYPERVISOR_tmem_op, typed: what a domain may ask for itself.

Models    do_tmem_op of tmem.c after the struct has been fetched: the counting of operations and errors, the client
          made on first use, the look-up of the pool. `hypercall.py` decodes the binary struct into these calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.domain import Domain
from hypervisor_model.host.guest_memory import ZERO_PAGE, GuestMemory
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
)
from hypervisor_model.public.xen import ENODEV, ENOMEM, ENOSYS, PAGE_SIZE
from hypervisor_model.tmem.client import Client, client_create, client_of
from hypervisor_model.tmem.evict import ensure_avail_pages
from hypervisor_model.tmem.lifecycle import destroy_pool, new_pool
from hypervisor_model.tmem.obj import Oid, as_oid
from hypervisor_model.tmem.ops import NEW_PAGE, Part, flush_object, flush_page, get, put, read

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

MAX_INDEX: Final = 0xFFFFFFFF
POOL_FLAGS: Final = TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT


@mypyc_attr(allow_interpreted_subclasses=True)
class Guest:
    """The hypercalls of one domain. Results are C's: >= 0, or a negative errno.

    An object id is a 192-bit integer, or its three words in a tuple. Arguments that no struct could carry (an
    index of 33 bits, a page of the wrong length) raise ValueError and change nothing.
    """

    __slots__ = ("_pools", "_tmem", "domain")

    def __init__(self, tmem: Tmem, domain: Domain) -> None:
        self._tmem = tmem
        self.domain = domain
        # The client's own table, once there is a client.
        self._pools: list[Pool | None] = [None] * MAX_POOLS_PER_DOMAIN

    @property
    def domid(self) -> int:
        return self.domain.domid

    @property
    def memory(self) -> GuestMemory:
        """The guest's page frames."""
        return self.domain.memory

    # The way in.

    def _refuse(self) -> int:
        """Count an operation, and say what stands against it: 0 or a negative errno."""
        tmem = self._tmem
        if not tmem.initialized:
            return -ENODEV
        tmem.total_tmem_ops += 1
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
        """Count an operation on pages and find its pool; else a negative errno."""
        if 0 <= pool_id < MAX_POOLS_PER_DOMAIN:
            pool = self._pools[pool_id]
            if pool is not None:
                tmem = self._tmem
                tmem.total_tmem_ops += 1
                tmem.current = self.domain
                return pool
        refused = self._refuse()
        if refused:
            return refused
        pool = self._pools[pool_id] if 0 <= pool_id < MAX_POOLS_PER_DOMAIN else None
        if pool is None:
            self._tmem.errored_tmem_ops += 1
            return -ENODEV
        return pool

    def retire(self) -> None:
        """The domain is dying: every hypercall from now on is refused."""
        self._pools = [None] * MAX_POOLS_PER_DOMAIN

    def _leave(self, rc: int) -> int:
        if rc < 0:
            self._tmem.errored_tmem_ops += 1
        return rc

    # Pools.

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        """TMEM_NEW_POOL with the flags of a 4 KiB pool of this ABI: the pool's id or a negative errno."""
        flags = POOL_FLAGS | (TMEM_POOL_PERSIST if persistent else 0) | (TMEM_POOL_SHARED if shared else 0)
        return self.new_pool_of(flags, uuid)

    def new_pool_of(self, flags: int, uuid: tuple[int, int]) -> int:
        """TMEM_NEW_POOL with any flags."""
        refused = self._refuse()
        if refused:
            return refused
        return self._leave(new_pool(self._tmem, client_of(self.domain), None, flags, uuid))

    def destroy_pool(self, pool_id: int) -> int:
        """TMEM_DESTROY_POOL: 1, or 0 if there is none."""
        refused = self._refuse()
        if refused:
            return refused
        client = client_of(self.domain)
        assert isinstance(client, Client)
        return destroy_pool(self._tmem, client, pool_id)

    # Pages.

    def put(
        self,
        pool_id: int,
        oid: Oid,
        index: int,
        page: bytes | bytearray | memoryview | None,
    ) -> int:
        """TMEM_PUT_PAGE: 1 stored, or a negative errno. `page` None is a frame that can't be read."""
        tmem = self._tmem
        if type(page) is not bytes or (len(page) != PAGE_SIZE and tmem.page_bytes):
            page = _as_page(page, tmem.page_bytes)
        pool = None if pool_id >> 4 else self._pools[pool_id]
        if pool is None:
            entered = self._enter(pool_id)
            if isinstance(entered, int):
                return entered
            pool = entered
        else:
            tmem.total_tmem_ops += 1
            tmem.current = self.domain
        if tmem.heap.avail < tmem.scarce_below and not self._make_room():
            rc = -ENOMEM
        else:
            rc = put(tmem, pool, oid, index, page)
        if rc < 0:
            tmem.errored_tmem_ops += 1
        return rc

    def _make_room(self) -> bool:
        """Evict if memory is short. False: none could be had, and the release takes no for an answer."""
        tmem = self._tmem
        if not tmem.heap.memory_is_short() or ensure_avail_pages(tmem):
            return True
        return not tmem.release.client_info_abi

    def get(self, pool_id: int, oid: Oid, index: int) -> tuple[int, bytes | None]:
        """TMEM_GET_PAGE: (1, page), (0, None) for a miss, or (negative errno, None)."""
        pool = None if pool_id >> 4 else self._pools[pool_id]
        if pool is None:
            return self.get_to(pool_id, oid, index, True)
        tmem = self._tmem
        tmem.total_tmem_ops += 1
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

    def flush_page(self, pool_id: int, oid: Oid, index: int) -> int:
        """TMEM_FLUSH_PAGE: 1 whether or not the page was there, or a negative errno."""
        pool = None if pool_id >> 4 else self._pools[pool_id]
        tmem = self._tmem
        if pool is None:
            entered = self._enter(pool_id)
            if isinstance(entered, int):
                return entered
            pool = entered
        else:
            tmem.total_tmem_ops += 1
            tmem.current = self.domain
        rc = flush_page(tmem, pool, oid, index)
        if rc < 0:
            tmem.errored_tmem_ops += 1
        return rc

    def flush_object(self, pool_id: int, oid: Oid) -> int:
        """TMEM_FLUSH_OBJECT: 1 whether or not it was there, or a negative errno."""
        if type(oid) is not int:
            oid = as_oid(oid)
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool
        return self._leave(flush_object(self._tmem, pool, oid))

    # Operations that left the ABI in 4.4.

    def new_page(self, pool_id: int, oid: Oid, index: int) -> int:
        """TMEM_NEW_PAGE: a put of a page of zeros."""
        return self._put_part(pool_id, oid, index, ZERO_PAGE, NEW_PAGE, ensure=True)

    def write(self, pool_id: int, oid: Oid, index: int, page: bytes | None, part: Part) -> int:
        """TMEM_WRITE: put a part of a page; the rest is zero, whatever was there before."""
        return self._put_part(pool_id, oid, index, page, part, ensure=False)

    def _put_part(
        self,
        pool_id: int,
        oid: Oid,
        index: int,
        page: bytes | None,
        part: Part,
        *,
        ensure: bool,
    ) -> int:
        if type(oid) is not int:
            oid = as_oid(oid)
        if (page is not None and len(page) != PAGE_SIZE) or not 0 <= index <= MAX_INDEX:
            raise ValueError(f"index {index} is over 32 bits, or a page of not {PAGE_SIZE} bytes")
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool
        if self._tmem.release.client_info_abi:
            return self._leave(-ENOSYS)
        if ensure and not self._make_room():
            return self._leave(-ENOMEM)
        return self._leave(put(self._tmem, pool, oid, index, page, part))

    def read(
        self, pool_id: int, oid: Oid, index: int, part: Part, writable: bool = True
    ) -> tuple[int, bytes | None, Part | None]:
        """TMEM_READ: as `get`, and which part of the page the guest receives; None is all of it."""
        if type(oid) is not int:
            oid = as_oid(oid)
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool, None, None
        if self._tmem.release.client_info_abi:
            return self._leave(-ENOSYS), None, None
        return read(self._tmem, pool, oid, index, part, writable)

    def other(self, pool_id: int) -> int:
        """A command that tmem does not know, or TMEM_XCHG: 0 in 4.3, -ENOSYS in 4.12, once its pool is found."""
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool
        return self._leave(-ENOSYS if self._tmem.release.client_info_abi else 0)


def _as_page(page: object, page_bytes: int) -> bytes | None:
    """A page, or whatever can be copied to one, as immutable bytes; None is passed on. Raises ValueError."""
    if page is None:
        return None
    if not isinstance(page, (bytes, bytearray, memoryview)):
        raise ValueError(f"a page is bytes, not {type(page).__name__}")
    if page_bytes and len(page) != page_bytes:
        raise ValueError(f"a page has {page_bytes} bytes, not {len(page)}")
    return bytes(page)

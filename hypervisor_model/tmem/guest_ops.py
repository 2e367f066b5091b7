# SPDX-License-Identifier: GPL-2.0-only
"""The guest's side of HYPERVISOR_tmem_op, typed: what a domain may ask for itself.

Models    do_tmem_op of tmem.c after the struct has been fetched, but for put, get and flush of single pages, which
          are in `guest_pages.py`. `hypercall.py` decodes the binary struct into these calls.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.guest_memory import ZERO_PAGE, GuestMemory
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
)
from hypervisor_model.public.xen import ENOMEM, ENOSYS, PAGE_SIZE
from hypervisor_model.tmem.client import Client, client_of
from hypervisor_model.tmem.fill import NEW_PAGE, Part
from hypervisor_model.tmem.guest_pages import GuestPages
from hypervisor_model.tmem.lifecycle import destroy_pool, new_pool
from hypervisor_model.tmem.obj import Oid, as_oid
from hypervisor_model.tmem.ops import flush_object, put, read

MAX_INDEX: Final = 0xFFFFFFFF
POOL_FLAGS: Final = TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT


@mypyc_attr(allow_interpreted_subclasses=True)
class Guest(GuestPages):
    """All hypercalls of one domain."""

    __slots__ = ()

    @property
    def domid(self) -> int:
        return self.domain.domid

    @property
    def memory(self) -> GuestMemory:
        """The guest's page frames."""
        return self.domain.memory

    def retire(self) -> None:
        """The domain is dying: every hypercall from now on is refused."""
        self._pools = [None] * MAX_POOLS_PER_DOMAIN

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

    # Objects.

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
            return self._fail(-ENOSYS)
        if ensure and not self._make_room():
            return self._fail(-ENOMEM)
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
            return self._fail(-ENOSYS), None, None
        return read(self._tmem, pool, oid, index, part, writable)

    def other(self, pool_id: int) -> int:
        """A command that tmem does not know, or TMEM_XCHG: 0 in 4.3, -ENOSYS in 4.12, once its pool is found."""
        pool = self._enter(pool_id)
        if isinstance(pool, int):
            return pool
        return self._fail(-ENOSYS if self._tmem.release.client_info_abi else 0)

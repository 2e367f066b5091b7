# SPDX-License-Identifier: GPL-2.0-only
"""Giving a descriptor its data: copies from guests, whole or in part, and compression.

Models    tmh_copy_from_client of tmem_xen.c, do_tmem_put_compress of tmem.c, and the part of do_tmem_put in between.

A page comes as immutable bytes and is kept by reference. `page` None is a frame that can't be read: the copy
faults where C would copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.guest_memory import ZERO_PAGE
from hypervisor_model.public.xen import EFAULT, EINVAL, ENOMEM, PAGE_SIZE
from hypervisor_model.tmem.content import associate
from hypervisor_model.tmem.memory import malloc_bytes, page_alloc
from hypervisor_model.tmem.page import Pgp, free_data

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

POOR: Final = 0
"""Compression has gained too little."""
NO_CONTENT: Final = 2
"""QUIRK do_tmem_put: no memory for the content of a deduplicated page: the page goes, and the result is still 1."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Part:
    """The part of a page that TMEM_WRITE or TMEM_READ names; all in bytes, as they came from the guest."""

    __slots__ = ("length", "pfn_offset", "tmem_offset")

    def __init__(self, tmem_offset: int, pfn_offset: int, length: int) -> None:
        self.tmem_offset = tmem_offset
        self.pfn_offset = pfn_offset
        self.length = length

    @property
    def in_range(self) -> bool:
        """The first check of both copies."""
        return self.tmem_offset <= PAGE_SIZE and self.pfn_offset <= PAGE_SIZE and self.length <= PAGE_SIZE

    @property
    def fits(self) -> bool:
        """The second, which an empty part passes always."""
        return not self.length or (
            self.tmem_offset + self.length <= PAGE_SIZE and self.pfn_offset + self.length <= PAGE_SIZE
        )


@mypyc_attr(allow_interpreted_subclasses=True)
class Restored(Part):
    """A part that comes from a buffer (RESTORE_PUT_PAGE).

    `over` is what a plain copy over a page that is there takes in its place: the caller's frame 0, and which part of
    it (None: all). QUIRK do_tmem_dup_put: it has no buffer to hand on.
    """

    __slots__ = ("over",)

    def __init__(self, part: Part, over: tuple[bytes | None, Part | None]) -> None:
        super().__init__(part.tmem_offset, part.pfn_offset, part.length)
        self.over = over


NEW_PAGE: Final = Part(0, 0, 0)
"""TMEM_NEW_PAGE: a put that copies nothing and makes a page of zeros."""
NO_PLAIN_COPY: Final = Part(PAGE_SIZE + 1, 0, PAGE_SIZE)
"""The source can be read for compression only; a plain copy from it fails with -EINVAL."""


def copy_from_client(page: bytes | None, part: Part) -> bytes | int:
    """What a frame holds after the guest's part was copied into it; else -errno (C: tmh_copy_from_client).

    The rest of the frame is zero here. QUIRK tmh_copy_from_client: in C it shows what was there before.
    """
    if not part.in_range:
        return -EINVAL
    if not (part.tmem_offset or part.pfn_offset or part.length):
        return ZERO_PAGE
    if page is None:
        return -EFAULT
    if not part.fits:
        return -EINVAL
    copied = page[part.pfn_offset : part.pfn_offset + part.length]
    return ZERO_PAGE[: part.tmem_offset] + copied + ZERO_PAGE[part.tmem_offset + part.length :]


def put_compressed(tmem: Tmem, pgp: Pgp, pool: Pool, page: bytes | None) -> int:
    """Store `page` compressed (C: do_tmem_put_compress): 1 done, 0 too little gained, or -errno.

    QUIRK tmh_compress_from_client: it takes the whole page whatever part the guest named.
    """
    if pgp.data is not None:
        free_data(tmem, pgp, pool)
    if page is None:
        return -EFAULT
    size, first_byte = tmem.codec.measure(page)
    if size >= tmem.max_alloc_bytes:
        return POOR
    pgp.data = page
    if tmem.dedup and not pool.persistent:
        if not associate(tmem, pgp, size, first_byte):
            pgp.data = None
            return -ENOMEM
    else:
        store = malloc_bytes(tmem, size, pool)
        if store is None:
            pgp.data = None
            return -ENOMEM
        pgp.store = store
    pgp.size = size
    client = pool.client
    client.compressed_pages += 1
    client.compressed_sum_size += size
    return 1


def fill(tmem: Tmem, pgp: Pgp, pool: Pool, page: bytes | None, part: Part | None) -> int:
    """Give a new descriptor its data: 1, or what the put answers instead."""
    pgp.data = None
    client = pool.client
    if client.compress and (part is None or part.length):
        rc = put_compressed(tmem, pgp, pool, page)
        if rc == -ENOMEM:
            client.compress_nomem += 1
        elif rc < 0:
            tmem.failed_copies += 1
        if rc != POOR:
            return rc
        client.compress_poor += 1
    if not page_alloc(tmem, pool):
        return -ENOMEM
    rc = _copy(tmem, pgp, page, part)
    if rc == 1 and tmem.dedup and not pool.persistent and not associate(tmem, pgp, 0, 0):
        return no_content(tmem)
    return rc


def no_content(tmem: Tmem) -> int:
    """What `take_back` is told when there is no memory for the content of a deduplicated page."""
    return -ENOMEM if tmem.documented else NO_CONTENT


def _copy(tmem: Tmem, pgp: Pgp, page: bytes | None, part: Part | None) -> int:
    """Fill the frame that was allocated for `pgp`: 1, or -EFAULT, -EINVAL with the frame left to be freed."""
    content = page if part is None else copy_from_client(page, part)
    if content is None:
        content = -EFAULT
    if isinstance(content, int):
        pgp.data = ZERO_PAGE
        tmem.failed_copies += 1
        return content
    pgp.data = content
    return 1

# SPDX-License-Identifier: GPL-2.0-only
"""The pages that tests put into tmem: all different, and all of a kind that compresses."""

from __future__ import annotations

from typing import Final

from hypervisor_model.public.xen import PAGE_SIZE
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import SavedPage
from xm_tmem.ids import DomainId, PoolId

OID: Final = 1 | 2 << 64 | 3 << 128
EPHEMERAL, PERSISTENT = PoolId(0), PoolId(1)
PAGES: Final = 4


def page(seed: int) -> bytes:
    """A page that no other seed has."""
    return seed.to_bytes(4, "little") * (PAGE_SIZE // 4)


def fill(backend: HypercallBackend, domain: DomainId, pool: PoolId, pages: int = PAGES) -> None:
    """Put pages of index 0, 1... into a pool, as a restore would."""
    wanted = [SavedPage(pool, OID, index, page(index)) for index in range(pages)]
    assert backend.restore_pages(domain, wanted) == [None] * pages

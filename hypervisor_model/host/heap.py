# SPDX-License-Identifier: GPL-2.0-only
"""Page frames: Xen's heap, tmem's own list of pages, and who is billed for what.

Models    alloc_heap_pages, alloc_domheap_pages, assign_pages, donate_page, steal_page and total_free_pages of
          page_alloc.c and mm.c as far as tmem meets them; the page lists of tmem_xen.h and tmem_xen.c.
Units     pages.
Left out  frame numbers and contents: frames are alike, so counting them is enough. NUMA, zones, claims.
"""

from __future__ import annotations

from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from hypervisor_model.host.domain import Domain

MIDSIZE_FRACTION: Final = 128  # of the heap that order-0 allocations leave to mid-size ones
_LARGE_ORDER: Final = 9
PAGES_PER_MB: Final = 256


class Reclaimer(Protocol):
    """Whoever can give pages back when the heap runs low."""

    def relinquish_page(self, order: int, from_tmem: bool) -> bool:
        """C: tmem_relinquish_pages. True: one page, no longer on any list."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Heap:
    """Pages of the host by where they are.

    avail           free, in Xen's heap
    data_pages      hold ephemeral data
    mempool_pages   hold what describes it, and what is compressed
    The pages tmem keeps on its own list are `data_limit` - `data_pages`: that many more could hold data without the
    heap being asked. (So a put and a flush move one counter and not three.)
    """

    __slots__ = (
        "avail",
        "data_limit",
        "data_pages",
        "frames",
        "mempool_pages",
        "midsize",
        "reclaimer",
        "reserve_underflows",
        "scrubbed",
    )

    def __init__(self, frames: int, *, reserve_underflows: bool = True) -> None:
        self.frames = frames
        self.avail = frames
        self.midsize = frames // MIDSIZE_FRACTION
        self.data_pages = 0
        self.data_limit = 0
        self.mempool_pages = 0
        self.scrubbed = 0
        self.reserve_underflows = reserve_underflows
        self.reclaimer: Reclaimer | None = None

    @property
    def tmem_list_pages(self) -> int:
        """Pages on tmem's own list (C: tmem_page_list_pages)."""
        return self.data_limit - self.data_pages

    @property
    def freeable_page_count(self) -> int:
        """Pages that eviction could empty (C: the variable of that name)."""
        return self.data_pages + self.mempool_pages

    @property
    def freeable(self) -> int:
        """C: tmem_freeable_pages."""
        return 0 if self.reclaimer is None else self.data_limit + self.mempool_pages

    def memory_is_short(self) -> bool:
        """Less than 1 MiB left for tmem? (C: tmh_free_mb() == 0)"""
        left = self.data_limit - self.data_pages + self.avail - self.midsize
        # QUIRK total_free_pages: below the mid-size reserve the unsigned difference wraps round to "plenty".
        return left < PAGES_PER_MB and (left >= 0 or not self.reserve_underflows)

    def alloc_heap_pages(self, order: int, *, from_tmem: bool) -> bool:
        """2^order pages for the hypervisor or for tmem (C: alloc_heap_pages)."""
        request = 1 << order
        if request > self.avail + self.freeable:
            return False
        if (order == 0 or order >= _LARGE_ORDER) and self.avail <= self.midsize and self.freeable > 0:
            # Nothing but tmem may go below the reserve for mid-size allocations; tmem has to give instead.
            return self.reclaimer is not None and self.reclaimer.relinquish_page(order, from_tmem)
        if self.avail < request:
            return False
        self.avail -= request
        return True

    def free_heap_pages(self, count: int) -> None:
        """Give pages back to the heap."""
        self.avail += count

    def alloc_domain_page(self, domain: Domain) -> bool:
        """One page owned by `domain` (C: alloc_domheap_pages with MEMF_tmem)."""
        if not self.alloc_heap_pages(0, from_tmem=True):
            return False
        if domain.dying or domain.tot_pages >= domain.max_pages:
            self.avail += 1
            return False
        domain.tot_pages += 1
        return True

    def take_listed_page(self) -> bool:
        """A page off tmem's own list (C: tmem_page_list_get)."""
        if self.data_pages >= self.data_limit:
            return False
        self.data_limit -= 1
        return True

    # Ephemeral data, and what describes it: owned by nobody (C: tmh_alloc_page, tmh_free_page).

    def alloc_data_page(self) -> bool:
        """A page for data, off the list or else from the heap."""
        if self.data_pages >= self.data_limit:
            if not self.alloc_heap_pages(0, from_tmem=True):
                return False
            self.data_limit += 1
        self.data_pages += 1
        return True

    def list_spare_page(self) -> bool:
        """Put a page of the heap on tmem's list, where that takes nothing from anybody. False: it would."""
        if self.avail <= self.midsize:
            return False
        self.avail -= 1
        self.data_limit += 1
        return True

    def alloc_mempool_page(self) -> bool:
        """A page for tmem's allocator, off the list or else from the heap."""
        if not self.take_listed_page() and not self.alloc_heap_pages(0, from_tmem=True):
            return False
        self.mempool_pages += 1
        return True

    def free_mempool_page(self) -> None:
        """Put a page of the allocator on the list."""
        self.mempool_pages -= 1
        self.data_limit += 1

    # Persistent data, and what describes it: owned by the domain that put it.

    def alloc_page_for(self, domain: Domain) -> bool:
        """C: _tmh_alloc_page_thispool, __tmem_alloc_page_thispool."""
        if domain.tot_pages >= domain.max_pages:
            return False
        if not domain.dying and self.take_listed_page():  # donate_page refuses a dying domain
            domain.tot_pages += 1
            return True
        return self.alloc_domain_page(domain)

    def free_page_of(self, domain: Domain) -> None:
        """C: _tmh_free_page_thispool with steal_page, which succeeds for every owned page."""
        domain.tot_pages -= 1
        self.data_limit += 1

    def release_list(self) -> None:
        """Scrub the whole list and hand it to the heap (C: tmh_release_avail_pages_to_host)."""
        listed = self.tmem_list_pages
        self.scrubbed += listed
        self.avail += listed
        self.data_limit -= listed

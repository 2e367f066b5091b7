# SPDX-License-Identifier: GPL-2.0-only
"""A domain's reservation: frames it gives back to the host, and frames it asks for.

Models    decrease_reservation, increase_reservation and populate_physmap of common/memory.c for extents of one page, as
          far as the heap and tmem see them.  What a hypercall answers is how many extents were done.
Units     pages.
Left out  frame numbers, larger extents; the frame that Xen takes and frees again when a domain is at its limit.
"""

from hypervisor_model.host.domain import Domain
from hypervisor_model.host.heap import Heap


def decrease_reservation(heap: Heap, domain: Domain, pages: int) -> int:
    """Free so many of the domain's own frames, or all there are: tmem's persistent pages are not its to give."""
    done = max(0, min(pages, domain.own_pages))
    domain.tot_pages -= done
    domain.own_pages -= done
    heap.free_heap_pages(done)
    return done


def increase_reservation(heap: Heap, domain: Domain, pages: int) -> int:
    """Frames for the domain while it is below its limit and the heap has some; tmem gives way for them."""
    allowed = 0 if domain.dying else min(pages, domain.max_pages - domain.tot_pages)
    done = 0
    while done < allowed and heap.alloc_heap_pages(0, from_tmem=False):
        done += 1
    domain.tot_pages += done
    domain.own_pages += done
    return done

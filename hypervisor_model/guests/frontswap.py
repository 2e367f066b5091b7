# SPDX-License-Identifier: GPL-2.0-only
"""Frontswap (preswap): a page on its way to the swap device is first offered to a persistent pool.

Models    mm/frontswap.c of Linux 3.6 (and the exclusive gets of 3.7 to 5.16) and the frontswap half of
          drivers/xen/tmem.c: one pool for all devices, a bit for each swap slot, the four counters of debugfs.
Units     pages; a slot holds one page.
Left out  locks.  A load that fails although its bit is set "should never happen": it raises AssertionError.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.handle import TmemHandle

SWIZ_BITS: Final = 4  # 16 objects for each device instead of one, so that they can be locked apart
SWIZ_MASK: Final = (1 << SWIZ_BITS) - 1


def oswiz(device: int, slot: int) -> int:
    """Object id of a swap slot."""
    return device << SWIZ_BITS | slot & SWIZ_MASK


def iswiz(slot: int) -> int:
    """Index of a swap slot in its object."""
    return slot >> SWIZ_BITS


@mypyc_attr(allow_interpreted_subclasses=True)
class Frontswap:
    """The front end of one guest.

    writethrough     a store is kept *and* reported as refused, so the page goes to disk too
    exclusive_gets   a load ends the pool's part in the slot: the front end clears the bit and asks for nothing more,
                     the back end is to free its copy by itself (Linux: off for Xen, whose persistent gets free none)
    """

    __slots__ = (
        "_backend",
        "_maps",
        "_pages",
        "_pool",
        "exclusive_gets",
        "failed_stores",
        "invalidates",
        "loads",
        "succ_stores",
        "writethrough",
    )

    def __init__(
        self, backend: TmemHandle, *, writethrough: bool = False, exclusive_gets: bool = False
    ) -> None:
        self.loads = self.succ_stores = self.failed_stores = self.invalidates = 0
        self.writethrough = writethrough
        self.exclusive_gets = exclusive_gets
        self._backend = backend
        self._pool = -1
        self._maps: list[bytearray] = []  # by device: a byte for each slot, 1 = the pool has it
        self._pages: list[int] = []  # by device: how many bits are set

    @property
    def curr_pages(self) -> int:
        """Pages in the pool (C: frontswap_curr_pages)."""
        return sum(self._pages)

    def init(self, slots: int) -> int:
        """swapon: returns the device's number. The first device makes the pool."""
        if not self._maps:
            self._pool = self._backend.new_pool(persistent=True)
        self._maps.append(bytearray(slots))
        self._pages.append(0)
        return len(self._maps) - 1

    def holds(self, device: int, slot: int) -> bool:
        return self._maps[device][slot] != 0

    def store(self, device: int, slot: int, page: bytes) -> bool:
        """Is the page taken, so that it need not be written? (C: __frontswap_store)"""
        known = self._maps[device]
        taken = (
            self._pool >= 0
            and self._backend.put(self._pool, device << SWIZ_BITS | slot & SWIZ_MASK, slot >> SWIZ_BITS, page)
            == 1
        )
        if taken:
            self.succ_stores += 1
            if not known[slot]:
                known[slot] = 1
                self._pages[device] += 1
        else:
            self.failed_stores += 1
            if known[slot]:
                # A duplicate store that fails: the back end has dropped the old page.
                known[slot] = 0
                self._pages[device] -= 1
        return taken and not self.writethrough

    def load(self, device: int, slot: int) -> bytes | None:
        """The page; None when it is on the swap device (C: __frontswap_load).

        If gets are exclusive, the slot has nothing in the pool from now on: the caller's page is the only one.
        """
        known = self._maps[device]
        if not known[slot]:
            return None
        status, page = self._backend.get(
            self._pool, device << SWIZ_BITS | slot & SWIZ_MASK, slot >> SWIZ_BITS
        )
        assert status == 1, f"persistent page of slot {slot} lost: {status}"
        assert page is not None
        self.loads += 1
        if self.exclusive_gets:
            # QUIRK __frontswap_load: no flush. A back end that keeps persistent pages at a get, as Xen does, has a page
            # from now on that nobody asks for, until the slot is stored to again or swapoff takes the whole object.
            known[slot] = 0
            self._pages[device] -= 1
        return page

    def invalidate_page(self, device: int, slot: int) -> None:
        """The slot is free again (C: __frontswap_invalidate_page)."""
        if self._maps[device][slot]:
            self._backend.flush_page(self._pool, oswiz(device, slot), iswiz(slot))
            self._maps[device][slot] = 0
            self._pages[device] -= 1
            self.invalidates += 1

    def invalidate_area(self, device: int) -> None:
        """swapoff: all of the device's objects go."""
        for low in range(1 << SWIZ_BITS):
            self._backend.flush_object(self._pool, oswiz(device, low))
        self._maps[device] = bytearray(len(self._maps[device]))
        self._pages[device] = 0

    def shrink(
        self,
        target: int,
        unuse: Callable[[int, int], int],
        *,
        may_commit: Callable[[int], bool] = lambda pages: True,
        last_pages_stay: bool = True,
    ) -> int:
        """Bring the pool down to `target` pages by swapping pages in: partial swapoff (C: frontswap_shrink).

        `unuse(device, n)` swaps n pages of the device in and returns how many it did; `may_commit(n)` says whether
        the guest has room for n.  Takes the first device that has; returns the pages swapped in.
        """
        surplus = self.curr_pages - target
        if surplus <= 0:
            return 0
        for device, held in enumerate(self._pages):
            pages = min(surplus, held)
            if not may_commit(pages):
                continue
            if surplus >= held and last_pages_stay:
                # QUIRK frontswap_shrink: "all of this device" is passed on as 0, and 0 is then taken for
                # "nothing to do", so a device never loses its last pages this way.
                return 0
            return unuse(device, pages)
        return 0

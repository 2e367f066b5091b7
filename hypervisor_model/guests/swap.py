# SPDX-License-Identifier: GPL-2.0-only
"""A swap device: which slot holds which anonymous page.

Models    the slot map of mm/swapfile.c: next fit, so that pages that leave together lie together.
Units     slots of one page.
Left out  clusters of the SSD allocator, slot counts above one (shared anonymous pages).
"""

from mypy_extensions import mypyc_attr

FREE, USED = 0, 1


@mypyc_attr(allow_interpreted_subclasses=True)
class SwapDevice:
    """`slot_of` and `key_of` are each other's inverse; a page may be in memory and keep its slot."""

    __slots__ = ("_hint", "_map", "device", "key_of", "slot_of", "slots")

    def __init__(self, slots: int, device: int = 0) -> None:
        self.slots = slots
        self.device = device
        self.slot_of: dict[int, int] = {}
        self.key_of: dict[int, int] = {}
        self._map = bytearray(slots)
        self._hint = 0

    @property
    def used(self) -> int:
        return len(self.slot_of)

    @property
    def crowded(self) -> bool:
        """More than half full: Linux then frees a slot as soon as its page is read (C: vm_swap_full)."""
        return len(self.slot_of) * 2 > self.slots

    def allocate(self, key: int) -> int:
        """A slot for a page that has none; -1 when the device is full."""
        slot = self._map.find(FREE, self._hint)
        if slot < 0:
            slot = self._map.find(FREE)
            if slot < 0:
                return -1
        self._hint = slot + 1
        self._map[slot] = USED
        self.slot_of[key] = slot
        self.key_of[slot] = key
        return slot

    def release(self, key: int) -> int:
        """Free the page's slot; returns it, or -1 when it had none."""
        slot = self.slot_of.pop(key, -1)
        if slot >= 0:
            self._map[slot] = FREE
            del self.key_of[slot]
        return slot

    def check(self) -> None:
        """Compare the three books; O(slots)."""
        assert self._map.count(USED) == len(self.slot_of) == len(self.key_of)
        assert all(self.key_of[slot] == key and self._map[slot] for key, slot in self.slot_of.items())

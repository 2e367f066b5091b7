# SPDX-License-Identifier: GPL-2.0-only
"""What a hypercall can read and write of its caller: page frames, and the buffers that handles point to.

Frames are immutable 4096-byte `bytes`, so that a put takes a reference and no copy; all are zero at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.public.xen import PAGE_SIZE

ZERO_PAGE: Final = bytes(PAGE_SIZE)
LOWEST_ADDRESS: Final = 0x10000  # a handle below it faults, as the first 64 KiB are never mapped


@mypyc_attr(allow_interpreted_subclasses=True)
class GuestMemory:
    """The page frames 0..gfns-1 of a guest; some may be unmapped or read-only."""

    __slots__ = ("_frames", "gfns", "read_only", "unmapped")

    def __init__(self, gfns: int = 0, read_only: Iterable[int] = (), unmapped: Iterable[int] = ()) -> None:
        self.gfns = gfns
        self.read_only = frozenset(read_only)
        self.unmapped = frozenset(unmapped)
        self._frames: dict[int, bytes] = {}

    def read_frame(self, gfn: int) -> bytes | None:
        """The page at `gfn`; None where nothing is mapped."""
        page = self._frames.get(gfn)
        if page is not None:
            return page
        if not 0 <= gfn < self.gfns or gfn in self.unmapped:
            return None
        return ZERO_PAGE

    def writable(self, gfn: int) -> bool:
        """Can the hypervisor write to this frame?"""
        return 0 <= gfn < self.gfns and gfn not in self.unmapped and gfn not in self.read_only

    def write_frame(self, gfn: int, page: bytes) -> None:
        """The guest itself writes a page. Raises ValueError for a frame that is not there or a wrong length."""
        if not 0 <= gfn < self.gfns or gfn in self.unmapped:
            raise ValueError(f"frame {gfn} is not mapped")
        if len(page) != PAGE_SIZE:
            raise ValueError(f"a page has {PAGE_SIZE} bytes, not {len(page)}")
        self._frames[gfn] = bytes(page)

    def store(self, gfn: int, page: bytes) -> None:
        """The hypervisor writes a page to a frame that it found `writable`."""
        self._frames[gfn] = page


@mypyc_attr(allow_interpreted_subclasses=True)
class Buffers:
    """Byte buffers by guest address. Reads and writes outside of them fault, and change nothing."""

    __slots__ = ("_buffers",)

    def __init__(self, buffers: Mapping[int, bytearray]) -> None:
        self._buffers = buffers

    def read(self, address: int, length: int) -> bytes | None:
        """`length` bytes at `address`; None is a fault (C: copy_from_guest)."""
        if length == 0:
            return b""
        buffer = self._buffers.get(address)
        if buffer is not None and address >= LOWEST_ADDRESS and length <= len(buffer):
            return bytes(buffer[:length])
        found = self._find(address, length)
        if found is None:
            return None
        buffer, offset = found
        return bytes(buffer[offset : offset + length])

    def write(self, address: int, data: bytes) -> bool:
        """False is a fault; what lies inside the buffer before the fault is written, as in C (copy_to_guest)."""
        if not data:
            return True
        found = self._find(address, 1)
        if found is None:
            return False
        buffer, offset = found
        room = len(buffer) - offset
        buffer[offset : offset + min(room, len(data))] = data[:room]
        return room >= len(data)

    def _find(self, address: int, length: int) -> tuple[bytearray, int] | None:
        if address < LOWEST_ADDRESS:
            return None
        for start, buffer in self._buffers.items():
            if start <= address and address + length <= start + len(buffer):
                return buffer, address - start
        return None

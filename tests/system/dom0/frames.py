# SPDX-License-Identifier: GPL-2.0-only
"""Machine frames: tmem's hypercalls name pages by them, while dom0's kernel deals in frames of its own.

/proc/self/pagemap tells the kernel's frame of a page. Xen's machine-to-physical table leads from machine frames to
those; it is mapped here, and read the other way round. Several machine frames may claim the same one (other domains
count from zero, too), so that each is mapped in turn until one shows what was written to the page.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from typing import Final

from hypervisor_model.public.xen import DOMID_SELF, HYPERCALL_MEMORY_OP, PAGE_SIZE
from tests.system.dom0.hypercalls import Hypercalls, Memory

DOMID_XEN: Final = 0x7FF2
MACHPHYS_MFN_LIST: Final = 5  # XENMEM_machphys_mfn_list
IOCTL_MMAP: Final = 0x105002
_MMAP: Final = struct.Struct("=iHxxQ")  # entries, domain, their address
_ENTRY: Final = struct.Struct("=QQQ")  # where, first machine frame, frames
_MFN_LIST: Final = struct.Struct("<IxxxxQIxxxx")  # room, address of the list, entries
_PAGEMAP: Final = struct.Struct("<Q")
_PRESENT: Final = 1 << 63
_FRAME_MASK: Final = (1 << 55) - 1
_MOST_EXTENTS: Final = 64
_EXTENT_PAGES: Final = (2 << 20) // PAGE_SIZE
_ENTRY_BYTES: Final = 8
_NONCE_BYTES: Final = 64


def machine_frame(calls: Hypercalls, page: Memory) -> int:
    """The machine frame of the first page of `page`, whose content is lost."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    page.put(nonce)
    for frame in _claimants(calls, _kernel_frame(page.address)):
        content = read_frames(calls, DOMID_SELF, frame, 1)
        if content is not None and content.startswith(nonce):
            return frame
    raise AssertionError("no machine frame claims this page")


def read_frames(calls: Hypercalls, domain: int, frame: int, count: int) -> bytes | None:
    """What stands in `count` frames of `domain` from `frame` on, or None where Xen does not show them.

    They are mapped to be read only: Xen shows its own tables in no other way.
    """
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long
    libc.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
    size = count * PAGE_SIZE
    where = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, calls.descriptor, 0)
    assert where not in (None, ctypes.c_void_p(-1).value)
    try:
        entry = ctypes.create_string_buffer(_ENTRY.pack(where, frame, count))
        fcntl.ioctl(calls.descriptor, IOCTL_MMAP, bytearray(_MMAP.pack(1, domain, ctypes.addressof(entry))))
        return ctypes.string_at(where, size)
    except OSError:
        return None
    finally:
        libc.munmap(where, size)


def _kernel_frame(address: int) -> int:
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        raw = os.pread(file.fileno(), _PAGEMAP.size, address // PAGE_SIZE * _PAGEMAP.size)
    (entry,) = _PAGEMAP.unpack(raw)
    assert entry & _PRESENT, "the page is not there"
    return int(entry & _FRAME_MASK)


def _claimants(calls: Hypercalls, kernel_frame: int) -> Iterator[int]:
    """Machine frames that the table says are `kernel_frame` of some domain."""
    wanted = kernel_frame.to_bytes(_ENTRY_BYTES, "little")
    for number, start in enumerate(_table_extents(calls)):
        extent = read_frames(calls, DOMID_XEN, start, _EXTENT_PAGES) if start else None
        if extent is None:  # a hole in the machine's memory
            continue
        at = extent.find(wanted)
        while at >= 0:
            if at % _ENTRY_BYTES == 0:
                yield number * len(extent) // _ENTRY_BYTES + at // _ENTRY_BYTES
            at = extent.find(wanted, at + 1)


def _table_extents(calls: Hypercalls) -> list[int]:
    """The machine frames at which each 2 MiB of the table start."""
    array = calls.memory.put(bytes(_MOST_EXTENTS * _ENTRY_BYTES), PAGE_SIZE)
    argument = calls.memory.put(_MFN_LIST.pack(_MOST_EXTENTS, array, 0))
    assert calls.call_registers(HYPERCALL_MEMORY_OP, MACHPHYS_MFN_LIST, argument) == 0
    count = _MFN_LIST.unpack(calls.memory.bytes[: _MFN_LIST.size])[2]
    raw = calls.memory.bytes[PAGE_SIZE : PAGE_SIZE + count * _ENTRY_BYTES]
    return list(struct.unpack(f"<{count}Q", raw))

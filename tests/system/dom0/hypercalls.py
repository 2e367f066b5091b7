# SPDX-License-Identifier: GPL-2.0-only
"""The suite's own door to the hypervisor, so that what `xm` says can be compared with what Xen answers.

Unlike the transport under test it passes any hypercall on, keeps one piece of memory for all of them, and shows every
byte that came back, also those behind the buffer's end.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Final

from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import (
    HYPERCALL_XEN_VERSION,
    PAGE_SIZE,
    XEN_VERSION_ARG,
    XENVER_VERSION,
)
from xm_tmem.backends.transport import Transport

PRIVCMD: Final = "/dev/xen/privcmd"
BUFFER: Final = "/dev/xen/hypercall"
IOCTL_HYPERCALL: Final = 0x305000
_REGISTERS: Final = struct.Struct("=6Q")


class Memory:
    """Pages that a hypercall may read and write."""

    def __init__(self, pages: int) -> None:
        descriptor = os.open(BUFFER, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.bytes = mmap.mmap(descriptor, pages * PAGE_SIZE, mmap.MAP_SHARED)
        finally:
            os.close(descriptor)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))

    def put(self, data: bytes | bytearray, offset: int = 0) -> int:
        """Copy `data` in; its address."""
        self.bytes[offset : offset + len(data)] = bytes(data)
        return self.address + offset


class Hypercalls(Transport):
    """Hypercalls of this domain: the argument struct in the first page of `memory`, the buffer behind it."""

    BUFFER_PAGES = 256

    def __init__(self) -> None:
        self.descriptor = os.open(PRIVCMD, os.O_RDWR | os.O_CLOEXEC)
        self.memory = Memory(1 + self.BUFFER_PAGES)

    def call_registers(self, number: int, *registers: int) -> int:
        """The hypercall's value, or -errno."""
        argument = bytearray(_REGISTERS.pack(number, *registers, *(0,) * (5 - len(registers))))
        try:
            return int(fcntl.ioctl(self.descriptor, IOCTL_HYPERCALL, argument))
        except OSError as error:
            return -(error.errno or 1)

    def call_struct(self, number: int, argument: bytes) -> int:
        """A hypercall whose only register points to `argument`."""
        return self.call_registers(number, self.memory.put(argument.ljust(PAGE_SIZE, b"\0")))

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        return [self._call(call) for call in calls]

    def _call(self, call: Call) -> int:
        argument = call.argument
        if call.buffer is not None:
            argument = call.argument_pointing_to(self.memory.put(call.buffer, PAGE_SIZE))
        if call.number == HYPERCALL_XEN_VERSION:
            value = self.call_registers(call.number, *XEN_VERSION_ARG.unpack(argument))
        else:
            value = self.call_struct(call.number, argument)
        if call.buffer is not None:
            call.buffer[:] = self.memory.bytes[PAGE_SIZE : PAGE_SIZE + len(call.buffer)]
        return value

    def version(self) -> int:
        """Xen's, as major << 16 | minor."""
        return self.call_registers(HYPERCALL_XEN_VERSION, XENVER_VERSION)

    def clear(self) -> None:
        """Zeros in the whole buffer, so that what a call writes behind its end can be told."""
        self.memory.bytes[PAGE_SIZE:] = bytes(self.BUFFER_PAGES * PAGE_SIZE)

    def written(self) -> bytes:
        """What now stands in the buffer up to its first zero, however long it was said to be."""
        return bytes(self.memory.bytes[PAGE_SIZE:]).partition(b"\0")[0]

    def close(self) -> None:
        os.close(self.descriptor)

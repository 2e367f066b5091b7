# SPDX-License-Identifier: GPL-2.0-only
"""A dom0 for tests: the kernel's privcmd device, answering from a model through real memory addresses.

`FakeKernel` stands in for os.open and fcntl.ioctl. Run as a program with a Python command line (`-I -c CODE`), this
file is the `python3` of a remote dom0 with a hundred domains: it runs CODE on the fake kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import sysctl, tmem, xen

PRIVCMD = "/dev/xen/privcmd"
PRIVCMD_BUFFER = "/dev/xen/hypercall"
IOCTL_HYPERCALL = 0x305000
_BUFFER_BYTES = 8 << 20


class Mapping:
    """A line of /proc/self/maps."""

    def __init__(self, line: str) -> None:
        addresses, self.permissions = line.split()[:2]
        start, _, end = addresses.partition("-")
        self.start, self.end = int(start, 16), int(end, 16)


def mappings() -> list[Mapping]:
    with open("/proc/self/maps") as file:
        return [Mapping(line) for line in file]


class FakeKernel:
    """`fails` is an errno for every ioctl; `lacks` are devices that are not there, `forbids` those for root."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        *,
        lacks: tuple[str, ...] = (PRIVCMD_BUFFER,),
        forbids: tuple[str, ...] = (),
        fails: int = 0,
        buffers_run_out: bool = False,
    ) -> None:
        self._hypervisor = hypervisor
        self._lacks, self._forbids, self.fails = lacks, forbids, fails
        self._buffers_run_out = buffers_run_out
        self._real_open = os.open
        self._devices: set[int] = set()
        self.watch: Callable[[int], None] = lambda address: None  # told each buffer's address
        self.hypercalls = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        with mock.patch("os.open", self.open), mock.patch("fcntl.ioctl", self.ioctl):
            yield

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not str(path).startswith(("/dev/xen/", "/proc/xen/")):
            return self._real_open(path, flags, mode, dir_fd=dir_fd)
        if path in self._lacks or path not in (PRIVCMD, PRIVCMD_BUFFER):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if path in self._forbids:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        fd = os.memfd_create("xen")
        if path == PRIVCMD_BUFFER:
            os.ftruncate(fd, _BUFFER_BYTES)
            if self._buffers_run_out:  # as far as mmap goes: read-only
                os.close(fd)
                fd = self._real_open("/proc/self/exe", os.O_RDONLY)
        self._devices.add(fd)
        return fd

    def ioctl(self, fd: int, request: int, argument: bytearray) -> int:
        if fd < 0:
            raise ValueError("file descriptor cannot be a negative integer (-1)")
        assert fd in self._devices
        assert request == IOCTL_HYPERCALL
        if self.fails:
            raise OSError(self.fails, os.strerror(self.fails))
        self.hypercalls += 1
        number, first, second = (int.from_bytes(argument[at : at + 8], "little") for at in (0, 8, 16))
        value = self._hypercall(number, first, second)
        if value < 0:
            raise OSError(-value, "from Xen")
        return value

    def _hypercall(self, number: int, first: int, second: int) -> int:
        if number == xen.HYPERCALL_XEN_VERSION:
            struct, pointer = xen.XEN_VERSION_ARG.pack(first, second), second
        else:
            size = sysctl.XEN_SYSCTL_BYTES if number == xen.HYPERCALL_SYSCTL else tmem.TMEM_OP_BYTES
            struct = ctypes.string_at(first, size)
            pointer = int.from_bytes(struct[(at := handle_offset(number, struct)) : at + 8], "little")
        if not pointer:
            return self._hypervisor.hypercall(0, number, struct)
        self.watch(pointer)
        room = (
            next(m.end for m in mappings() if m.start <= pointer < m.end and "w" in m.permissions) - pointer
        )
        memory = bytearray(ctypes.string_at(pointer, room))
        value = self._hypervisor.hypercall(0, number, struct, {pointer: memory})
        ctypes.memmove(pointer, bytes(memory), room)
        return value


def handle_offset(number: int, struct: bytes) -> int:
    """Where the struct of a hypercall has its pointer."""
    if number == xen.HYPERCALL_TMEM_OP:
        return tmem.TMEM_OP_CTRL_BUF_OFFSET if not any(struct[:4]) else len(struct)
    command = struct[0]
    return 16 if command == sysctl.XEN_SYSCTL_GETDOMAININFOLIST else sysctl.XEN_SYSCTL_TMEM_BUF_OFFSET


def hundred_domains() -> Hypervisor:
    """dom0 and a hundred domains with two pools each."""
    hypervisor = Hypervisor(release="4.12", frames=65536, command_line="tmem=1")
    hypervisor.create_domain(0)
    for domid in range(1, 101):
        guest = hypervisor.create_domain(domid, name=f"guest-{domid}")
        for persistent in (False, True):
            guest.put(guest.new_pool(persistent=persistent), 1, domid, bytes(4096))
    return hypervisor


def main() -> None:
    code = sys.argv[-1]
    with FakeKernel(hundred_domains()).installed():
        exec(compile(code, "remote", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()

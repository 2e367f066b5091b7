# SPDX-License-Identifier: GPL-2.0-only
"""A host of either release with its dom0, and the control operations as the release's own binary structs."""

from __future__ import annotations

import random
import re
from typing import Any, Final

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import sysctl, tmem, xen
from hypervisor_model.public.tmem import oid_from_bytes, oid_to_bytes
from hypervisor_model.tmem.client import Client
from hypervisor_model.tmem.control import client_named
from hypervisor_model.tmem.guest_ops import Guest

ALL: Final = xen.CLI_ID_ALL
ADDRESS: Final = 0x10000
HANDLE_BYTES: Final = tmem.TMEM_HANDLE.size

both_releases = pytest.mark.parametrize("release", ["4.3", "4.12"])
both_ways = pytest.mark.parametrize("quirks", ["xen", "documented"])


def page(number: int) -> bytes:
    """One of many pages that differ and don't compress."""
    return random.Random(number).randbytes(xen.PAGE_SIZE)


def soft_page(number: int) -> bytes:
    """One of many pages that differ and compress well."""
    return number.to_bytes(8, "little") * (xen.PAGE_SIZE // 8)


class Machine:
    """Domain 0 is there from the start; `control` is what it asks for."""

    def __init__(self, release: str = "4.3", *, options: str = "", frames: int = 4000, **boot: Any) -> None:
        self.hv = Hypervisor(release=release, frames=frames, command_line=f"tmem=1 {options}", **boot)
        self.old_abi = release == "4.3"
        self.hv.create_domain(0, gfns=4)

    def guest(self, domid: int = 1, **more: Any) -> Guest:
        return self.hv.create_domain(domid, **({"gfns": 4} | more))

    def client(self, domid: int = 1) -> Client:
        client = client_named(self.hv.tmem, domid)
        assert client is not None
        return client

    def control(
        self,
        command: int,
        cli_id: int = ALL,
        first: int = 0,
        second: int = 0,
        *,
        pool_id: int = 0,
        oid: int = 0,
        buffer: bytearray | None = None,
        caller: int = 0,
    ) -> int:
        """`first` and `second` are arg1 and arg2 of 4.3, len and arg of 4.12. No buffer: a NULL handle."""
        address = 0 if buffer is None else ADDRESS
        if self.old_abi:
            number = xen.HYPERCALL_TMEM_OP
            argument = tmem.TMEM_OP_CTRL.pack(
                tmem.TMEM_CONTROL, pool_id, command, cli_id, first, second, oid_to_bytes(oid), address
            )
        else:
            number = xen.HYPERCALL_SYSCTL
            version = self.hv.release.sysctl_interface_version
            argument = sysctl.XEN_SYSCTL_TMEM.pack(
                sysctl.XEN_SYSCTL_TMEM_OP,
                version,
                command,
                pool_id,
                cli_id,
                first,
                second,
                0,
                oid_to_bytes(oid),
                address,
            )
        return self.hv.hypercall(caller, number, argument, {} if buffer is None else {ADDRESS: buffer})

    def value(self, command: int, cli_id: int, value: int) -> int:
        """An operation whose one number moved from the first place to the second."""
        return self.control(command, cli_id, *((value, 0) if self.old_abi else (0, value)))

    def flush(self, size_kb: int, cli_id: int = ALL) -> int:
        return self.value(tmem.TMEMC_FLUSH, cli_id, size_kb)

    def listing(
        self, cli_id: int = ALL, *, use_long: bool = True, length: int = 65536, room: int = 65536
    ) -> str:
        """The text that LIST leaves in a buffer of `room` bytes that is said to have `length`."""
        buffer = bytearray(room)
        assert self.control(tmem.TMEMC_LIST, cli_id, length, int(use_long), buffer=buffer) == 0
        return buffer.partition(b"\0")[0].decode("ascii")

    def counter(self, tag: str, start: str = "G=") -> int:
        """A number of the long listing, from the first line with that start."""
        line = next(line for line in self.listing().splitlines() if line.startswith(start))
        found = re.search(rf"[=,]{tag}:(-?\d+)", line)
        assert found is not None, (tag, line)
        return int(found[1])

    # Save and restore.

    def save_begin(self, cli_id: int = 1, *, live: bool = False) -> int:
        return self.value(tmem.TMEMC_SAVE_BEGIN, cli_id, int(live))

    def save_end(self, cli_id: int = 1) -> int:
        return self.control(tmem.TMEMC_SAVE_END, cli_id)

    def thaw(self, cli_id: int = 1) -> int:
        return self.control(tmem.TMEMC_THAW, cli_id)

    def next_page(self, cli_id: int = 1, pool_id: int = 0) -> tuple[int, int, bytes]:
        """Result, index and contents."""
        buffer = bytearray(HANDLE_BYTES + xen.PAGE_SIZE)
        rc = self.control(tmem.TMEMC_SAVE_GET_NEXT_PAGE, cli_id, len(buffer), pool_id=pool_id, buffer=buffer)
        _, index, _ = tmem.TMEM_HANDLE.unpack_from(buffer)
        return rc, index, bytes(buffer[HANDLE_BYTES:])

    def saved_pages(self, cli_id: int = 1, pool_id: int = 0) -> dict[int, bytes]:
        """What SAVE_GET_NEXT_PAGE gives until it says that there is no more, by index."""
        pages = {}
        while (found := self.next_page(cli_id, pool_id))[0] >= 0:
            if found[0] == 1:
                pages[found[1]] = found[2]
        assert found[0] == -xen.EPERM
        return pages

    def next_invalidated(self, cli_id: int = 1) -> tuple[int, int, int, int]:
        """Result, pool id, object id and index."""
        buffer = bytearray(HANDLE_BYTES)
        rc = self.control(tmem.TMEMC_SAVE_GET_NEXT_INV, cli_id, len(buffer), buffer=buffer)
        pool_id, index, oid = tmem.TMEM_HANDLE.unpack(buffer)
        return rc, pool_id, oid_from_bytes(oid), index

    def restore_put(
        self, index: int, contents: bytes | None, *, oid: int = 1, length: int = 4096, cli_id: int = 1
    ) -> int:
        buffer = None if contents is None else bytearray(contents)
        return self.control(tmem.TMEMC_RESTORE_PUT_PAGE, cli_id, length, index, oid=oid, buffer=buffer)

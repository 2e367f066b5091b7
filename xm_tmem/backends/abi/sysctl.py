# SPDX-License-Identifier: GPL-2.0-only
"""The control ABI of Xen 4.6 and 4.7: XEN_SYSCTL_tmem_op, with the commands of TMEM_CONTROL (C: tmem_control)."""

from __future__ import annotations

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import HYPERCALL_SYSCTL, HYPERCALL_TMEM_OP
from xm_tmem.backends.abi.control import ControlAbi
from xm_tmem.backends.abi.tmemc import TmemcAbi

_PROBE_BYTES = 64


class SysctlCommands(ControlAbi):
    """Commands in the struct of sysctl, and the question that tells whether tmem is on."""

    def control(
        self,
        command: int,
        client: int,
        *,
        pool: int = 0,
        first: int = 0,
        second: int = 0,
        oid: int = 0,
        buffer: bytearray | None = None,
    ) -> Call:
        return tmem_sysctl(
            self.release.sysctl_interface,
            command,
            client,
            pool=pool,
            first=first,
            second=second,
            oid=oid,
            buffer=buffer,
        )

    def probe(self) -> Call:
        return tmem_op_probe()


class SysctlAbi(SysctlCommands, TmemcAbi):
    """The same commands and numbers as before, in the struct of another hypercall."""


def tmem_sysctl(
    interface: int,
    command: int,
    client: int,
    *,
    pool: int = 0,
    first: int = 0,
    second: int = 0,
    oid: int = 0,
    buffer: bytearray | None = None,
) -> Call:
    """A command in struct xen_sysctl; `first` and `second` are its arg1 and arg2, from 4.8 on len and arg."""
    head = sysctl.XEN_SYSCTL_TMEM.pack(
        sysctl.XEN_SYSCTL_TMEM_OP,
        interface,
        command,
        pool,
        client,
        first,
        second,
        0,
        tmem.oid_to_bytes(oid),
        0,
    )
    argument = head.ljust(sysctl.XEN_SYSCTL_BYTES, b"\0")
    return Call(
        HYPERCALL_SYSCTL, argument, None if buffer is None else sysctl.XEN_SYSCTL_TMEM_BUF_OFFSET, buffer
    )


def tmem_op_probe() -> Call:
    """From 4.6 on sysctl works as if tmem were on when it is off; only the guests' hypercall tells.

    EOPNOTSUPP (TMEM_CONTROL is not there any more): on. ENODEV: off. ENOSYS: not built.
    """
    return Call(HYPERCALL_TMEM_OP, bytes(_PROBE_BYTES))

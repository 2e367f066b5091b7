# SPDX-License-Identifier: GPL-2.0-only
"""A trace's operations as hypercalls: the argument struct, byte for byte, and the buffer its handle points to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hypervisor_model.public import sysctl, tmem, xen
from tests.conformance.pages import page_from_spec
from tests.conformance.trace import Operation

# Where the caller's buffer lies. Xen writes beyond the length it was given (the first line of a listing, and more
# where a length underflows), so there is room behind.
BUFFER_ADDRESS: Final = 0x1000_0000
BUFFER_BEHIND: Final = 0x10000
BUFFER_MOST: Final = 0x100000

_PAGE_COMMANDS: Final = {
    "new_page": tmem.TMEM_NEW_PAGE,
    "put": tmem.TMEM_PUT_PAGE,
    "get": tmem.TMEM_GET_PAGE,
    "flush_page": tmem.TMEM_FLUSH_PAGE,
    "flush_obj": tmem.TMEM_FLUSH_OBJECT,
    "read": tmem.TMEM_READ,
    "write": tmem.TMEM_WRITE,
    "xchg": tmem.TMEM_XCHG,
    "destroy_pool": tmem.TMEM_DESTROY_POOL,
}
HYPERCALLS: Final = frozenset(
    {*_PAGE_COMMANDS, "null_op", "raw", "new_pool", "auth", "restore_new", "ctl", "sysctl"}
)
_U32: Final = (1 << 32) - 1


class Call(NamedTuple):
    """One hypercall. `buffer` is at BUFFER_ADDRESS; None: the call points nowhere."""

    domid: int
    number: int
    argument: bytes
    buffer: bytearray | None = None


@dataclass(frozen=True)
class Saved:
    """What the latest SAVE_GET_NEXT_PAGE that found a page put into its buffer."""

    pool_id: int
    index: int
    oid: list[int]
    page: bytes


def call_of(operation: Operation, interface_version: int, saved: Saved | None) -> Call:
    """The hypercall that `operation` stands for (one of HYPERCALLS). `saved` is what "last" refers to."""
    name = operation["op"]
    caller = operation["d"]
    if name == "null_op":
        return Call(caller, xen.HYPERCALL_TMEM_OP, b"")
    if name == "ctl":
        return _control(operation, saved)
    if name == "sysctl":
        return _sysctl(operation, interface_version, saved)
    if name in ("new_pool", "auth", "restore_new"):
        return Call(caller, xen.HYPERCALL_TMEM_OP, _creat(operation))
    argument = tmem.TMEM_OP_GEN.pack(
        operation["cmd"] if name == "raw" else _PAGE_COMMANDS[name],
        _signed(operation.get("pool", 0)),
        _oid(operation.get("oid")),
        operation.get("index", 0),
        operation.get("toff", 0),
        operation.get("poff", 0),
        operation.get("len", 0),
        operation.get("gfn", 0),
    )
    return Call(caller, xen.HYPERCALL_TMEM_OP, argument)


def _creat(operation: Operation) -> bytes:
    """NEW_POOL; AUTH and RESTORE_NEW have the client in arg1, and AUTH its yes or no in the flags."""
    commands = {"new_pool": tmem.TMEM_NEW_POOL, "auth": tmem.TMEM_AUTH, "restore_new": tmem.TMEM_RESTORE_NEW}
    return tmem.TMEM_OP_CREAT.pack(
        commands[operation["op"]],
        _signed(operation.get("pool", 0)),
        *operation["uuid"],
        operation.get("flags", operation.get("auth", 0)),
        operation.get("cli", 0) & _U32,
    ).ljust(tmem.TMEM_OP_BYTES, b"\0")


def _control(operation: Operation, saved: Saved | None) -> Call:
    """TMEM_CONTROL of 4.3."""
    pool_id, oid, index = operation.get("pool", 0), operation.get("oid"), operation.get("arg2", 0)
    if saved is not None:
        pool_id = saved.pool_id if pool_id == "last" else pool_id
        oid = saved.oid if oid == "last" else oid
        index = saved.index if index == "last" else index
    argument = tmem.TMEM_OP_CTRL.pack(
        tmem.TMEM_CONTROL,
        _signed(pool_id),
        operation["subop"],
        operation["cli"] & _U32,
        operation.get("arg1", 0) & _U32,
        index & _U32,
        _oid(oid),
        BUFFER_ADDRESS,
    )
    return Call(
        operation["d"], xen.HYPERCALL_TMEM_OP, argument, _buffer(operation, operation.get("arg1", 0), saved)
    )


def _sysctl(operation: Operation, interface_version: int, saved: Saved | None) -> Call:
    """XEN_SYSCTL_tmem_op of 4.12."""
    length = operation.get("len", 0)
    without_buffer = bool(operation.get("nobuf"))
    argument = sysctl.XEN_SYSCTL_TMEM.pack(
        sysctl.XEN_SYSCTL_TMEM_OP,
        interface_version,
        operation["subop"],
        _signed(operation.get("pool", 0)),
        operation["cli"] & _U32,
        length & _U32,
        operation.get("arg", 0) & _U32,
        operation.get("pad", 0),
        _oid(operation.get("oid")),
        0 if without_buffer else BUFFER_ADDRESS,
    )
    return Call(
        operation["d"],
        xen.HYPERCALL_SYSCTL,
        argument.ljust(sysctl.XEN_SYSCTL_BYTES, b"\0"),
        None if without_buffer else _buffer(operation, length, saved),
    )


def _buffer(operation: Operation, length: int, saved: Saved | None) -> bytearray:
    """The caller's buffer, with what the operation passes in it."""
    content = b""
    if "page" in operation:
        content = _page(operation["page"], saved)
    elif "pools" in operation:
        content = b"".join(sysctl.TMEM_POOL_INFO.pack(*pool) for pool in operation["pools"])
    elif "info" in operation:
        content = sysctl.TMEM_CLIENT.pack(*operation["info"])
    size = min(length, BUFFER_MOST) + BUFFER_BEHIND
    return bytearray(content.ljust(size, b"\0"))


def _page(spec: str, saved: Saved | None) -> bytes:
    if spec != "last":
        return page_from_spec(spec)
    return bytes(xen.PAGE_SIZE) if saved is None else saved.page


def _oid(words: list[int] | None) -> bytes:
    return tmem.oid_to_bytes(tmem.oid_from_words(*words)) if words else bytes(24)


def _signed(pool_id: Any) -> int:
    """A pool id as the struct's signed field holds it."""
    return (int(pool_id) + (1 << 31) & _U32) - (1 << 31)

# SPDX-License-Identifier: GPL-2.0-only
"""What a host is: hypercalls xen_version and getdomaininfolist, which exist whether or not there is tmem."""

from __future__ import annotations

import struct
from typing import Final

from hypervisor_model.public import sysctl, xen
from hypervisor_model.public.wire import Call
from xm_tmem.backends.abi.releases import Release
from xm_tmem.backends.interface import DomainInfo
from xm_tmem.ids import DomainId

DOMAINS_PER_CALL: Final = 1024

_DOMAIN_HEAD: Final = struct.Struct(
    "<HxxIQQ"
)  # domain, flags, tot_pages, max_pages: the same in every release
_DOMAIN_TAIL: Final = struct.Struct("<III16s")  # nr_online_vcpus, max_vcpu_id, ssidref, handle
_PAGE_KB: Final = 4

_DYING, _SHUTDOWN, _PAUSED, _BLOCKED, _RUNNING = 1 << 0, 1 << 2, 1 << 3, 1 << 4, 1 << 5
_SHUTDOWN_CODE_SHIFT, _SHUTDOWN_CRASH = 16, 3
_UNLIMITED_PAGES = 0xFFFFFFFF
"""max_pages of a domain without a limit, as dom0 often is: the largest unsigned int."""


def version() -> Call:
    """The value is major << 16 | minor."""
    return Call(xen.HYPERCALL_XEN_VERSION, xen.XEN_VERSION_ARG.pack(xen.XENVER_VERSION, 0))


def extra_version() -> Call:
    """The buffer is what follows: ".4"."""
    return _version_text(xen.XENVER_EXTRAVERSION, xen.XENVER_EXTRAVERSION_BYTES)


def command_line() -> Call:
    """The buffer is the hypervisor's own command line."""
    return _version_text(xen.XENVER_COMMANDLINE, xen.XENVER_COMMANDLINE_BYTES)


def _version_text(command: int, size: int) -> Call:
    argument = xen.XEN_VERSION_ARG.pack(command, 0)
    return Call(xen.HYPERCALL_XEN_VERSION, argument, xen.XEN_VERSION_ARG_BUF_OFFSET, bytearray(size))


def text(call: Call) -> str:
    """The text in an answered call's buffer, up to its NUL, control characters replaced."""
    assert call.buffer is not None
    raw = bytes(call.buffer).partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in raw)


def domain_list(release: Release, first: int, *, limit: int = DOMAINS_PER_CALL) -> Call:
    """Up to `limit` domains with an id from `first` on."""
    head = sysctl.XEN_SYSCTL_DOMAINS.pack(
        sysctl.XEN_SYSCTL_GETDOMAININFOLIST, release.sysctl_interface, first, limit, 0, 0
    )
    buffer = bytearray(limit * release.domain_info_bytes)
    return Call(
        xen.HYPERCALL_SYSCTL,
        head.ljust(sysctl.XEN_SYSCTL_BYTES, b"\0"),
        sysctl.XEN_SYSCTL_DOMAINS_BUF_OFFSET,
        buffer,
    )


def listed_domains(release: Release, call: Call) -> list[DomainInfo]:
    """The domains in the buffer of an answered `domain_list`, by id, without names.

    Xen also counts them in the argument struct, which no transport carries back. None is needed: ids ascend, and
    behind the last domain the buffer is as it was made, all zeros.
    """
    assert call.buffer is not None
    domains: list[DomainInfo] = []
    for start in range(0, len(call.buffer), release.domain_info_bytes):
        domid, flags, tot_pages, max_pages = _DOMAIN_HEAD.unpack_from(call.buffer, start)
        if (domains and domid <= domains[-1].domain_id) or not any(
            call.buffer[start : start + release.domain_info_bytes]
        ):
            break
        vcpus, _, _, handle = _DOMAIN_TAIL.unpack_from(call.buffer, start + release.vcpus_offset)
        domains.append(
            DomainInfo(
                DomainId(domid),
                uuid=_uuid_text(handle),
                state=_state(flags),
                memory_kb=tot_pages * _PAGE_KB,
                max_memory_kb=None if max_pages >= _UNLIMITED_PAGES else max_pages * _PAGE_KB,
                vcpus=vcpus,
            )
        )
    return domains


def _state(flags: int) -> str:
    """As xl prints it: running, blocked, paused, shutdown, crashed, dying."""
    crashed = flags & _SHUTDOWN and flags >> _SHUTDOWN_CODE_SHIFT & 0xFF == _SHUTDOWN_CRASH
    letters = (
        ("r", flags & _RUNNING),
        ("b", flags & _BLOCKED),
        ("p", flags & _PAUSED),
        ("s", flags & _SHUTDOWN),
        ("c", crashed),
        ("d", flags & _DYING),
    )
    return "".join(letter if given else "-" for letter, given in letters)


def _uuid_text(handle: bytes) -> str | None:
    if not any(handle):  # domain 0's, and of whoever was made without one
        return None
    digits = handle.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

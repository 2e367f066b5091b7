# SPDX-License-Identifier: GPL-2.0-only
"""Domains made and unmade as a toolstack does it, by domctl: without memory or processors, which tmem does not mind.

Sources: xen/include/public/domctl.h of each stable branch (struct xen_domctl: command, interface version, domain, and
a union at offset 16).
"""

from __future__ import annotations

import struct
from typing import Final

import pytest

from hypervisor_model.public.xen import HYPERCALL_DOMCTL
from tests.system.dom0.hypercalls import Hypercalls
from xm_tmem.ids import DomainId

CREATE: Final = 1
DESTROY: Final = 2
MAX_MEM: Final = 11
MAX_MEMORY_KB: Final = 64 << 10
"""tmem takes a domain's persistent pages only while it has less memory than this."""
INTERFACES: Final = {
    "4.0": 6, "4.1": 7, "4.2": 8, "4.3": 9, "4.4": 9, "4.5": 0xA, "4.6": 0xB, "4.7": 0xB, "4.8": 0xC, "4.9": 0xD,
    "4.10": 0xF, "4.11": 0x10, "4.12": 0x11, "4.17": 0x15,
}  # fmt: skip
HEAD: Final = struct.Struct("<IIHxxxxxx")
OLD_CREATE: Final = struct.Struct(
    "<I16sI"
)  # ssidref, handle, flags; to 4.11, with zeros for a PV domain behind
# From 4.12 on: and the most processors, event channels, grant frames and maptrack frames.
CREATE_4_12: Final = struct.Struct("<I16sIIIii")
# 4.17: IOMMU options before those, and behind them the grant tables' version, trace size and CPU pool.
CREATE_4_17: Final = struct.Struct("<I16sIIIIiiIII")
_EAGAIN, _ERESTART = 11, 85
_MOST_TRIES = 1000


def create(calls: Hypercalls, release: str, domain: DomainId) -> None:
    """A PV domain with `domain` in its uuid."""
    handle = uuid_bytes(domain)
    if release == "4.17":
        body = CREATE_4_17.pack(0, handle, 0, 0, 1, 1023, 4, 16, 1, 0, 0)
    elif release == "4.12":
        body = CREATE_4_12.pack(0, handle, 0, 1, 1023, 4, 16)
    else:
        body = OLD_CREATE.pack(0, handle, 0)
    assert _domctl(calls, release, CREATE, domain, body) == 0
    assert _domctl(calls, release, MAX_MEM, domain, struct.pack("<Q", MAX_MEMORY_KB)) == 0


def destroy(calls: Hypercalls, release: str, domain: DomainId) -> None:
    """Destroy `domain`, and its tmem with it. Xen does it in pieces and asks to be called again."""
    for _ in range(_MOST_TRIES):
        value = _domctl(calls, release, DESTROY, domain)
        if value not in (-_EAGAIN, -_ERESTART):
            assert value == 0
            return
    pytest.fail(f"domain {domain} cannot be destroyed")


def uuid_bytes(domain: DomainId) -> bytes:
    """The uuid that `create` gives to a domain."""
    return b"xm-tmem-domain" + domain.to_bytes(2, "big")


def _domctl(calls: Hypercalls, release: str, command: int, domain: DomainId, body: bytes = b"") -> int:
    interface = INTERFACES.get(release)
    if interface is None:
        pytest.skip(f"this suite does not know how Xen {release} is told to make a domain")
    return calls.call_struct(HYPERCALL_DOMCTL, HEAD.pack(command, interface, domain) + body)

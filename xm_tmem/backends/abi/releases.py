# SPDX-License-Identifier: GPL-2.0-only
"""What differs between the releases of Xen, as one table. A release that is not in it is refused, never guessed.

The control interface went through three forms, and command numbers changed their meaning on the way (5, 6 and 7 in
4.8; 9 and 11 are new in 4.9), so everything is chosen by release:

    tmemc        4.0 - 4.5    TMEM_CONTROL inside hypercall tmem_op
    sysctl       4.6 - 4.7    XEN_SYSCTL_tmem_op with the same commands
    client_info  4.8 - 4.12   XEN_SYSCTL_tmem_op; a client's settings and pools travel as structs, and there are no caps
    none         4.13 on      tmem was removed; the host can still be named and its domains listed

Sources: xen/include/public/{sysctl,domctl,tmem}.h of each stable branch; sizes and offsets are those of x86-64.
"""

from __future__ import annotations

from typing import Final

from xm_tmem.backends.interface import Capability
from xm_tmem.errors import Unsupported
from xm_tmem.named_tuple import NamedTuple

TMEMC: Final = "tmemc"
SYSCTL: Final = "sysctl"
CLIENT_INFO: Final = "client_info"
NONE: Final = "none"


class Release(NamedTuple):
    """One release. `domain_info_bytes` and the offset are those of struct xen_domctl_getdomaininfo."""

    name: str
    abi: str
    sysctl_interface: int  # another value in the struct is answered with EACCES
    domain_info_bytes: int
    vcpus_offset: int  # nr_online_vcpus; max_vcpu_id, ssidref and the uuid follow
    pools_by_sysctl: (
        bool  # SET_POOLS and SET_AUTH rather than TMEM_RESTORE_NEW and TMEM_AUTH of hypercall tmem_op
    )
    lists_all: bool  # whether LIST of all clients is safe


_TABLE: Final = (
    # name, abi, sysctl interface, getdomaininfo bytes and vcpus offset, pools_by_sysctl, lists_all
    #
    # 4.0: SAVE_GET_CLIENT_WEIGHT, _CAP and _FLAGS follow a NULL pointer for a domain without a client (the host
    # panics); SAVE_GET_POOL_UUID stores through an unchecked pointer and runs on into SAVE_END, which thaws. None of
    # them is sent to any release: settings and uuids are in the listing too. Its pool flags lack the version byte.
    Release("4.0", TMEMC, 0x07, 80, 48, False, True),
    Release("4.1", TMEMC, 0x08, 80, 48, False, True),
    Release("4.2", TMEMC, 0x09, 88, 56, False, True),
    Release("4.3", TMEMC, 0x0A, 96, 64, False, True),
    Release("4.4", TMEMC, 0x0A, 96, 64, False, True),
    # 4.5: once a domain that shared a pool has been destroyed, LIST of all clients makes the host panic.
    Release("4.5", TMEMC, 0x0B, 96, 64, False, False),
    Release("4.6", SYSCTL, 0x0C, 96, 64, False, True),
    Release("4.7", SYSCTL, 0x0D, 96, 64, False, True),
    # 4.8: has neither SET_POOLS nor SET_AUTH yet (an unknown command, EPERM).
    Release("4.8", CLIENT_INFO, 0x0E, 96, 64, False, True),
    Release("4.9", CLIENT_INFO, 0x0F, 96, 64, True, True),
    Release("4.10", CLIENT_INFO, 0x10, 104, 64, True, True),
    Release("4.11", CLIENT_INFO, 0x11, 104, 64, True, True),
    Release("4.12", CLIENT_INFO, 0x12, 104, 64, True, True),
    Release("4.13", NONE, 0x12, 104, 64, False, False),
    Release("4.14", NONE, 0x13, 104, 64, False, False),
    Release("4.15", NONE, 0x13, 104, 64, False, False),
    Release("4.16", NONE, 0x14, 112, 64, False, False),
    Release("4.17", NONE, 0x15, 112, 64, False, False),
    Release("4.18", NONE, 0x15, 112, 64, False, False),
    Release("4.19", NONE, 0x15, 112, 64, False, False),
    Release("4.20", NONE, 0x15, 112, 64, False, False),
    Release("4.21", NONE, 0x16, 112, 64, False, False),
    Release("4.22", NONE, 0x16, 112, 64, False, False),
)

RELEASES: Final = {release.name: release for release in _TABLE}
TMEM_RELEASES: Final = tuple(release.name for release in _TABLE if release.abi != NONE)


def release_of(version: int) -> Release:
    """The release whose XENVER_version is `version` (major << 16 | minor). Raises Unsupported for a stranger."""
    name = f"{version >> 16}.{version & 0xFFFF}"
    release = RELEASES.get(name)
    if release is None:
        raise Unsupported(
            f"Xen {name} is unknown here: tmem exists in Xen {TMEM_RELEASES[0]} to {TMEM_RELEASES[-1]}"
        )
    return release


def capabilities_of(release: Release) -> Capability:
    """What a host of this release can be asked when its tmem is on."""
    if release.abi == NONE:
        return Capability(0)
    can = ~Capability(0)
    if release.abi == CLIENT_INFO:
        can &= ~Capability.SET_CAP
    if release.pools_by_sysctl:
        can &= (
            ~Capability.SHARED_AUTH_ALL
        )  # SET_AUTH makes a client of the id it is given: there is none for "all"
    return can

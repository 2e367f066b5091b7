# SPDX-License-Identifier: GPL-2.0-only
"""What differs between the modelled releases, as data: 4.3 has every feature tmem ever had, 4.12 is the last."""

from __future__ import annotations

from typing import Final


class Release:
    """One release. Sizes are those of the C structs on x86_64 without debugging, in bytes."""

    __slots__ = (
        "client_info_abi",
        "domain_info_bytes",
        "extraversion",
        "major",
        "minor",
        "name",
        "obj_bytes",
        "objnode_bytes",
        "pcd_bytes",
        "pgp_bytes",
        "sharelist_bytes",
        "sysctl_interface_version",
    )

    def __init__(
        self,
        name: str,
        *,
        extraversion: str,
        client_info_abi: bool,
        sysctl_interface_version: int,
        domain_info_bytes: int,
        pgp_bytes: int,
        obj_bytes: int,
        pcd_bytes: int,
    ) -> None:
        major, _, minor = name.partition(".")
        self.name = name
        self.major = int(major)
        self.minor = int(minor)
        self.extraversion = extraversion
        # Control by XEN_SYSCTL_tmem_op with client info (4.8 on), or by TMEM_CONTROL within tmem_op (to 4.5)?
        self.client_info_abi = client_info_abi
        self.sysctl_interface_version = sysctl_interface_version
        self.domain_info_bytes = domain_info_bytes  # struct xen_domctl_getdomaininfo
        self.pgp_bytes = pgp_bytes
        self.obj_bytes = obj_bytes
        self.objnode_bytes = 528
        self.pcd_bytes = pcd_bytes  # 0: no deduplication
        self.sharelist_bytes = 24


RELEASES: Final = {
    "4.3": Release(
        "4.3",
        extraversion=".4",
        client_info_abi=False,
        sysctl_interface_version=0xA,
        domain_info_bytes=96,
        pgp_bytes=88,
        obj_bytes=120,
        pcd_bytes=56,
    ),
    "4.12": Release(
        "4.12",
        extraversion=".4",
        client_info_abi=True,
        sysctl_interface_version=0x12,
        domain_info_bytes=104,
        pgp_bytes=72,
        obj_bytes=128,
        pcd_bytes=0,
    ),
}


def release_named(name: str) -> Release:
    """Raises ValueError for a release that is not modelled."""
    release = RELEASES.get(name)
    if release is None:
        raise ValueError(f"Xen {name} is not modelled: use {' or '.join(RELEASES)}")
    return release

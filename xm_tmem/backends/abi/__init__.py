# SPDX-License-Identifier: GPL-2.0-only
"""How a verb is spelt: the three control ABIs of tmem and the table that says which release has which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xm_tmem.backends.abi.releases import CLIENT_INFO, SYSCTL, TMEMC, Release
from xm_tmem.errors import Unsupported

if TYPE_CHECKING:
    from xm_tmem.backends.abi.control import ControlAbi


def abi_of(release: Release) -> ControlAbi:
    """The control ABI of `release`; only the one needed is imported. Raises Unsupported where tmem is gone."""
    if release.abi == TMEMC:
        from xm_tmem.backends.abi.tmemc import TmemcAbi

        return TmemcAbi(release)
    if release.abi == SYSCTL:
        from xm_tmem.backends.abi.sysctl import SysctlAbi

        return SysctlAbi(release)
    if release.abi == CLIENT_INFO:
        from xm_tmem.backends.abi.client_info import ClientInfoAbi

        return ClientInfoAbi(release)
    raise Unsupported(f"Xen {release.name} has no tmem; it was removed in Xen 4.13")

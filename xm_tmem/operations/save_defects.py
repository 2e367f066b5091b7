# SPDX-License-Identifier: GPL-2.0-only
"""What save and restore cannot do on each release of Xen, as data (docs/design/save-around-defects.md has the reasons).

Sources: tmemc_save_subop, tmemc_save_get_next_page, tmemc_restore_put_page, pgp_delist_free and tmem_copy_from_client
of each stable branch. A model that does what tmem's documents say tells so in its host's details and has none of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from xm_tmem.backends.interface import HostInfo

QUIRKS = "quirks"
DOCUMENTED = "documented"
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?", re.ASCII)


class Defects(NamedTuple):
    """The defects of one host that matter here."""

    forbids: str | None  # why neither save nor restore may be tried at all
    skips_first_page: bool  # SAVE_GET_NEXT_PAGE begins with the second page, and each page comes once ever
    copies_compressed_only: bool  # a page that is stored whole is neither given nor taken
    live_may_crash: bool  # a guest that flushes the page being copied corrupts the hypervisor's lists


NONE = Defects(None, skips_first_page=False, copies_compressed_only=False, live_may_crash=False)


def defects_of(host: HostInfo) -> Defects:
    """Those of `host`. A version that cannot be read is taken for the worst."""
    if host.details.get(QUIRKS) == DOCUMENTED:
        return NONE
    match = _VERSION.match(host.xen_version)
    major, minor, patch = (int(part or 0) for part in match.groups()) if match else (4, 0, 0)
    version = (major, minor)
    forbids = None
    if version == (4, 0) or (version == (4, 1) and patch < 4) or (version == (4, 2) and patch < 1):
        forbids = (
            f"Xen {host.xen_version} stores pages and uuids through unchecked pointers and ends a save when a pool's "
            "uuid is asked for (repaired in 4.1.4 and 4.2.1): saving or restoring could crash the host"
        )
    return Defects(forbids, True, version >= (4, 4), True)

# SPDX-License-Identifier: GPL-2.0-only
"""The few facts that only a listing of one client tells an adapter: its settings, and the uuids of shared pools.

Not a parser of listings (that is xm_tmem.listing): it reads the settings of a `C=` line and the uuids of `P=` lines.
"""

from __future__ import annotations

from xm_tmem.backends.interface import ClientInfo
from xm_tmem.errors import BadListing
from xm_tmem.ids import SharedUuid


def client_info(text: bytes) -> ClientInfo:
    """The settings in the listing of one client. Raises BadListing."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith(b"C="):
        raise BadListing(f"no C= line at the start of a client's listing, but {text[:40]!r}")
    values = _values(lines[0])
    try:
        return ClientInfo(
            weight=int(values["ww"]),
            compress=values["co"] != "0",
            frozen=values["fr"] != "0",
            cap=int(values["ca"]) if "ca" in values else None,
            nr_pools=sum(line.startswith(b"P=") for line in lines),
        )
    except (KeyError, ValueError) as error:
        raise BadListing(f"a C= line without its settings: {lines[0][:120]!r}") from error


def pool_uuids(text: bytes) -> list[SharedUuid]:
    """The uuid of each `P=` line in order; zeros for a private pool. Raises BadListing."""
    try:
        pools = [_values(line) for line in text.splitlines() if line.startswith(b"P=")]
        return [SharedUuid(int(values["U0"], 16), int(values["U1"], 16)) for values in pools]
    except (KeyError, ValueError) as error:
        raise BadListing("a P= line without its uuid") from error


def _values(line: bytes) -> dict[str, str]:
    """`X=AA:1,BB:2` as {"AA": "1", "BB": "2"}."""
    fields = line[2:].decode("ascii", "replace").split(",")
    return {key: value for key, _, value in (field.partition(":") for field in fields)}

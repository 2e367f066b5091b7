# SPDX-License-Identifier: GPL-2.0-only
"""A listing with what must be known about where it came from: the thing that every renderer takes."""

from __future__ import annotations

from collections.abc import Mapping

from xm_tmem.listing.parse import parse_listing
from xm_tmem.listing.records import Listing


class Report:
    """One answer of one hypervisor at one moment. Not changed once made.

    connection  the URI as the user would type it
    timestamp   seconds since 1970, UTC, when the text was fetched
    release     "4.12"; None where nobody knows, as for a saved text
    names       domain names by id, as far as known; hostile text
    truncated   lines are missing, as far as whoever fetched the text or its reader can tell
    """

    __slots__ = ("connection", "listing", "names", "release", "timestamp", "truncated")

    def __init__(
        self,
        listing: Listing,
        *,
        connection: str,
        timestamp: float,
        release: str | None = None,
        names: Mapping[int, str] | None = None,
        truncated: bool = False,
    ) -> None:
        self.listing, self.connection, self.timestamp, self.release = listing, connection, timestamp, release
        self.names = {cli_id: _encodable(name) for cli_id, name in (names or {}).items()}
        self.truncated = truncated or listing.truncated

    def name(self, cli_id: int) -> str | None:
        return self.names.get(cli_id)


def read_report(
    text: bytes,
    *,
    connection: str,
    timestamp: float,
    release: str | None = None,
    names: Mapping[int, str] | None = None,
    truncated: bool = False,
) -> Report:
    """The report of a LIST answer. `truncated`: the caller knows that the text was cut, which it need not show."""
    listing = parse_listing(text)
    return Report(
        listing, connection=connection, timestamp=timestamp, release=release, names=names, truncated=truncated
    )


def _encodable(name: str) -> str:
    """`name` with lone surrogates, which neither UTF-8 nor YAML can carry, as backslash escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def not_understood(count: int) -> str:
    """What to say of lines that mean nothing here."""
    lines = "1 line of the listing was" if count == 1 else f"{count} lines of the listing were"
    return f"{lines} not understood"

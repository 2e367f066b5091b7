# SPDX-License-Identifier: GPL-2.0-only
"""What the last check of a host saw: one small file for each host, under $XDG_STATE_HOME/xm-tmem/checks/.

The file is a recording of one capture, replaced in one step. One that cannot be read counts as none: the next check
begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from zlib import crc32

from xm_tmem.errors import BadInput, BadListing, Failed
from xm_tmem.listing.capture import MAGIC, Capture
from xm_tmem.listing.recording import Recording, pack
from xm_tmem.operations.atomic_file import replace_file

_OWNER_ALONE = 0o600
_MAX_NAME = 80


def memory_file(connection: str, environ: Mapping[str, str]) -> str:
    """Where the memory of a host is. Its name is the connection's, as far as a file's can be, and a checksum."""
    home = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "/", ".local", "state")
    readable = "".join(each if each.isascii() and each.isalnum() else "-" for each in connection)[:_MAX_NAME]
    checksum = crc32(connection.encode("utf-8", "surrogateescape"))
    return os.path.join(home, "xm-tmem", "checks", f"{readable.strip('-')}-{checksum:08x}.xmr")


def load_memory(path: str, connection: str) -> Capture | None:
    """What was seen of `connection` last; None where nothing is known."""
    try:
        with Recording(path) as recording:
            seen = recording.capture(recording.places[-1])
    except (BadInput, BadListing):
        return None
    return seen if seen.connection == connection else None


def save_memory(path: str, seen: Capture) -> None:
    """Raises Failed."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as error:
        raise Failed(f"cannot remember this check in {os.path.dirname(path)}: {error.strerror}") from None
    replace_file(path, MAGIC + pack(seen), mode=_OWNER_ALONE)

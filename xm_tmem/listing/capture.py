# SPDX-License-Identifier: GPL-2.0-only
"""What a host listed at one moment, and the files that such things are read from: a text, or a recording of many."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

from xm_tmem.errors import BadInput
from xm_tmem.listing.report import Report, read_report
from xm_tmem.named_tuple import NamedTuple

MAGIC = b"xm-tmem recording 1\n"
"""How a recording begins (see `recording`)."""
MAX_TEXT_BYTES = 64 << 20


class Capture(NamedTuple):
    """What one host listed at one moment. Domain names and all else but the numbers are hostile text."""

    timestamp: float  # seconds since 1970
    connection: str
    text: bytes
    host: Mapping[str, Any]  # what the host was, as plain data
    domains: tuple[Mapping[str, Any], ...]  # its domains, each with at least a "domain_id"

    def report(self) -> Report:
        """The capture as something to show."""
        release = self.host.get("release")
        return read_report(
            self.text,
            connection=self.connection,
            timestamp=self.timestamp,
            release=release if isinstance(release, str) and release else None,
            names=self.names(),
        )

    def names(self) -> dict[int, str]:
        """The domains' names by id, of those that have one."""
        named = ((each["domain_id"], each.get("name")) for each in self.domains)
        return {domain_id: name for domain_id, name in named if isinstance(name, str) and name}


def is_recording(file: BinaryIO) -> bool:
    """Does `file` hold a recording? It is at its beginning, before and after."""
    found = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return found


def open_to_read(path: str) -> BinaryIO:
    """A regular file to read. Raises BadInput."""
    try:
        if not os.path.isfile(path):
            os.stat(path)
            raise BadInput(f"{path} is no file")
        return open(path, "rb")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise BadInput(f"{path!r}: {error}") from None

# SPDX-License-Identifier: GPL-2.0-only
"""Writes cpio archives in the "newc" form, which Linux unpacks as its first file system.

Linux: Documentation/driver-api/early-userspace/buffer-format.rst. Archives may follow one another. Owner is root;
links are kept as they are, and devices are for devtmpfs.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import BinaryIO, Final, NamedTuple

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"


class Entry(NamedTuple):
    """A file, directory or link: `mode` says which."""

    name: str  # without a leading slash
    mode: int
    data: bytes = b""
    mtime: int = 0  # seconds since 1970: compiled Python knows its source by it


def directory(name: str) -> Entry:
    """A directory for everybody."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, *, executable: bool = False, mtime: int = 0) -> Entry:
    """A file that everybody may read."""
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data, mtime)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def write(out: BinaryIO, entries: Iterable[Entry]) -> None:
    """An archive of `entries`, behind the directories that they need; the first entry of a name counts."""
    number = 1
    written: set[str] = set()
    for entry in entries:
        for wanted in (*_directories_of(entry.name), entry):
            if wanted.name not in written:
                written.add(wanted.name)
                _write_one(out, wanted, number)
                number += 1
    _write_one(out, Entry(_TRAILER, 0), 0)


def _directories_of(name: str) -> list[Entry]:
    parts = name.split("/")[:-1]
    return [directory("/".join(parts[: n + 1])) for n in range(len(parts))]


def _write_one(out: BinaryIO, entry: Entry, number: int) -> None:
    name = entry.name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, no checksum
    fields = (number, entry.mode, 0, 0, 1, entry.mtime, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = _MAGIC + b"".join(b"%08x" % field for field in fields)
    for part in (header + name, entry.data):
        out.write(part + bytes(-len(part) % 4))

# SPDX-License-Identifier: GPL-2.0-only
"""Files that a guest reads while it works: traces and recordings, which others made."""

import os
import stat
from typing import IO


class UnreadableFile(ValueError):
    """A guest's file is not there, or not what it was said to be. The text, one line, says where."""


def open_regular(path: str) -> IO[bytes]:
    """The file for reading. Raises UnreadableFile, also for a pipe or a device: nobody may ever write to those."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise UnreadableFile(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UnreadableFile(f"{path!r} cannot be the name of a file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableFile(f"{path}: not a regular file")
    return os.fdopen(descriptor, "rb")

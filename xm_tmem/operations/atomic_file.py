# SPDX-License-Identifier: GPL-2.0-only
"""Files that readers find whole: the old one or the new one, whatever ends the process."""

from __future__ import annotations

import os

from xm_tmem.errors import Failed


def replace_file(path: str, data: bytes, *, mode: int) -> None:
    """Put `data` where `path` is, in one step, with permissions `mode`. Raises Failed: then nothing has changed.

    The file is made under another name beside it, one that begins with a dot and ends in .new.
    """
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.{os.getpid()}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)  # whatever the umask is
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except (OSError, ValueError) as error:
        raise Failed(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None

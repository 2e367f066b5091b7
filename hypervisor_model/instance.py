# SPDX-License-Identifier: GPL-2.0-only
"""The files of a model host, and that there is one host of a name at a time.

Its process id is in a file that it keeps locked for as long as it lives. The lock counts, not the file: one that a dead
host left behind is in nobody's way.
"""

from __future__ import annotations

import fcntl
import os
import time

from hypervisor_model.public.places import state_directory

_ATTEMPTS = 10
_PAUSE_S = 0.02  # whoever asks `holder` has the lock for a moment


def pid_path(name: str) -> str:
    """The locked file with the process id of the host `name`. Raises PlaceError for what is no name, as all here."""
    return os.path.join(state_directory(name), "host.pid")


def log_path(name: str) -> str:
    """Where the host writes what goes wrong."""
    return os.path.join(state_directory(name), "host.log")


def checkpoint_path(name: str) -> str:
    """The host's checkpoint."""
    return os.path.join(state_directory(name), "state.sqlite")


def previous_checkpoint_path(name: str) -> str:
    """The checkpoint that was there when the host was last started afresh."""
    return os.path.join(state_directory(name), "previous.sqlite")


def say(text: str) -> None:
    """A line in the log, which is the standard error of the process and of the children it forks."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n"
    os.write(2, line.encode("utf-8", "backslashreplace"))


class Held(Exception):
    """Another process has the lock."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        super().__init__(f"process {pid}" if pid else "another process")


def hold(path: str) -> int:
    """Lock the file at `path` and write this process's id to it; the descriptor to keep. Raises Held, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if attempt == _ATTEMPTS - 1:
                pid = _pid_in(descriptor)
                os.close(descriptor)
                raise Held(pid) from None
            time.sleep(_PAUSE_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(path: str) -> int | None:
    """The id of the process that has the file locked; None if nobody has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _pid_in(descriptor)
    finally:
        os.close(descriptor)


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None

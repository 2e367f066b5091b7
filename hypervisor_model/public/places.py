# SPDX-License-Identifier: GPL-2.0-only
"""Where a model host lives on disk: its socket, state and log, agreed between the host and its clients.

The socket goes into $XDG_RUNTIME_DIR/xm-tmem/, which the system keeps private to the user; without one, into
a private directory (0700) under the state directory $XDG_STATE_HOME/xm-tmem/ (default ~/.local/state).
"""

from __future__ import annotations

import os

DEFAULT_NAME = "default"
MAX_NAME_CHARACTERS = 64
MAX_SOCKET_PATH_BYTES = 107  # sun_path of struct sockaddr_un, less its NUL


class PlaceError(Exception):
    """A name that cannot be a model host's, or a directory that is not private to the user."""


def check_name(name: str) -> str:
    """`name` as that of a model host: letters, digits, `-`, `_` and inner dots. Raises PlaceError."""
    allowed = all(character.isascii() and (character.isalnum() or character in "-_.") for character in name)
    if not allowed or not 0 < len(name) <= MAX_NAME_CHARACTERS or name.startswith((".", "-")):
        raise PlaceError(f"{name!r} cannot be the name of a model host: use letters, digits, - and _")
    return name


def state_directory(name: str) -> str:
    """Where the model host `name` keeps its checkpoint and log; it may not exist yet."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "xm-tmem", check_name(name))


def socket_path(name: str) -> str:
    """The socket of the model host `name`; it may not exist. Raises PlaceError when too long for a socket."""
    check_name(name)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime) and os.path.isdir(runtime):
        path = os.path.join(runtime, "xm-tmem", f"{name}.sock")
    else:
        path = os.path.join(os.path.dirname(state_directory(name)), "run", f"{name}.sock")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise PlaceError(f"{path} is too long for a socket: set XDG_RUNTIME_DIR to a shorter directory")
    return path


def make_private_directory(path: str) -> None:
    """Make `path` (and what leads there) with mode 0700. Raises PlaceError when it is not ours, OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.lstat(path)
    if not os.path.isdir(path) or os.path.islink(path) or status.st_uid != os.geteuid():
        raise PlaceError(f"{path} is not a directory of this user's")
    if status.st_mode & 0o022:
        os.chmod(path, 0o700)

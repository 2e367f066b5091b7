# SPDX-License-Identifier: GPL-2.0-only
"""A model host on this machine, over its Unix socket."""

from __future__ import annotations

# Not `socket`: its enumerations take longer to build than a listing takes to fetch, and nothing of it is needed.
import _socket
import os
from typing import Final

from hypervisor_model.public.places import PlaceError, socket_path
from xm_tmem.backends.transport.stream import StreamTransport
from xm_tmem.errors import BadInput, NotPermitted, Unreachable

TIMEOUT_SECONDS: Final = 30.0


class SocketTransport(StreamTransport):
    """Connects to the model host `name`. Raises BadInput, Unreachable, NotPermitted."""

    def __init__(self, name: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        super().__init__(f"model host {name}")
        try:
            path = socket_path(name)
        except PlaceError as error:
            raise BadInput(str(error)) from error
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_seconds)
            _check_owner(path)
            self._socket.connect(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            start = "xm model start" if name == "default" else f"xm model start --name {name}"
            raise Unreachable(f"no model host {name} is running; start one with: {start}") from error
        except PermissionError as error:
            self._socket.close()
            raise NotPermitted(f"{path} belongs to another user") from error
        except OSError as error:
            self._socket.close()
            raise Unreachable(f"{path}: {error.strerror or error}") from error

    def _receive(self, limit: int) -> bytes:
        return self._socket.recv(limit)

    def _send_all(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _shut(self) -> None:
        self._socket.close()


def _check_owner(path: str) -> None:
    """Raise PermissionError unless the socket is this user's or root's: another's host would see and forge all."""
    if os.stat(path).st_uid not in (os.geteuid(), 0):
        raise PermissionError(path)

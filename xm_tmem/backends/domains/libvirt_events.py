# SPDX-License-Identifier: GPL-2.0-only
"""Domains that start, as a libvirt tells it the moment they do.

libvirt's event loop runs in a thread of its own: an exception raised in its callbacks, such as that of Ctrl-C, would be
printed and lost. Only the flags it sets are looked at by others.
"""

from __future__ import annotations

import threading
from typing import Any

from xm_tmem.errors import Disconnected

_started_loop = False
_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT = 5, 3


class LibvirtEvents:
    """Lifecycle events of the libvirt at `uri`, from now until `close`. Raises libvirtError if it tells none."""

    def __init__(self, libvirt: Any, uri: str) -> None:
        self._libvirt, self._uri = libvirt, uri
        self._happened = threading.Event()
        self._lost = False
        _start_loop(libvirt)
        self._connection = libvirt.openReadOnly(uri)
        try:
            self._registered = self._connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None
            )
        except libvirt.libvirtError:
            self._connection.close()
            raise
        try:
            self._connection.registerCloseCallback(self._closed, None)
            self._connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        except libvirt.libvirtError:
            pass  # a driver without a daemon: there is no connection to be lost

    def wait(self, seconds: float) -> bool:
        """Whether a domain started since the last question, or does within so many seconds. Raises Disconnected."""
        happened = self._happened.wait(seconds)
        self._happened.clear()
        if self._lost or not self._is_alive():
            raise Disconnected(f"{self._uri}: the connection to libvirt is lost")
        return happened

    def _is_alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except self._libvirt.libvirtError:
            return False

    def close(self) -> None:
        """Give the connection back."""
        try:
            self._connection.domainEventDeregisterAny(self._registered)
            self._connection.close()
        except self._libvirt.libvirtError:
            pass  # it is lost

    def _lifecycle(self, connection: Any, domain: Any, event: int, detail: int, context: object) -> None:
        if event == self._libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._happened.set()

    def _closed(self, connection: Any, reason: int, context: object) -> None:
        self._lost = True
        self._happened.set()


def _start_loop(libvirt: Any) -> None:
    """Start libvirt's own event loop; it has to be there before a connection is opened, and there is only one."""
    global _started_loop
    if _started_loop:
        return
    _started_loop = True
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        try:
            while True:
                libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            pass  # nothing is told any more; who looks at intervals still does

    threading.Thread(target=run, name="libvirt events", daemon=True).start()

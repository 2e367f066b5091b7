# SPDX-License-Identifier: GPL-2.0-only
"""Names of this host's domains from xenstore: what xl shows, also of domains that libvirt has never heard of."""

from __future__ import annotations

from xm_tmem.backends.interface import DomainInfo
from xm_tmem.backends.transport import agent
from xm_tmem.ids import DomainId


class XenstoreDirectory:
    """A DomainDirectory. Without a xenstore, or one that answers, it knows nobody."""

    def __init__(
        self,
        sockets: tuple[str, ...] = agent.XENSTORE_SOCKETS,
        devices: tuple[str, ...] = agent.XENSTORE_DEVICES,
    ) -> None:
        self._sockets, self._devices = sockets, devices
        self.problem: str | None = None  # why the last question was not answered

    def domains(self) -> list[DomainInfo]:
        self.problem = None
        try:
            store = agent.Xenstore(self._sockets, self._devices)
            try:
                names = store.names()
            finally:
                store.close()
        except OSError as error:
            self.problem = str(error.strerror or error)
            return []
        return [DomainInfo(DomainId(domid), name=name) for domid, name in sorted(names.items())]

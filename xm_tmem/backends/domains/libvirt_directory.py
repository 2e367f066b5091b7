# SPDX-License-Identifier: GPL-2.0-only
"""Names, uuids, states and sizes of domains from libvirt, any URI of it; the optional extra `xm-tmem[libvirt]`.

libvirt's Xen driver does not know every domain that xl started, so it only adds to what the hypervisor says.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from xm_tmem.backends.interface import DomainInfo
from xm_tmem.ids import DomainId

if TYPE_CHECKING:
    from xm_tmem.backends.domains.libvirt_events import LibvirtEvents

# virDomainState as xl's letters. Running is also what libvirt says of a domain that waits for something to do.
_STATES: Final = MappingProxyType(
    {1: "r-----", 2: "-b----", 3: "--p---", 4: "---s--", 5: "---s--", 6: "----c-", 7: "--p---"}
)


class LibvirtDirectory:
    """A DomainDirectory. Without the module, or a daemon that answers at `uri`, it knows nobody."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.problem: str | None = None  # why the last question was not answered

    def domains(self) -> list[DomainInfo]:
        libvirt = self._module()
        if libvirt is None:
            return []
        try:
            connection = libvirt.openReadOnly(self._uri)
            try:
                active = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
                return sorted((_domain_info(domain) for domain in active), key=lambda info: info.domain_id)
            finally:
                connection.close()
        except libvirt.libvirtError as error:
            self.problem = f"{self._uri}: {error}"
            return []

    def events(self) -> LibvirtEvents | None:
        """Events of domains that start, from now on; None where nobody tells any."""
        libvirt = self._module()
        if libvirt is None:
            return None
        from xm_tmem.backends.domains.libvirt_events import LibvirtEvents

        try:
            return LibvirtEvents(libvirt, self._uri)
        except libvirt.libvirtError as error:
            self.problem = f"{self._uri}: {error}"
            return None

    def _module(self) -> Any:
        """libvirt-python, or None."""
        self.problem = None
        try:
            import libvirt
        except ImportError as error:
            self.problem = f"libvirt-python is not installed ({error})"
            return None
        libvirt.registerErrorHandler(_keep_quiet, None)  # it would print every error to standard error
        return libvirt


def _domain_info(domain: Any) -> DomainInfo:
    """`domain` is a virDomain; libvirt-python has no types."""
    state, max_memory_kb, memory_kb, vcpus, _ = domain.info()
    return DomainInfo(
        DomainId(domain.ID()),
        name=domain.name(),
        uuid=domain.UUIDString(),
        state=_STATES.get(state, "------"),
        memory_kb=memory_kb,
        max_memory_kb=max_memory_kb,
        vcpus=vcpus,
    )


def _keep_quiet(context: object, error: object) -> None:
    """libvirt's error handler: the exception says the same."""

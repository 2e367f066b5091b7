# SPDX-License-Identifier: GPL-2.0-only
"""What the toolstack asks of a hypervisor: one blocking method for each verb, and flags for what is there.

The vocabulary: a *client* is a domain that has used tmem; `None` for a client id means every client. Amounts are
pages unless the name ends in another unit. Methods raise errors of `xm_tmem.errors` and nothing else.

Records are NamedTuples, not dataclasses, which would import `inspect`: this module is on the path of every command.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from xm_tmem.errors import TmemError, TmemOff, Unsupported
from xm_tmem.ids import DomainId, PoolId, SharedUuid
from xm_tmem.named_tuple import NamedTuple


class Capability(enum.Flag):
    """What a hypervisor of this release, reached this way, can be asked."""

    LIST = enum.auto()
    FREEZE = enum.auto()
    DESTROY = enum.auto()
    FLUSH = enum.auto()
    FREEABLE = enum.auto()
    SET_WEIGHT = enum.auto()
    SET_CAP = enum.auto()  # left the ABI in Xen 4.8
    SET_COMPRESS = enum.auto()
    SHARED_AUTH = enum.auto()
    SHARED_AUTH_ALL = enum.auto()  # from 4.9 on Xen always answers ENOMEM
    SAVE = enum.auto()
    RESTORE = enum.auto()


class TmemState(enum.Enum):
    """Whether a host has tmem at all, which LIST does not tell from 4.6 on."""

    ON = "on"
    OFF = "off"  # built, and not switched on at boot
    ABSENT = "absent"  # not built


class HostInfo(NamedTuple):
    """What host this is."""

    connection: str  # the URI as the user would type it
    xen_version: str  # "4.12.4"
    release: str  # "4.12", the key of the release table
    abi: str  # "tmemc", "sysctl", "client_info"
    tmem: TmemState
    command_line: str  # the hypervisor's own
    release_has_tmem: bool = True  # False from 4.13 on: nothing to switch on or to compile in
    options: Mapping[str, str] = MappingProxyType({})  # tmem options found on it: {"tmem": "1"}
    details: Mapping[str, str] = MappingProxyType({})  # anything else worth showing, in reading order
    recorded_at: float | None = None  # of a saved host: when it was so, in seconds since 1970


class DomainInfo(NamedTuple):
    """A domain of the host; None where nobody who could be asked knows."""

    domain_id: DomainId
    name: str | None = None
    uuid: str | None = None  # canonical text
    state: str | None = None  # as xl list prints it: "r-----"
    memory_kb: int | None = None
    max_memory_kb: int | None = None
    vcpus: int | None = None


class ClientInfo(NamedTuple):
    """A client's settings. `cap` is None where the release has none."""

    weight: int
    compress: bool
    frozen: bool
    cap: int | None = None
    migrating: bool = False
    nr_pools: int | None = None


class PoolInfo(NamedTuple):
    """A pool as save and restore see it. For a private pool `uuid` is what the guest gave, or zeros: nobody uses it."""

    pool_id: PoolId
    persistent: bool
    shared: bool
    n_pages: int
    uuid: SharedUuid


class SavedPage(NamedTuple):
    """A persistent page with its handle. `oid` is 192 bits as one integer, word 0 lowest."""

    pool_id: PoolId
    oid: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of a page
    page: bytes


class Invalidation(NamedTuple):
    """The handle of a persistent page that was flushed or replaced after SAVE_BEGIN of a live save."""

    pool_id: PoolId
    oid: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of a page


class Backend(Protocol):
    """A tmem control plane."""

    @property
    def name(self) -> str:
        """The connection as the user would type it: "model:default"."""

    @property
    def capabilities(self) -> Capability: ...

    def close(self) -> None:
        """Give the connection back. Closing twice is harmless."""

    # What is there.
    def host(self) -> HostInfo: ...

    def domains(self) -> list[DomainInfo]:
        """Every domain of the host, by id, whether or not it uses tmem."""

    def list_text(self, client: DomainId | None, *, use_long: bool) -> bytes:
        """The hypervisor's own text, complete, without the terminating NUL. Raises NoSuchDomain, NoClient."""

    def client_info(self, client: DomainId) -> ClientInfo:
        """Raises NoSuchDomain, NoClient."""

    def pools(self, client: DomainId) -> list[PoolInfo]:
        """Raises NoSuchDomain, NoClient."""

    # What changes it.
    def freeze(self, client: DomainId | None) -> None: ...

    def thaw(self, client: DomainId | None) -> None: ...

    def destroy(self, client: DomainId | None) -> None:
        """What Xen calls DESTROY: it thaws, and no page goes away."""

    def set_weight(self, client: DomainId, weight: int) -> None: ...

    def set_cap(self, client: DomainId, cap: int) -> None: ...

    def set_compress(self, client: DomainId, compress: bool) -> None: ...

    def flush(self, size_kb: int) -> int:
        """Take back up to `size_kb` from all clients' ephemeral pages; KiB handed to the host's heap."""

    def freeable_mb(self) -> int: ...

    def shared_auth(self, client: DomainId | None, uuid: SharedUuid, *, allow: bool) -> None: ...

    # Save and restore. The sequence is the caller's business; see operations/migration.
    def save_begin(self, client: DomainId, *, live: bool) -> None: ...

    def save_pages(self, client: DomainId, pool: PoolId) -> Iterator[SavedPage]:
        """Pages of a persistent pool as SAVE_GET_NEXT_PAGE hands them out, with whatever it leaves out.

        Several are asked for at once. One that the hypervisor names and will not copy comes with `page` empty.
        """

    def save_invalidations(self, client: DomainId) -> Iterator[Invalidation]: ...

    def save_end(self, client: DomainId) -> None: ...

    def restore_begin(self, client: DomainId) -> None:
        """Make the client. Raises Failed if it is there already."""

    def restore_pool(self, client: DomainId, pool: PoolInfo) -> None: ...

    def restore_page(self, client: DomainId, page: SavedPage) -> None: ...

    def restore_pages(self, client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        """Put up to a few hundred pages in one round trip: for each the error that kept it out, or None."""

    def restore_invalidation(self, client: DomainId, handle: Invalidation) -> None: ...

    def restore_invalidations(self, client: DomainId, handles: Sequence[Invalidation]) -> None:
        """Flush up to a few thousand pages in one round trip. Raises the first error, with all of them sent."""


def require(backend: Backend, wanted: Capability) -> None:
    """Operations call this before anything is sent; backends need not check again. Raises Unsupported, TmemOff."""
    missing = wanted & ~backend.capabilities
    if not missing:
        return
    if not backend.capabilities:
        raise TmemOff(why_no_tmem(backend.host()))
    verb = (missing.name or str(missing)).lower().replace("_", " ").replace("|", " or ")
    raise Unsupported(f"{backend.name} cannot {verb}{why_missing(missing)}")


def why_no_tmem(host: HostInfo) -> str:
    """What to do about a host whose tmem is not ON."""
    if host.tmem is TmemState.OFF:
        return f"{host.connection}: tmem is off; boot Xen {host.xen_version} with tmem=1 on its command line"
    if host.release_has_tmem:
        return f"{host.connection}: this Xen {host.xen_version} was built without tmem (CONFIG_TMEM)"
    return f"{host.connection}: Xen {host.xen_version} has no tmem; it was removed in Xen 4.13"


def why_missing(missing: Capability) -> str:
    """The history behind a capability that some releases lack, as the end of a sentence."""
    if Capability.SET_CAP in missing:
        return ": caps were retired in Xen 4.8, and no release ever enforced them"
    if Capability.SHARED_AUTH_ALL in missing:
        return ": since Xen 4.9 shared pools can only be authorised one domain at a time"
    return ""

# SPDX-License-Identifier: GPL-2.0-only
"""The Backend made of an ABI and a transport: every hypervisor that answers hypercalls, model or iron.

Nothing is asked before it is needed: the first question identifies the release, the first tmem operation probes for
tmem (together with that operation when it is only a question).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import CLI_ID_ALL, EINVAL, ENODEV, ENOSYS, EPERM
from xm_tmem.backends.abi import abi_of, host
from xm_tmem.backends.abi.control import ControlAbi, checked, invalidation, saved_page
from xm_tmem.backends.abi.releases import NONE, Release, capabilities_of, release_of
from xm_tmem.backends.complete_list import CompleteList
from xm_tmem.backends.domains import DomainDirectory, merged
from xm_tmem.backends.interface import (
    Capability,
    ClientInfo,
    DomainInfo,
    HostInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    TmemState,
    require,
    why_no_tmem,
)
from xm_tmem.backends.transport import Transport
from xm_tmem.backends.truth import Truth
from xm_tmem.errors import BadInput, HypercallError, NoSuchPool, TmemError, TmemOff, Unreachable
from xm_tmem.ids import DomainId, PoolId, SharedUuid
from xm_tmem.units import PAGE_BYTES

MAX_FLUSH_KB = 0xFFFFFFFC
"""More than this wraps to nothing when Xen turns KiB into pages."""
MAX_SETTING = 0x7FFFFFFF
"""Settings are unsigned in the struct; the listing and SAVE_GET_* show them as signed."""
_CUT_PAGES_IN_A_ROW = 2
_MOST_PAGES_AT_ONCE = 64
_OPTION_PREFIXES = ("tmem", "no-tmem")


class HypercallBackend:
    """A Backend (see interface.py). `directories` know names of domains, best first; the transport's comes last."""

    def __init__(self, name: str, transport: Transport, directories: Sequence[DomainDirectory] = ()) -> None:
        self._name = name
        self._transport = transport
        self._directories = directories
        self._identity: tuple[Release, str, str] | None = None  # release, full version, command line
        self._control: ControlAbi | None = None
        self._tmem: TmemState | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def transport(self) -> Transport:
        """What carries the calls, for those who diagnose it."""
        return self._transport

    @property
    def directories(self) -> Sequence[DomainDirectory]:
        """Who is asked for names, besides the transport."""
        return self._directories

    @property
    def release(self) -> Release:
        """The host's row of the table. Raises Unsupported for a release that is not in it."""
        return self._identify()[0]

    @property
    def capabilities(self) -> Capability:
        return capabilities_of(self.release)

    def close(self) -> None:
        self._transport.close()

    # What is there.

    def host(self) -> HostInfo:
        state = self._probe()
        release, version, command_line = self._identify()
        return HostInfo(
            connection=self._name,
            xen_version=version,
            release=release.name,
            abi=release.abi,
            tmem=state,
            command_line=command_line,
            release_has_tmem=release.abi != NONE,
            options=_tmem_options(command_line),
            details=dict(self._transport.details()),
        )

    def domains(self) -> list[DomainInfo]:
        known = self._listed_domains()
        return merged(known, [*(directory.domains for directory in self._directories), self._transport_names])

    def list_text(self, client: DomainId | None, *, use_long: bool) -> bytes:
        fetch = CompleteList(self._abi(), self._ask_only, self._domain_ids)
        with self._truthful(client):
            return (
                fetch.of_all(use_long=use_long)
                if client is None
                else fetch.of_client(client, use_long=use_long)
            )

    def client_info(self, client: DomainId) -> ClientInfo:
        with self._truthful(client):
            return self._abi().read_client(self._ask_only, client)

    def pools(self, client: DomainId) -> list[PoolInfo]:
        with self._truthful(client):
            return self._abi().read_pools(self._ask_only, client)

    def freeable_mb(self) -> int:
        with self._truthful(None):
            return checked("QUERY_FREEABLE_MB", self._ask_only([self._abi().freeable()])[0])

    # What changes it.

    def freeze(self, client: DomainId | None) -> None:
        self._do("FREEZE", self._abi().freeze(_cli_id(client)), client)

    def thaw(self, client: DomainId | None) -> None:
        self._do("THAW", self._abi().thaw(_cli_id(client)), client)

    def destroy(self, client: DomainId | None) -> None:
        self._do("DESTROY", self._abi().destroy(_cli_id(client)), client)

    def set_weight(self, client: DomainId, weight: int) -> None:
        _check_setting("weight", weight)
        with self._truthful(client):
            self._abi().set_weight(self._ask, client, weight)

    def set_cap(self, client: DomainId, cap: int) -> None:
        _check_setting("cap", cap)
        with self._truthful(client):
            self._abi().set_cap(self._ask, client, cap)

    def set_compress(self, client: DomainId, compress: bool) -> None:
        with self._truthful(client):
            self._abi().set_compress(self._ask, client, compress)

    def flush(self, size_kb: int) -> int:
        if not 0 <= size_kb <= MAX_FLUSH_KB:
            raise BadInput(f"{size_kb} KiB cannot be flushed at once: the most is {MAX_FLUSH_KB} KiB")
        return self._do("FLUSH", self._abi().flush(size_kb))

    def shared_auth(self, client: DomainId | None, uuid: SharedUuid, *, allow: bool) -> None:
        if client is None:
            require(self, Capability.SHARED_AUTH_ALL)
        self._do("SHARED_AUTH", self._abi().shared_auth(_cli_id(client), uuid, allow=allow), client)

    # Save and restore.

    def save_begin(self, client: DomainId, *, live: bool) -> None:
        """Raises NoSuchPool when there is nothing to save: then the client has not been frozen either."""
        before = self.pools(client)
        if not before:
            raise NoSuchPool(f"domain {client} has no tmem pools: nothing to save")
        self._do("SAVE_BEGIN", self._abi().save_begin(client, live=live), client)

    def save_pages(self, client: DomainId, pool: PoolId) -> Iterator[SavedPage]:
        """As the hypervisor hands them out: not the first page, and each only once, by this or any earlier save.

        Pages are asked for several at a time; those that are not taken from the iterator are lost.
        """
        first = True
        cut = 0
        at_once = 1
        while True:
            calls = [self._abi().save_next_page(client, pool) for _ in range(at_once)]
            for call, value in zip(calls, self._ask(calls), strict=True):
                if value == -EPERM:
                    if first:
                        self._check_pool(client, pool)
                    return
                first = False
                if value == 0:
                    # QUIRK tmemc_save_get_next_page: of a pool with a single page, the first answer is the list's head
                    # read as a page, which is not found; the second is the page.
                    cut += 1
                    if cut == _CUT_PAGES_IN_A_ROW:
                        return
                    continue
                cut = 0
                if value == -EINVAL:
                    # QUIRK tmem_copy_to_client: a page stored whole is named, and not copied.
                    yield saved_page(call)._replace(page=b"")
                elif value < 0:
                    raise self._truth().error("SAVE_GET_NEXT_PAGE", -value, client, pool)
                else:
                    yield saved_page(call)
            at_once = min(2 * at_once, _MOST_PAGES_AT_ONCE)

    def save_invalidations(self, client: DomainId) -> Iterator[Invalidation]:
        while True:
            call = self._abi().save_next_invalidation(client)
            if self._do("SAVE_GET_NEXT_INV", call, client) == 0:
                return
            yield invalidation(call)

    def save_end(self, client: DomainId) -> None:
        self._do("SAVE_END", self._abi().save_end(client), client)

    def restore_begin(self, client: DomainId) -> None:
        self._do("RESTORE_BEGIN", self._abi().restore_begin(client), client)

    def restore_pool(self, client: DomainId, pool: PoolInfo) -> None:
        for call in self._abi().restore_pools(client, [pool]):
            self._do("RESTORE_POOL", call, client, pool.pool_id)

    def restore_page(self, client: DomainId, page: SavedPage) -> None:
        if len(page.page) != PAGE_BYTES:
            raise BadInput(f"a page has {PAGE_BYTES} bytes, not {len(page.page)}")
        self._do("RESTORE_PUT_PAGE", self._abi().restore_page(client, page), client, page.pool_id)

    def restore_pages(self, client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        for page in pages:
            if len(page.page) != PAGE_BYTES:
                raise BadInput(f"a page has {PAGE_BYTES} bytes, not {len(page.page)}")
        values = self._ask([self._abi().restore_page(client, page) for page in pages])
        return [
            None if value >= 0 else self._truth().error("RESTORE_PUT_PAGE", -value, client, page.pool_id)
            for page, value in zip(pages, values, strict=True)
        ]

    def restore_invalidations(self, client: DomainId, handles: Sequence[Invalidation]) -> None:
        values = self._ask([self._abi().restore_invalidation(client, handle) for handle in handles])
        for handle, value in zip(handles, values, strict=True):
            if value < 0:
                raise self._truth().error("RESTORE_FLUSH_PAGE", -value, client, handle.pool_id)

    def restore_invalidation(self, client: DomainId, handle: Invalidation) -> None:
        call = self._abi().restore_invalidation(client, handle)
        self._do("RESTORE_FLUSH_PAGE", call, client, handle.pool_id)

    # Who answers.

    def _identify(self) -> tuple[Release, str, str]:
        if self._identity is None:
            version, extra, line = host.version(), host.extra_version(), host.command_line()
            value = self._transport.call_many([version, extra, line])[0]
            if value < 0:
                raise Unreachable(f"{self._name}: no hypervisor answers ({-value})")
            release = release_of(value)
            self._identity = (release, release.name + host.text(extra), host.text(line))
        return self._identity

    def _abi(self) -> ControlAbi:
        """Raises TmemOff where the release has no tmem."""
        if self._control is None:
            if self.release.abi == NONE:
                raise self._off()
            self._control = abi_of(self.release)
        return self._control

    def _truth(self) -> Truth:
        return Truth(self._name, self._abi(), self._transport.call_many, self._off)

    def _off(self) -> TmemOff:
        return TmemOff(why_no_tmem(self.host()))

    def _probe(self) -> TmemState:
        if self._tmem is None:
            if self.release.abi == NONE:
                self._tmem = TmemState.ABSENT
            else:
                self._tmem = _state(self._transport.call_many([self._abi().probe()])[0])
        return self._tmem

    # Sending.

    def _ask(self, calls: Sequence[Call]) -> list[int]:
        """Values of calls that may change something. Raises TmemOff before sending them to a host without tmem."""
        if self._probe() is not TmemState.ON:
            raise self._off()
        return self._transport.call_many(calls)

    def _ask_only(self, calls: Sequence[Call]) -> list[int]:
        """Values of calls that change nothing, for which the probe need not be waited for. Raises TmemOff."""
        if self._tmem is not None:
            return self._ask(calls)
        probed, *values = self._transport.call_many([self._abi().probe(), *calls])
        self._tmem = _state(probed)
        if self._tmem is not TmemState.ON:
            raise self._off()
        return values

    def _do(
        self, operation: str, call: Call, client: DomainId | None = None, pool: PoolId | None = None
    ) -> int:
        value = self._ask([call])[0]
        if value < 0:
            raise self._truth().error(operation, -value, client, pool)
        return value

    @contextmanager
    def _truthful(self, client: DomainId | None) -> Iterator[None]:
        """Errnos that leave the ABI as HypercallError become what they mean for `client`."""
        try:
            yield
        except HypercallError as error:
            raise self._truth().error(error.operation, error.errno, client) from error

    # Domains.

    def _listed_domains(self) -> list[DomainInfo]:
        """Every domain, in as many calls as it takes. Raises NotPermitted."""
        domains: list[DomainInfo] = []
        while True:
            first = domains[-1].domain_id + 1 if domains else 0
            call = host.domain_list(self.release, first)
            value = self._transport.call_many([call])[0]
            if value < 0:
                raise self._domain_list_error(-value)
            block = host.listed_domains(self.release, call)
            domains += block
            if len(block) < host.DOMAINS_PER_CALL:
                return domains

    def _domain_list_error(self, errno: int) -> Exception:
        if self.release.abi == NONE:
            return HypercallError("getdomaininfolist", errno)
        return self._truth().error("getdomaininfolist", errno)

    def _domain_ids(self) -> list[DomainId]:
        return [domain.domain_id for domain in self._listed_domains()]

    def _transport_names(self) -> list[DomainInfo]:
        return [
            DomainInfo(DomainId(domid), name=name or None, uuid=uuid or None)
            for domid, name, uuid in self._transport.directory()
        ]

    def _check_pool(self, client: DomainId, pool: PoolId) -> None:
        """Raises NoSuchDomain, NoClient or NoSuchPool unless `pool` is there to be saved."""
        if not any(there.pool_id == pool and there.persistent for there in self.pools(client)):
            raise NoSuchPool(f"domain {client} has no persistent pool {pool}")


def _cli_id(client: DomainId | None) -> int:
    return CLI_ID_ALL if client is None else client


def _state(probed: int) -> TmemState:
    """What the value of a probe says."""
    if probed == -ENODEV:
        return TmemState.OFF
    if probed == -ENOSYS:
        return TmemState.ABSENT
    return TmemState.ON


def _check_setting(what: str, value: int) -> None:
    if not 0 <= value <= MAX_SETTING:
        raise BadInput(f"{value} is no {what}: it is a number from 0 to {MAX_SETTING}")


def _tmem_options(command_line: str) -> dict[str, str]:
    """The hypervisor's options for tmem: {"tmem": "1", "tmem_compress": ""}."""
    words = (word for word in command_line.split() if word.startswith(_OPTION_PREFIXES))
    return {key: value for key, _, value in (word.partition("=") for word in words)}

# SPDX-License-Identifier: GPL-2.0-only
"""A Backend that changes nothing: what `--dry-run` puts in front of the real one.

Questions go through. A change is checked as far as a question can check it (is there such a client?) and kept in
an overlay, so that a verb that reads back what it wrote finds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xm_tmem.backends.interface import (
    Backend,
    Capability,
    ClientInfo,
    DomainInfo,
    HostInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
)
from xm_tmem.errors import TmemError
from xm_tmem.ids import DomainId, PoolId, SharedUuid


class Rehearsal:
    """`backend` with its changes left out. Closing it closes the backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._overlay: dict[DomainId, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def capabilities(self) -> Capability:
        return self._backend.capabilities

    @property
    def directories(self) -> Sequence[object]:
        """Who names the domains, if anybody does."""
        return getattr(self._backend, "directories", ())

    def close(self) -> None:
        self._backend.close()

    def host(self) -> HostInfo:
        return self._backend.host()

    def domains(self) -> list[DomainInfo]:
        return self._backend.domains()

    def list_text(self, client: DomainId | None, *, use_long: bool) -> bytes:
        return self._backend.list_text(client, use_long=use_long)

    def client_info(self, client: DomainId) -> ClientInfo:
        return self._backend.client_info(client)._replace(**self._overlay.get(client, {}))

    def pools(self, client: DomainId) -> list[PoolInfo]:
        return self._backend.pools(client)

    def freeable_mb(self) -> int:
        return self._backend.freeable_mb()

    def _imagine(self, client: DomainId | None, **values: Any) -> None:
        """Keep `values` for `client`, which has to be one. Raises NoSuchDomain, NoClient."""
        if client is not None:
            self._backend.client_info(client)
            self._overlay.setdefault(client, {}).update(values)

    def freeze(self, client: DomainId | None) -> None:
        self._imagine(client, frozen=True)

    def thaw(self, client: DomainId | None) -> None:
        self._imagine(client, frozen=False)

    def destroy(self, client: DomainId | None) -> None:
        self._imagine(client, frozen=False)

    def set_weight(self, client: DomainId, weight: int) -> None:
        self._imagine(client, weight=weight)

    def set_cap(self, client: DomainId, cap: int) -> None:
        self._imagine(client, cap=cap)

    def set_compress(self, client: DomainId, compress: bool) -> None:
        self._imagine(client, compress=compress)

    def flush(self, size_kb: int) -> int:
        """What a flush could give at most."""
        return min(size_kb, self._backend.freeable_mb() * 1024)

    def shared_auth(self, client: DomainId | None, uuid: SharedUuid, *, allow: bool) -> None:
        """Nothing to check: a domain may be authorised before it has used tmem."""

    def save_begin(self, client: DomainId, *, live: bool) -> None:
        self._backend.client_info(client)

    def save_pages(self, client: DomainId, pool: PoolId) -> Iterator[SavedPage]:
        """None: without SAVE_BEGIN a hypervisor hands out no page."""
        return iter(())

    def save_invalidations(self, client: DomainId) -> Iterator[Invalidation]:
        return iter(())

    def save_end(self, client: DomainId) -> None:
        """Nothing was begun."""

    def restore_begin(self, client: DomainId) -> None:
        """Nothing is made."""

    def restore_pool(self, client: DomainId, pool: PoolInfo) -> None:
        """Nothing is made."""

    def restore_page(self, client: DomainId, page: SavedPage) -> None:
        """Nothing is stored."""

    def restore_pages(self, client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        """Nothing is stored, and nothing is in the way."""
        return [None] * len(pages)

    def restore_invalidation(self, client: DomainId, handle: Invalidation) -> None:
        """Nothing is flushed."""

    def restore_invalidations(self, client: DomainId, handles: Sequence[Invalidation]) -> None:
        """Nothing is flushed."""

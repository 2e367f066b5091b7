# SPDX-License-Identifier: GPL-2.0-only
"""A saved listing as a Backend: it lists, and does nothing else.

What is saved is a sequence of frames, each a time and the hypervisor's text as it was then; a text alone is one frame
without a time. A reader of recordings is any iterator of frames; the backend answers from the last one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NoReturn, TypeAlias

from xm_tmem.backends.abi import listed
from xm_tmem.backends.interface import (
    Capability,
    ClientInfo,
    DomainInfo,
    HostInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    TmemState,
)
from xm_tmem.errors import BadInput, BadListing, NoClient, Unsupported
from xm_tmem.ids import FIRST_RESERVED_DOMAIN_ID, DomainId, PoolId, SharedUuid

Frame: TypeAlias = tuple[float | None, bytes]
"""Seconds since the epoch (None: not recorded), and the text of a LIST."""

MAX_TEXT_BYTES = 64 << 20
_LINE_STARTS = (b"G=", b"S=", b"C=", b"P=", b"T")


def open_saved(uri: str, path: str) -> ReplayBackend:
    """The backend of the listing saved in the file `path`. Raises BadInput, BadListing."""
    if not path:
        raise BadInput("replay: what file? write replay:FILE")
    return ReplayBackend(uri, [(None, _read(path))])


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    if len(text) > MAX_TEXT_BYTES:
        raise BadInput(f"{path}: a listing has at most {MAX_TEXT_BYTES >> 20} MiB")
    if not text.startswith(_LINE_STARTS):
        raise BadListing(f"{os.path.basename(path)} is no listing: it begins with {text[:20]!r}")
    return text


class ReplayBackend:
    """Answers from the last of `frames`. Raises BadListing when there is none."""

    def __init__(self, name: str, frames: Iterable[Frame]) -> None:
        self._name = name
        last: Frame | None = None
        for last in frames:  # noqa: B007 - the loop is there for its last value
            pass
        if last is None:
            raise BadListing(f"{name}: nothing was recorded")
        self.time, self._text = last

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capability:
        return Capability.LIST

    def close(self) -> None:
        """There is nothing to give back."""

    def host(self) -> HostInfo:
        return HostInfo(
            connection=self._name, xen_version="", release="", abi="", tmem=TmemState.ON, command_line=""
        )

    def domains(self) -> list[DomainInfo]:
        ids = {client for line in self._text.splitlines() if (client := _client_of(line)) is not None}
        return [DomainInfo(domid) for domid in sorted(ids)]

    def list_text(self, client: DomainId | None, *, use_long: bool) -> bytes:
        """As it was saved, short or long."""
        if client is None:
            return self._text
        lines = self._text.splitlines(keepends=True)
        own = [line for line in lines if line.startswith((b"C=", b"P=")) and _client_of(line) == client]
        if not own:
            raise NoClient(f"{self._name}: the listing has no client {client}")
        return b"".join(own)

    def client_info(self, client: DomainId) -> ClientInfo:
        return listed.client_info(self.list_text(client, use_long=False))

    # What a listing cannot do.

    def _cannot(self, what: str) -> NoReturn:
        raise Unsupported(f"{self._name} cannot {what}: it is a saved listing")

    def pools(self, client: DomainId) -> list[PoolInfo]:
        self._cannot("tell pools")

    def freeze(self, client: DomainId | None) -> None:
        self._cannot("freeze")

    def thaw(self, client: DomainId | None) -> None:
        self._cannot("thaw")

    def destroy(self, client: DomainId | None) -> None:
        self._cannot("destroy")

    def set_weight(self, client: DomainId, weight: int) -> None:
        self._cannot("set a weight")

    def set_cap(self, client: DomainId, cap: int) -> None:
        self._cannot("set a cap")

    def set_compress(self, client: DomainId, compress: bool) -> None:
        self._cannot("switch compression")

    def flush(self, size_kb: int) -> int:
        self._cannot("flush")

    def freeable_mb(self) -> int:
        self._cannot("say what is freeable")

    def shared_auth(self, client: DomainId | None, uuid: SharedUuid, *, allow: bool) -> None:
        self._cannot("authorise shared pools")

    def save_begin(self, client: DomainId, *, live: bool) -> None:
        self._cannot("save")

    def save_pages(self, client: DomainId, pool: PoolId) -> NoReturn:
        self._cannot("save")

    def save_invalidations(self, client: DomainId) -> NoReturn:
        self._cannot("save")

    def save_end(self, client: DomainId) -> None:
        self._cannot("save")

    def restore_begin(self, client: DomainId) -> None:
        self._cannot("restore")

    def restore_pool(self, client: DomainId, pool: PoolInfo) -> None:
        self._cannot("restore")

    def restore_page(self, client: DomainId, page: SavedPage) -> None:
        self._cannot("restore")

    def restore_pages(self, client: DomainId, pages: Sequence[SavedPage]) -> NoReturn:
        self._cannot("restore")

    def restore_invalidation(self, client: DomainId, handle: Invalidation) -> None:
        self._cannot("restore")

    def restore_invalidations(self, client: DomainId, handles: Sequence[Invalidation]) -> None:
        self._cannot("restore")


def _client_of(line: bytes) -> DomainId | None:
    """The client that a `C=CI:n,...` or `P=CI:n,...` line is about."""
    if not line.startswith((b"C=CI:", b"P=CI:")):
        return None
    digits = line[5:].split(b",", 1)[0]
    if not digits.isdigit() or len(digits) > 5 or int(digits) >= FIRST_RESERVED_DOMAIN_ID:
        return None
    return DomainId(int(digits))

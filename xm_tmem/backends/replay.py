# SPDX-License-Identifier: GPL-2.0-only
"""A saved listing or a capture of a recording as a Backend: it lists, and does nothing else.

replay:FILE is a listing's raw text, or the last capture of a recording; replay:FILE@MOMENT the one of that moment.
A text alone is taken to be as old as its file; a capture also tells what host it is of, and its domains.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

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
from xm_tmem.errors import BadInput, NoClient, Unsupported
from xm_tmem.ids import FIRST_RESERVED_DOMAIN_ID, DomainId, PoolId, SharedUuid
from xm_tmem.listing.capture import MAX_TEXT_BYTES, Capture, is_recording, open_to_read
from xm_tmem.listing.moments import choose, split_moment

_LINE_STARTS = (b"G=", b"S=", b"C=", b"P=", b"T")


def open_saved(uri: str, path: str) -> ReplayBackend:
    """The backend of what is saved in the file `path`. Raises BadInput, BadListing."""
    if not path:
        raise BadInput("replay: what file? write replay:FILE")
    path, moment = split_moment(path)
    with open_to_read(path) as file:
        if is_recording(file):
            from xm_tmem.listing.recording import Recording

            with Recording(path) as recording:
                times = [place.timestamp for place in recording.places]
                return ReplayBackend(uri, recording.capture(recording.places[choose(times, moment)]))
        text = file.read(MAX_TEXT_BYTES + 1)
        timestamp = os.fstat(file.fileno()).st_mtime
    if moment:
        raise BadInput(f"{path} is one listing and no recording: it has no moments")
    if len(text) > MAX_TEXT_BYTES:
        raise BadInput(f"{path}: a listing has at most {MAX_TEXT_BYTES >> 20} MiB")
    if not text.startswith(_LINE_STARTS):
        why = f"begins with {text[:20]!r}" if text else "is empty"
        raise BadInput(f"{path} is no listing: it {why}")
    return ReplayBackend(uri, Capture(timestamp, uri, text, {}, ()))


class ReplayBackend:
    """Answers from a capture."""

    def __init__(self, name: str, capture: Capture) -> None:
        self._name, self._capture, self._text = name, capture, capture.text

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capability:
        return Capability.LIST

    def close(self) -> None:
        """There is nothing to give back."""

    def host(self) -> HostInfo:
        """What the host was; of a text alone only that it has tmem."""
        said = self._capture.host
        return HostInfo(
            connection=self._name,
            xen_version=_text(said, "xen_version"),
            release=_text(said, "release"),
            abi=_text(said, "abi"),
            tmem=TmemState.ON,  # or else there would be no listing
            command_line=_text(said, "command_line"),
            options=_texts(said, "options"),
            details=_texts(said, "details"),
            recorded_at=self._capture.timestamp,
        )

    def domains(self) -> list[DomainInfo]:
        """Those that the capture names, and every client of the listing."""
        digits = set(re.findall(b"\n" + _OF_CLIENT, self._text))
        if (first := re.match(_OF_CLIENT, self._text)) is not None:
            digits.add(first[1])
        found = {
            domain_id: DomainInfo(domain_id) for each in digits if (domain_id := _domain_id(each)) is not None
        }
        for said in self._capture.domains:
            if 0 <= said["domain_id"] < FIRST_RESERVED_DOMAIN_ID:
                found[DomainId(said["domain_id"])] = _domain(said)
        return [found[domain_id] for domain_id in sorted(found)]

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
        from xm_tmem.backends.abi import listed  # a listing alone does without

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


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _texts(said: Mapping[str, Any], key: str) -> dict[str, str]:
    value = said.get(key)
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}


def _number(said: Mapping[str, Any], key: str) -> int | None:
    value = said.get(key)
    return value if type(value) is int and value >= 0 else None


def _domain(said: Mapping[str, Any]) -> DomainInfo:
    """A domain as it was recorded, without what is not of the type it should be."""
    return DomainInfo(
        DomainId(said["domain_id"]),
        name=_text(said, "name") or None,
        uuid=_text(said, "uuid") or None,
        state=_text(said, "state") or None,
        memory_kb=_number(said, "memory_kb"),
        max_memory_kb=_number(said, "max_memory_kb"),
        vcpus=_number(said, "vcpus"),
    )


_OF_CLIENT = rb"[CP]=CI:([0-9]{1,5})(?=[,\r\n]|\Z)"
"""How a line about a client begins."""


def _client_of(line: bytes) -> DomainId | None:
    """The client that a `C=CI:n,...` or `P=CI:n,...` line is about."""
    match = re.match(_OF_CLIENT, line)
    return None if match is None else _domain_id(match[1])


def _domain_id(digits: bytes) -> DomainId | None:
    number = int(digits)
    return DomainId(number) if number < FIRST_RESERVED_DOMAIN_ID else None

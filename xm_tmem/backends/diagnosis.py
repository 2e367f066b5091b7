# SPDX-License-Identifier: GPL-2.0-only
"""What a connection is, what works there and what does not, and why: the facts behind `xm doctor`.

Everything is tried for real, but nothing is changed. A fact that fails does not keep the next from being looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from xm_tmem.backends.abi.releases import CLIENT_INFO, RELEASES, Release
from xm_tmem.backends.complete_list import is_whole
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import Backend, Capability, HostInfo, TmemState, why_missing, why_no_tmem
from xm_tmem.errors import TmemError
from xm_tmem.units import PAGES_PER_MB

_GLOBAL_LINE = re.compile(rb"G=(?:.*,)?Ta:(\d+),.*Ec:(\d+)")


class Fact(NamedTuple):
    """One thing that was looked at."""

    check: str
    works: bool | None  # None: neither good nor bad, but worth knowing
    finding: str
    advice: str = ""
    exit_status: int = 0  # of the error met, if one was


def examine(backend: Backend) -> Iterator[Fact]:
    """Facts about `backend`, the most basic first; nothing is asked that cannot be answered after what was found."""
    try:
        host = backend.host()
    except TmemError as error:
        yield _failed("connection", error)
        return
    yield Fact("connection", True, f"{backend.name} answers")
    for key, value in host.details.items():
        yield Fact(key.replace("_", " "), None, value)
    release = RELEASES.get(host.release)
    if release is not None:
        yield Fact(
            "hypervisor", True, f"Xen {host.xen_version}, sysctl interface {release.sysctl_interface:#x}"
        )
    yield _tried("domains", lambda: _domains(backend))
    yield from _directories(backend)
    yield _tmem(host)
    if host.tmem is not TmemState.ON:
        return
    if Capability.FREEABLE in backend.capabilities:
        yield _tried("privilege", lambda: _privilege(backend))
    yield _tried("listing", lambda: _listing(backend, release))
    if Capability.FREEABLE in backend.capabilities and (release is None or release.lists_all):
        yield _tried("freeable", lambda: _freeable(backend))
    for capability in Capability:
        if capability not in backend.capabilities:
            word = (capability.name or "").lower().replace("_", " ")
            yield Fact(word, None, "not here", why_missing(capability).removeprefix(": "))
    if release is not None:
        yield from _oddities(release)


def _failed(check: str, error: TmemError) -> Fact:
    return Fact(check, False, str(error), exit_status=error.exit_status)


def _tried(check: str, look: Callable[[], Fact]) -> Fact:
    try:
        return look()
    except TmemError as error:
        return _failed(check, error)


def _domains(backend: Backend) -> Fact:
    domains = backend.domains()
    nameless = sum(not domain.name for domain in domains)
    if nameless:
        return Fact("domains", None, f"{len(domains)}, {nameless} without a name", "their ids and uuids work")
    return Fact("domains", True, f"{len(domains)}, each with a name")


def _directories(backend: Backend) -> Iterator[Fact]:
    """Where names come from, and why they did not."""
    if not isinstance(backend, HypercallBackend):
        return
    for directory in backend.directories:
        source = type(directory).__name__.removesuffix("Directory").lower()
        found = directory.domains()
        if directory.problem is None:
            yield Fact(f"names from {source}", True, f"{len(found)} domains")
        else:
            yield Fact(f"names from {source}", None, directory.problem)


def _tmem(host: HostInfo) -> Fact:
    if host.tmem is not TmemState.ON:
        return Fact("tmem", False, host.tmem.value, why_no_tmem(host), exit_status=5)
    options = " ".join(f"{key}={value}" if value else key for key, value in host.options.items())
    return Fact("tmem", True, f"on, ABI {host.abi}" + (f" ({options})" if options else ""))


def _privilege(backend: Backend) -> Fact:
    backend.freeable_mb()
    return Fact("privilege", True, "control operations are permitted")


def _listing(backend: Backend, release: Release | None) -> Fact:
    text = backend.list_text(None, use_long=True)
    clients = text.count(b"\nC=") + text.startswith(b"C=")
    size = f"{clients} clients, {len(text)} bytes"
    if release is not None and not release.lists_all:
        return Fact(
            "listing", None, size, f"Xen {release.name} may panic on LIST of all: taken client by client"
        )
    if not is_whole(text):
        return Fact(
            "listing", False, f"{size}, without its first or last line", "put together client by client", 1
        )
    return Fact("listing", True, f"{size}, complete")


def _freeable(backend: Backend) -> Fact:
    """The hypervisor's figure against its own listing: whole frames, so compressed pages make it the smaller one."""
    freeable_mb = backend.freeable_mb()
    found = _GLOBAL_LINE.match(backend.list_text(None, use_long=True))
    if found is None:
        return Fact("freeable", None, f"{freeable_mb} MiB; the listing does not say")
    listed_mb = (int(found[1]) + int(found[2])) // PAGES_PER_MB
    finding = f"{freeable_mb} MiB; idle and ephemeral pages in the listing: {listed_mb} MiB"
    return Fact(
        "freeable", freeable_mb <= listed_mb, finding, exit_status=0 if freeable_mb <= listed_mb else 1
    )


def _oddities(release: Release) -> Iterator[Fact]:
    """What this release does that nobody would expect of it."""
    yield Fact("tmem-destroy", None, "only thaws: no page goes away", "so it does in every release")
    yield Fact("save", None, "the first page of each pool is left out, and a second save finds nothing")
    if release.abi == CLIENT_INFO:
        yield Fact(
            "restore", None, "only pages that compress, of clients with compression on, can be taken back"
        )
    if release.pools_by_sysctl:
        yield Fact("shared pools", None, "each domain has to be authorised before it can share one")

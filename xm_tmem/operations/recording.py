# SPDX-License-Identifier: GPL-2.0-only
"""Captures of a host: made, and kept in a recording (see listing.recording for the file)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xm_tmem.backends.interface import Backend, Capability, DomainInfo, HostInfo, require
from xm_tmem.listing.capture import Capture

_LEFT_OUT = ("connection", "release_has_tmem", "recorded_at")


def capture(backend: Backend, *, now: Callable[[], float] = time.time) -> Capture:
    """The host as it is now: its whole listing, its domains, and what host it is. Raises Unsupported, TmemOff."""
    require(backend, Capability.LIST)
    text = backend.list_text(None, use_long=True)
    timestamp = now()
    host = backend.host()
    return Capture(
        timestamp if host.recorded_at is None else host.recorded_at,
        backend.name,
        text,
        _plain_host(host),
        tuple(_plain_domain(domain) for domain in backend.domains()),
    )


def _plain_host(host: HostInfo) -> dict[str, Any]:
    plain = {name: value for name, value in host._asdict().items() if name not in _LEFT_OUT}
    return {**plain, "tmem": host.tmem.value, "options": dict(host.options), "details": dict(host.details)}


def _plain_domain(domain: DomainInfo) -> dict[str, Any]:
    return {name: value for name, value in domain._asdict().items() if value is not None}

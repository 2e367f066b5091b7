# SPDX-License-Identifier: GPL-2.0-only
"""Freeze, thaw, destroy and flush; a freeze that ends by itself; waiting for a domain to use tmem.

A frozen client's new pages are refused, while gets, flushes and replacing puts go on. Freezing all clients says
nothing about one that comes later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from xm_tmem.backends.interface import Backend, Capability, require
from xm_tmem.errors import BadInput, Failed, NoSuchDomain
from xm_tmem.ids import DomainId
from xm_tmem.operations.interrupts import Endings
from xm_tmem.operations.outcome import Outcome, Target, for_each
from xm_tmem.operations.query import listing
from xm_tmem.operations.resolve import targets

MAX_FLUSH_KB = 0xFFFFFFFC
"""From here on the hypervisor's rounding up to pages wraps around to none (C: tmemc_flush_mem)."""
POLL_SECONDS = 0.2


def freeze(backend: Backend, wanted: Sequence[Target]) -> list[Outcome]:
    """Refuse new pages of each target. Raises Unsupported before anything is sent."""
    require(backend, Capability.FREEZE)

    def freeze_one(target: Target) -> str:
        backend.freeze(target.domain_id)
        return "frozen"

    return for_each(wanted, freeze_one)


def thaw(backend: Backend, wanted: Sequence[Target]) -> list[Outcome]:
    """Take new pages of each target again. Raises Unsupported before anything is sent."""
    require(backend, Capability.FREEZE)

    def thaw_one(target: Target) -> str:
        backend.thaw(target.domain_id)
        return "thawed"

    return for_each(wanted, thaw_one)


def destroy(backend: Backend, wanted: Sequence[Target]) -> list[Outcome]:
    """Send DESTROY, which every release of Xen treats as THAW (C: tmemc_freeze_pools): no page goes away."""
    require(backend, Capability.DESTROY)

    def destroy_one(target: Target) -> str:
        backend.destroy(target.domain_id)
        return "thawed (Xen's DESTROY destroys nothing)"

    return for_each(wanted, destroy_one)


def flush(backend: Backend, size_kb: int) -> int:
    """Take up to `size_kb` back from all clients' ephemeral pages; the KiB freed. Raises BadInput, Unsupported."""
    require(backend, Capability.FLUSH)
    if not 0 < size_kb <= MAX_FLUSH_KB:
        raise BadInput(f"a flush takes between 1 KiB and {MAX_FLUSH_KB} KiB, not {size_kb}")
    return backend.flush(size_kb)


def thawed_now(backend: Backend, wanted: Sequence[Target]) -> list[Target]:
    """Those of `wanted` (every client, where it says so) that are not frozen at present.

    It is these that have to be thawed to undo a freeze of `wanted`.
    """
    clients = [client for client in listing(backend, use_long=False).clients if client.frozen == 0]
    thawed = {DomainId(client.cli_id) for client in clients}
    if any(target.domain_id is None and target.error is None for target in wanted):
        return [Target(f"domain {client}", client) for client in sorted(thawed)]
    return [target for target in wanted if target.domain_id in thawed]


@contextmanager
def frozen_meanwhile(backend: Backend, wanted: Sequence[Target]) -> Iterator[list[Outcome]]:
    """Inside, `wanted` are frozen; after it, those that were not frozen before are thawed, whatever happened.

    Raises Failed, naming them, when some could not be thawed. A domain that has gone meanwhile needs nothing.
    """
    before = thawed_now(backend, wanted)
    with Endings() as endings:
        try:
            try:
                yield freeze(backend, wanted)
            finally:
                endings.wait()
        finally:
            endings.wait()
            outcomes = thaw(backend, before)
            stuck = [o for o in outcomes if o.error is not None and not isinstance(o.error, NoSuchDomain)]
            if stuck:
                names = ", ".join(outcome.target.label for outcome in stuck)
                raise Failed(f"still frozen: {names} ({stuck[0].error}); thaw with `xm tmem-thaw`")


def wait_for_clients(
    backend: Backend,
    texts: Sequence[str],
    timeout_s: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Target]:
    """The targets for `texts`, once each exists and has used tmem, or as they are after `timeout_s`.

    A domain has no tmem client before its guest's first call, so one just started cannot be frozen yet.
    """
    end = now() + timeout_s
    while True:
        found = targets(backend, texts)
        clients = {client.cli_id for client in listing(backend, use_long=False).clients}
        missing = [target for target in found if isinstance(target.error, NoSuchDomain)]
        idle = [target for target in found if target.error is None and target.domain_id not in clients]
        if not (missing or idle) or now() >= end:
            return found
        sleep(min(POLL_SECONDS, max(0.0, end - now())))

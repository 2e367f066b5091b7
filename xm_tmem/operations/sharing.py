# SPDX-License-Identifier: GPL-2.0-only
"""Which domains may join a shared pool. The pool's uuid is the only key there is: treat it as a secret."""

from __future__ import annotations

from collections.abc import Sequence

from xm_tmem.backends.interface import Backend, Capability, require
from xm_tmem.ids import SharedUuid
from xm_tmem.operations.outcome import Outcome, Target, for_each


def authorise(backend: Backend, targets: Sequence[Target], uuid: SharedUuid, *, allow: bool) -> list[Outcome]:
    """Allow or deny each target the shared pool `uuid`. Raises Unsupported before anything is sent.

    Every client at once is what Xen could do until 4.8 and has answered ENOMEM to since.
    """
    require(backend, Capability.SHARED_AUTH)
    if any(target.domain_id is None and target.error is None for target in targets):
        require(backend, Capability.SHARED_AUTH_ALL)

    def authorise_one(target: Target) -> str:
        backend.shared_auth(target.domain_id, uuid, allow=allow)
        return "allowed" if allow else "denied"

    return for_each(targets, authorise_one)

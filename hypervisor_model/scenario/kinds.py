# SPDX-License-Identifier: GPL-2.0-only
"""The guest kinds a scenario may name; docs/design/guest-drivers.md says how to add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypervisor_model.guests import keys, kinds
from hypervisor_model.scenario import direct
from hypervisor_model.scenario.driver import GuestKind

_WORKLOAD_LIMITS: Final = ("builds", "transactions", "accesses", "passes", "seconds")


def _linux_is_endless(spec: Mapping[str, Any]) -> bool:
    return any(
        workload.get(limit, 1) is None for workload in kinds.workloads_of(spec) for limit in _WORKLOAD_LIMITS
    )


DEFAULT_KIND: Final = "direct"

GUEST_KINDS: Final[Mapping[str, GuestKind]] = {
    "direct": GuestKind(
        summary="No kernel: a seeded stream of puts, gets and flushes on pools of its own.",
        properties=direct.PROPERTIES,
        make=direct.make,
        complaint=direct.complaint,
        endless=direct.endless,
    ),
    "linux": GuestKind(
        summary="A guest kernel's memory under a workload: page cache, swap, cleancache, frontswap, balloon.",
        properties=keys.LINUX,
        make=kinds.make_linux,
        complaint=kinds.linux_complaint,
        endless=_linux_is_endless,
    ),
    "recorded": GuestKind(
        summary="What a real Linux guest asked of tmem, from a recording.",
        properties=keys.RECORDED,
        make=kinds.make_recorded,
        required=("file",),
        complaint=kinds.recorded_complaint,
    ),
}

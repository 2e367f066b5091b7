# SPDX-License-Identifier: GPL-2.0-only
"""A guest's tmem settings at boot: those an operator would make as soon as the domain has a tmem client.

They are set without a hypercall, so that the host's counters begin with the guests' own operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypervisor_model.public.tmem import TMEMC_SET_CAP, TMEMC_SET_COMPRESS, TMEMC_SET_WEIGHT
from hypervisor_model.tmem import control
from hypervisor_model.tmem.client import client_create

if TYPE_CHECKING:
    from hypervisor_model.hypervisor import Hypervisor
    from hypervisor_model.scenario.load import GuestSpec


def apply_settings(hypervisor: Hypervisor, spec: GuestSpec) -> None:
    """Weight, cap, compression and frozen state of a domain that exists; nothing on a host without tmem.

    A guest that has not used tmem yet gets its client now, if there is something to set.
    """
    tmem, domid = hypervisor.tmem, spec.domain_id
    wanted = {TMEMC_SET_WEIGHT: spec.weight, TMEMC_SET_CAP: spec.cap}
    settings = {subop: value for subop, value in wanted.items() if value}
    if spec.compress is not None:
        settings[TMEMC_SET_COMPRESS] = int(spec.compress)
    if not tmem.initialized or not (settings or spec.frozen):
        return
    if control.client_named(tmem, domid) is None:
        client_create(tmem, hypervisor.domain(domid).domain)
    for subop, value in settings.items():
        control.set_var(tmem, domid, subop, value)
    if spec.frozen:
        control.freeze(tmem, domid, frozen=True)

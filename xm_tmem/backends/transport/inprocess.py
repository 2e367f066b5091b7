# SPDX-License-Identifier: GPL-2.0-only
"""A hypervisor that lives in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hypervisor_model.public.wire import Call
from xm_tmem.backends.transport import Transport

if TYPE_CHECKING:
    from hypervisor_model.hypervisor import Hypervisor

_ADDRESS = 0x10000
"""Where the caller's buffer lies in the memory that the model is shown; it has only one."""
_CONTROL_DOMAIN = 0


class InProcessTransport(Transport):
    """Calls `hypervisor` as domain 0; `names` are those of its domains."""

    def __init__(self, hypervisor: Hypervisor, names: Mapping[int, str] | None = None) -> None:
        self._hypervisor = hypervisor
        self._names = names or {}

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        return [self._call(call) for call in calls]

    def _call(self, call: Call) -> int:
        memory = {} if call.buffer is None else {_ADDRESS: call.buffer}
        argument = call.argument if call.buffer is None else call.argument_pointing_to(_ADDRESS)
        return self._hypervisor.hypercall(_CONTROL_DOMAIN, call.number, argument, memory)

    def directory(self) -> list[tuple[int, str, str]]:
        return [(domid, name, "") for domid, name in sorted(self._names.items())]

    def details(self) -> Mapping[str, str]:
        from hypervisor_model import build

        quirks = self._hypervisor.quirks
        return {"transport": "a model in this process", "build": build.name(), "quirks": quirks}

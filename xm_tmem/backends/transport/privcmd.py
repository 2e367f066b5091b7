# SPDX-License-Identifier: GPL-2.0-only
"""This host's Xen, through its privcmd device. The device itself is in agent.py, which remote hosts run too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypervisor_model.public.wire import Call
from xm_tmem.backends.transport import Transport, agent, error_of


class PrivcmdTransport(Transport):
    """Raises NotPermitted (not root) and Unreachable (no Xen, no module) when made."""

    def __init__(self) -> None:
        try:
            self._privcmd = agent.Privcmd()
        except agent.AgentError as error:
            raise error_of(error.code, error.text) from error

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        try:
            return [
                self._privcmd.call(call.number, call.argument, call.handle_offset, call.buffer)
                for call in calls
            ]
        except agent.AgentError as error:
            raise error_of(error.code, error.text) from error

    def details(self) -> Mapping[str, str]:
        return {
            "transport": "privcmd",
            "hypervisor": f"{agent.hypervisor_type()} {agent.hypervisor_version()}",
        }

    def close(self) -> None:
        self._privcmd.close()

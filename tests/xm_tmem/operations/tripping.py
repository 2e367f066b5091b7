# SPDX-License-Identifier: GPL-2.0-only
"""A backend that notes what is asked of it and fails where it is told to: for what must hold when a step fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from hypervisor_model.hypervisor import Hypervisor
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import Backend
from xm_tmem.backends.transport.inprocess import InProcessTransport

CHANGING = ("freeze", "thaw", "destroy", "flush", "set_weight", "set_cap", "set_compress", "shared_auth")


class Tripping:
    """`backend` with `calls`, the names of the methods called; `trip[name]()` is called instead of that method."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.calls: list[str] = []
        self.trip: dict[str, Callable[..., object]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            return self.trip.get(name, value)(*arguments, **named)

        return call

    @property
    def changes(self) -> list[str]:
        """The calls that change a host, in order."""
        return [name for name in self.calls if name in CHANGING]

    @property
    def typed(self) -> Backend:
        """This, to be handed to operations."""
        return cast("Backend", self)


def raises(error: BaseException) -> Callable[..., object]:
    """Something to call that raises `error`."""

    def trip(*_: object, **__: object) -> object:
        raise error

    return trip


def model(release: str = "4.3", clients: int = 3) -> tuple[Hypervisor, Tripping]:
    """A host whose domains 1, 2, ... have used tmem, and the control plane's way to it."""
    hv = Hypervisor(release=release, frames=2048, command_line="tmem=1", exact=False)
    hv.create_domain(0)
    names = {0: "Domain-0"}
    for domid in range(1, clients + 1):
        names[domid] = f"guest{domid}"
        guest = hv.create_domain(domid, name=names[domid])
        pool = guest.new_pool()
        for index in range(100):
            guest.put(pool, 1, index, bytes([index]) * 4096)
    return hv, Tripping(HypercallBackend("model:test", InProcessTransport(hv, names)))


def frozen(hv: Hypervisor) -> list[int]:
    """The clients that are frozen."""
    lines = [line for line in hv.list_text().split("\n") if line.startswith("C=")]
    return [int(line.split("CI:")[1].split(",")[0]) for line in lines if "fr:1" in line]

# SPDX-License-Identifier: GPL-2.0-only
"""Weight, cap and compression of clients, changed one by one and each by itself.

From 4.8 on Xen sets weight and flags in one struct; xl sent zeros for what it did not mean to change, and with
`-a` for every client. Here each client is read first and only what differs is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from xm_tmem.backends.interface import Backend, Capability, ClientInfo, require
from xm_tmem.errors import BadInput, Failed
from xm_tmem.ids import DomainId
from xm_tmem.operations.outcome import Outcome, Target, for_each

MAX_SETTING = 0x7FFFFFFF
"""The hypervisor keeps weight and cap in a C int."""


class Wanted:
    """The settings asked for; None leaves one as it is."""

    __slots__ = ("cap", "compress", "weight")

    def __init__(
        self, weight: int | None = None, cap: int | None = None, compress: bool | None = None
    ) -> None:
        for name, value in (("weight", weight), ("cap", cap)):
            if value is not None and not 0 <= value <= MAX_SETTING:
                raise BadInput(f"{value} is no {name}: it goes from 0 to {MAX_SETTING}")
        self.weight, self.cap, self.compress = weight, cap, compress

    @property
    def capabilities(self) -> Capability:
        """What a hypervisor must be able to do for this."""
        needed = Capability(0)
        if self.weight is not None:
            needed |= Capability.SET_WEIGHT
        if self.cap is not None:
            needed |= Capability.SET_CAP
        if self.compress is not None:
            needed |= Capability.SET_COMPRESS
        return needed


class Change:
    """One setting of one client that differs from what is wanted."""

    __slots__ = ("after", "before", "setting")

    def __init__(self, setting: str, before: int | bool | None, after: int | bool) -> None:
        self.setting, self.before, self.after = setting, before, after

    def __str__(self) -> str:
        return f"{self.setting} {_word(self.before)} -> {_word(self.after)}"


def _word(value: int | bool | None) -> str:
    return (
        {True: "on", False: "off", None: "?"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )


def differences(info: ClientInfo, wanted: Wanted) -> list[Change]:
    """What has to change in a client with `info` for it to be as `wanted`."""
    changes = []
    if wanted.weight is not None and wanted.weight != info.weight:
        changes.append(Change("weight", info.weight, wanted.weight))
    if wanted.cap is not None and wanted.cap != info.cap:
        changes.append(Change("cap", info.cap, wanted.cap))
    if wanted.compress is not None and wanted.compress != info.compress:
        changes.append(Change("compress", info.compress, wanted.compress))
    return changes


def change(backend: Backend, targets: Sequence[Target], wanted: Wanted) -> list[Outcome]:
    """Give each target the `wanted` settings. Raises Unsupported before anything is sent."""
    require(backend, wanted.capabilities)

    def change_one(target: Target) -> str:
        assert target.domain_id is not None, "settings are changed client by client"
        changes = differences(backend.client_info(target.domain_id), wanted)
        make(backend, target.domain_id, changes)
        return ", ".join(map(str, changes))

    return for_each(targets, change_one)


def make(backend: Backend, client: DomainId, changes: Sequence[Change]) -> None:
    """Send `changes`. Raises Failed when the hypervisor accepted compression and then left it as it was."""
    for item in changes:
        if item.setting == "weight":
            backend.set_weight(client, int(item.after))
        elif item.setting == "cap":
            backend.set_cap(client, int(item.after))
        else:
            backend.set_compress(client, bool(item.after))
            # QUIRK tmemc_set_var: the refusal of tmemc_set_var_one (deduplication is on) is dropped, and 0 returned.
            if backend.client_info(client).compress != item.after:
                raise Failed("compression stays as it is: the host was booted with tmem_dedup")

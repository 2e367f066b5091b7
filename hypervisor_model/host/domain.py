# SPDX-License-Identifier: GPL-2.0-only
"""A domain, as far as tmem and the page heap look at it (C: struct domain)."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from hypervisor_model.host.guest_memory import GuestMemory


@mypyc_attr(allow_interpreted_subclasses=True)
class Domain:
    """`tot_pages` is what it owns, `max_pages` what it may own; both include tmem's persistent pages."""

    __slots__ = (
        "domid",
        "dying",
        "max_pages",
        "memory",
        "name",
        "own_pages",
        "privileged",
        "tmem",
        "tot_pages",
    )

    def __init__(
        self,
        domid: int,
        *,
        name: str | None,
        max_pages: int,
        tot_pages: int,
        memory: GuestMemory,
        privileged: bool,
    ) -> None:
        self.domid = domid
        self.name = name
        self.max_pages = max_pages
        self.tot_pages = tot_pages
        self.own_pages = tot_pages  # of them, those that are not tmem's
        self.memory = memory
        self.privileged = privileged
        self.dying = False
        self.tmem: object = None  # the tmem client, made on first use

# SPDX-License-Identifier: GPL-2.0-only
"""Which domains `[-a|DOMAIN...]` means, for the commands that change some."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.operations.lifecycle import wait_for_clients
from xm_tmem.operations.outcome import Target, everyone
from xm_tmem.operations.query import client_targets
from xm_tmem.operations.resolve import targets

Choice = Callable[[Backend], list[Target]]


def choice(
    all_domains: bool, domains: Sequence[str], *, one_by_one: bool = False, wait_s: float | None = None
) -> Choice:
    """How the targets of `[-a|DOMAIN...]` are found on a host. Raises UsageError unless exactly one is given.

    `one_by_one`: -a stands for every client by itself, not for the hypervisor's "all".
    """
    context = click.get_current_context()
    if all_domains and domains:
        raise click.UsageError("give domains or -a, not both", context)
    if not all_domains and not domains:
        raise click.UsageError("name a domain, or -a for all", context)
    if all_domains:
        return client_targets if one_by_one else lambda backend: [everyone()]
    if wait_s is not None:
        return lambda backend: wait_for_clients(backend, domains, wait_s)
    return lambda backend: targets(backend, domains)

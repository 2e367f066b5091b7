# SPDX-License-Identifier: GPL-2.0-only
"""A domain's tmem client (C: struct client, "CLIENT MANIPULATION OPERATIONS")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from hypervisor_model.host.domain import Domain
from hypervisor_model.public.tmem import MAX_GLOBAL_SHARED_POOLS, MAX_POOLS_PER_DOMAIN
from hypervisor_model.tmem.memory import persistent_pool
from hypervisor_model.tmem.page import Invalidated, Pgp, empty_list

if TYPE_CHECKING:
    from hypervisor_model.tmem.pool import Pool
    from hypervisor_model.tmem.state import Tmem

NO_UUID: Final = ((1 << 64) - 1, (1 << 64) - 1)
"""The uuid that stands for none; a free slot of the authorised ones."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Client:
    """Settings, counters and pools of one domain. `cap` is stored and printed, and nothing ever looked at it."""

    __slots__ = (
        "cap",
        "cli_id",
        "compress",
        "compress_nomem",
        "compress_poor",
        "compressed_pages",
        "compressed_sum_size",
        "cur_inv",
        "domain",
        "eph_count",
        "eph_count_max",
        "ephemeral_head",
        "forgotten_pgps",
        "frozen",
        "invalidated",
        "live_migrating",
        "nr_pools",
        "other_eph_gets",
        "persistent_pool",
        "pools",
        "saving",
        "shared_auth_required",
        "shared_auth_uuids",
        "succ_pers_gets",
        "succ_pers_puts",
        "total_cycles",
        "was_frozen",
        "weight",
    )

    def __init__(self, tmem: Tmem, domain: Domain) -> None:
        self.domain = domain
        self.cli_id = domain.domid
        self.pools: list[Pool | None] = [None] * MAX_POOLS_PER_DOMAIN
        self.persistent_pool = persistent_pool(tmem, domain)
        self.ephemeral_head = empty_list()
        self.eph_count = self.eph_count_max = 0
        self.weight = 0
        self.cap = 0
        self.compress = tmem.options.compress
        self.frozen = False
        self.shared_auth_required = tmem.options.shared_auth or tmem.release.client_info_abi
        self.shared_auth_uuids = [NO_UUID] * MAX_GLOBAL_SHARED_POOLS
        self.nr_pools = 0  # as 4.12 counts them
        # Save, restore, migration.
        self.saving = False
        self.live_migrating = False
        self.was_frozen = False
        self.invalidated: list[Invalidated] = []
        self.forgotten_pgps: list[Pgp] = []  # descriptors that 4.12 lost during a live save
        self.cur_inv = -1  # position in `invalidated` of the handle last given; -1: none
        # Statistics.
        self.compress_poor = self.compress_nomem = 0
        self.compressed_pages = self.compressed_sum_size = 0
        self.total_cycles = 0
        self.succ_pers_puts = self.succ_pers_gets = 0
        self.other_eph_gets = 0  # of Ge, those from shared pools and from pools that are gone

    @property
    def succ_eph_gets(self) -> int:
        """Gets that found a page in an ephemeral pool: Ge."""
        return self.other_eph_gets + sum(
            pool.found_gets for pool in self.pools if pool is not None and pool.private_ephemeral
        )


def client_create(tmem: Tmem, domain: Domain | None) -> Client | None:
    """The client of `domain`, made; None if there is no such domain or it is dying (C: client_create).

    QUIRK client_create: in 4.12 a dying domain gets a client that nothing points to; here it gets none.
    """
    if domain is None or domain.dying:
        return None
    client = Client(tmem, domain)
    domain.tmem = client
    tmem.clients.append(client)
    return client


def client_of(domain: Domain | None) -> Client | None:
    """The tmem client of a domain, if it has one (C: tmh_client_from_cli_id)."""
    if domain is None:
        return None
    client = domain.tmem
    return client if isinstance(client, Client) else None

# SPDX-License-Identifier: GPL-2.0-only
"""A guest's pool of pages (C: struct tm_pool)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from hypervisor_model.lib.tlsf import Block
from hypervisor_model.tmem.page import Pgp, empty_list

if TYPE_CHECKING:
    from hypervisor_model.lib.tlsf import TlsfPool
    from hypervisor_model.tmem.client import Client
    from hypervisor_model.tmem.obj import Obj, Oid
    from hypervisor_model.tmem.state import Tmem


@mypyc_attr(allow_interpreted_subclasses=True)
class Sharer(Block):
    """A client that uses a shared pool (C: struct share_list)."""

    __slots__ = ("client",)

    def __init__(self, client: Client) -> None:
        self.client = client


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool:
    """Counters count pages or calls since the pool was made; a _max is a high-water mark.

    `pool_id` is the slot in the *owner's* table; a sharer has the pool in a slot of its own.
    """

    __slots__ = (
        "client",
        "cur_pgp",
        "dup_puts_flushed",
        "dup_puts_replaced",
        "failed_puts",
        "flush_objs_found",
        "flush_objs_missed",
        "flushs_found",
        "flushs_missed",
        "found_gets",
        "good_puts",
        "is_dying",
        "mempool",
        "missed_gets",
        "no_mem_puts",
        "obj_count",
        "obj_count_max",
        "objnode_count",
        "objnode_count_max",
        "objs",
        "persistent",
        "persistent_head",
        "pgp_count",
        "pgp_count_max",
        "pool_id",
        "private_ephemeral",
        "shared",
        "sharers",
        "tmem",
        "uuid",
    )

    def __init__(
        self,
        tmem: Tmem,
        client: Client,
        pool_id: int,
        *,
        persistent: bool,
        shared: bool,
        uuid: tuple[int, int],
    ) -> None:
        self.tmem = tmem
        self.client = client
        self.pool_id = pool_id
        self.persistent = persistent
        self.shared = shared
        self.private_ephemeral = not persistent and not shared
        self.uuid = uuid
        self.mempool: TlsfPool = client.persistent_pool if persistent else tmem.mempool
        self.is_dying = False
        self.objs: dict[Oid, Obj] = {}
        self.sharers: list[Sharer] = []
        self.persistent_head = empty_list()
        self.cur_pgp: Pgp | None = None  # the page last handed out by SAVE_GET_NEXT_PAGE
        self.pgp_count = self.pgp_count_max = 0
        self.obj_count = self.obj_count_max = 0
        self.objnode_count = self.objnode_count_max = 0
        self.good_puts = self.failed_puts = self.no_mem_puts = 0
        self.dup_puts_flushed = self.dup_puts_replaced = 0
        self.found_gets = self.missed_gets = 0
        self.flushs_found = self.flushs_missed = 0
        self.flush_objs_found = self.flush_objs_missed = 0

    @property
    def puts(self) -> int:
        """All that were tried."""
        return self.good_puts + self.failed_puts

    @property
    def gets(self) -> int:
        """All that were tried, except on an empty pool."""
        return self.found_gets + self.missed_gets

    @property
    def flushs(self) -> int:
        """Flushes of a page, found or not."""
        return self.flushs_found + self.flushs_missed

    @property
    def flush_objs(self) -> int:
        """Flushes of an object, found or not."""
        return self.flush_objs_found + self.flush_objs_missed

    @property
    def operations(self) -> int:
        """All on pages and objects, except gets on an empty pool."""
        return self.puts + self.gets + self.flushs + self.flush_objs

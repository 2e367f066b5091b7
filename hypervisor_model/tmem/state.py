# SPDX-License-Identifier: GPL-2.0-only
"""All of tmem in one hypervisor: its counters, lists and what the operation under way holds.

Models    the file-scope variables of tmem.c (4.12: tmem_stats and tmem_global). Nothing of this model lives at
          module level, so that two hypervisors in one process never meet.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from hypervisor_model.host.compress import Codec
from hypervisor_model.host.domain import Domain
from hypervisor_model.host.heap import PAGES_PER_MB, Heap
from hypervisor_model.host.options import BootOptions
from hypervisor_model.lib.tlsf import MAX_ALLOC_BYTES, units_of
from hypervisor_model.public.tmem import MAX_GLOBAL_SHARED_POOLS
from hypervisor_model.releases import Release
from hypervisor_model.tmem.client import Client
from hypervisor_model.tmem.content import NO_TREE, Contents
from hypervisor_model.tmem.cycles import CycleCounters
from hypervisor_model.tmem.memory import ephemeral_pool
from hypervisor_model.tmem.obj import Obj
from hypervisor_model.tmem.page import Pgp, empty_list
from hypervisor_model.tmem.pool import Pool


@mypyc_attr(allow_interpreted_subclasses=True)
class Tmem:
    """Counters count since boot; a _max is a high-water mark. Their tags in a listing are beside them."""

    __slots__ = (
        "alloc_failed",
        "alloc_page_failed",
        "client_weight_total",
        "clients",
        "codec",
        "contents",
        "current",
        "cycles",
        "dedup",
        "deduped_puts",
        "documented",
        "domains",
        "eph_count_max",
        "ephemeral_head",
        "errored_tmem_ops",
        "evict_attempts",
        "evicted_pgs",
        "exact",
        "failed_copies",
        "freeze_key",
        "global_shared_auth",
        "heap",
        "held_obj",
        "held_pool",
        "held_tree",
        "in_flight",
        "initialized",
        "lists_mixed",
        "lost_pools",
        "low_on_memory",
        "max_alloc_bytes",
        "max_evicts_per_relinq",
        "mempool",
        "obj_count",
        "obj_count_max",
        "options",
        "other_ops",
        "page_bytes",
        "page_count_max",
        "past_good_eph_puts",
        "pcd_count",
        "pcd_count_max",
        "pcd_tot_csize",
        "pcd_tot_tze_size",
        "persistent_frames",
        "persistent_pgps",
        "pgp_count",
        "pgp_count_max",
        "pgp_units",
        "release",
        "relinq_attempts",
        "relinq_pgs",
        "rtree_node_count",
        "rtree_node_count_max",
        "scarce_below",
        "shared_pools",
        "spare_pgps",
        "strict_privilege",
        "total_flush_pool",
    )

    def __init__(
        self,
        release: Release,
        options: BootOptions,
        heap: Heap,
        domains: dict[int, Domain],
        codec: Codec,
        *,
        page_bytes: int,
        exact: bool,
        documented: bool,
        strict_privilege: bool,
        cycles: CycleCounters,
    ) -> None:
        self.release = release
        self.pgp_units = units_of(release.pgp_bytes)
        self.options = options
        self.heap = heap
        self.scarce_below = heap.midsize + PAGES_PER_MB  # above it memory can't be short
        self.domains = domains
        self.codec = codec
        self.exact = exact
        self.documented = documented
        self.strict_privilege = strict_privilege
        self.cycles = cycles
        self.page_bytes = page_bytes  # 0: pages are tokens of any length
        self.initialized = options.tmem
        self.dedup = options.dedup
        self.max_alloc_bytes = MAX_ALLOC_BYTES
        if documented:
            self.max_alloc_bytes = 4033  # beyond it TLSF rounds up to more than a page has
        self.mempool = ephemeral_pool(self)
        self.contents = Contents(as_trees=options.dedup and options.tze and not documented)
        # What the operation under way holds, and who asked for it (C: locks, current).
        self.current: Domain | None = None
        self.held_obj: Obj | None = None
        self.held_pool: Pool | None = None
        self.held_tree = NO_TREE
        self.in_flight = 0  # ephemeral pages counted in `pgp_count` and on no list yet
        # Clients and pools.
        self.clients: list[Client] = []
        self.shared_pools: list[Pool | None] = [None] * MAX_GLOBAL_SHARED_POOLS
        self.global_shared_auth = False
        self.client_weight_total = 0
        self.spare_pgps: list[Pgp] = []  # freed descriptors, for the next puts: making one costs more
        self.freeze_key = False
        self.lost_pools: list[Pool] = []  # destroyed during a live save, hence unreachable and never freed
        self.ephemeral_head = empty_list()
        self.lists_mixed = False  # may a client's list have pages of pools that are not its own?
        # Statistics.
        self.other_ops = 0  # of Tt, those that no pool counts, or that were counted by pools that are gone
        self.errored_tmem_ops = 0  # Te
        self.failed_copies = 0  # Cf
        self.alloc_failed = 0  # Af
        self.alloc_page_failed = 0  # Pf
        self.low_on_memory = 0  # Lm
        self.evicted_pgs = 0  # Et
        self.evict_attempts = 0  # Ea
        self.relinq_pgs = 0  # Rt
        self.relinq_attempts = 0  # Ra
        self.max_evicts_per_relinq = 0  # Rx
        self.total_flush_pool = 0  # Fp
        self.eph_count_max = 0  # Em
        self.obj_count = self.obj_count_max = 0  # Oc, Om
        self.rtree_node_count = self.rtree_node_count_max = 0  # Nc, Nm
        self.pgp_count = self.pgp_count_max = 0  # Pc, Pm
        self.page_count_max = 0  # Fm
        self.pcd_count = self.pcd_count_max = 0  # Sc, Sm
        self.past_good_eph_puts = 0  # of Ep, those into pools that are gone
        self.persistent_pgps = 0  # of Pc
        self.persistent_frames = 0  # of Fc
        self.deduped_puts = 0  # Gd
        self.pcd_tot_tze_size = 0  # Zt, bytes
        self.pcd_tot_csize = 0  # Gz, bytes

    @property
    def eph_count(self) -> int:
        """Pages on the global list: Ec."""
        return self.pgp_count - self.persistent_pgps - self.in_flight

    @property
    def page_count(self) -> int:
        """Page frames that hold data: Fc."""
        return self.heap.data_pages + self.persistent_frames

    def _pools(self) -> list[Pool]:
        """Every pool that a client has, once."""
        pools = {id(pool): pool for client in self.clients for pool in client.pools if pool is not None}
        return list(pools.values())

    @property
    def total_tmem_ops(self) -> int:
        """Operations of guests: Tt. (Pools count theirs already, so none is counted twice on its way.)"""
        return self.other_ops + sum(pool.operations for pool in self._pools())

    @property
    def tot_good_eph_puts(self) -> int:
        """Puts of new pages into ephemeral pools: Ep."""
        return self.past_good_eph_puts + sum(
            pool.good_puts - pool.dup_puts_replaced for pool in self._pools() if not pool.persistent
        )

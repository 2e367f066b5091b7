# SPDX-License-Identifier: GPL-2.0-only
"""make -jN in one machine whose tmem back end lives in the machine's own memory: zcache, zswap, RAMster.

A simulated page stands for `scale` pages: for neighbours, as if pages were larger; for pages that lie apart and that
the disk fetches one by one; or, with `in_requests`, for those at the same place in so many files and heaps, as if
machine, disk and processors were all so many times smaller or slower. `sources` sources stand for the REAL_SOURCES of
the build, and so does its time.
Units     seconds modelled; counts in real pages.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import ANON_MIX, FILE_MIX, Contents
from hypervisor_model.guests.costs import COMPRESSED
from hypervisor_model.guests.disk import WRITES_MERGED, Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import INODE_MASK, INODE_SHIFT
from hypervisor_model.guests.kswapd import Kswapd
from hypervisor_model.guests.lru import OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.workloads.compile import TOOLS_INODE, Build, CompileShape
from hypervisor_model.guests.zcache import Zcache

REAL_SOURCES: Final = 2_000
PAGES_PER_MB: Final = 256
KERNEL_MB: Final = 100
VCPUS: Final = 4
SLICE_NS: Final = 4_000_000
NETWORK_NS: Final = 100_000  # for a page from the peer of a RAMster
SWAP_CLUSTER: Final = 8  # pages that one fault on a swapped page brings in (Linux: page-cluster 3)
READAHEAD: Final = 32  # 128 KiB
RECLAIM_BATCH: Final = 32  # pages that reclaim takes back at a time (SWAP_CLUSTER_MAX)
REQUESTS: Final = 128  # that a disk's queue takes for writing (nr_requests), each with a batch of reclaim
REMOTIFIED: Final = 5_000, 500  # file and swap pages that RAMster hands on to its peer in a second
SECOND_NS: Final = 1_000_000_000
HIGH_WATERMARK_MB: Final = 6  # of a machine with 1 GB: with fewer file pages anonymous ones go


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its back end; percentages are of memory, `shape` is in real pages."""

    shape: CompileShape
    scale: int = 32
    are_neighbours: bool = False
    in_requests: bool = False
    """Pages that lie apart are read with their neighbours, as a file or a cluster of swap is."""
    sources: int = 216
    ram_mb: int = 1024
    seek_us: int = 625
    """Of a request; of each page, where the disk fetches them one by one."""
    persistent_percent: int = 0  # frontswap
    ephemeral_percent: int = 0  # cleancache
    packed: bool = False  # swap pages lie close together, not two to a frame
    remote_mb: int = 0
    swappiness: int | None = None  # None: one exact LRU
    kswapd: bool = False  # takes frames back ahead of need, and no put finds one while memory is short
    files_first: bool = True  # while most file pages are inactive no anonymous page goes: Linux 3.8 and later
    active_only: bool = False  # the back end takes file pages only that were on the active list
    file_mix: Mapping[str, float] = field(default_factory=lambda: FILE_MIX)
    heap_mix: Mapping[str, float] = field(default_factory=lambda: ANON_MIX)

    @property
    def cpu_seconds(self) -> float:
        """What the build would take if nothing ever waited."""
        return self.sources * self.shape.cpu_ms / 1_000 / VCPUS


@dataclass(frozen=True, slots=True)
class Run:
    """What one build did, or several on average."""

    seconds: float
    """Of simulated time, for the sources that were compiled."""
    served: float  # pages that cleancache had
    swap_io: float  # pages to and from the swap device
    major_faults: float
    """On the compiler's own pages and on swapped ones, also where these come from frontswap; read(2) makes none."""

    @property
    def io(self) -> float:
        """What the published tables add up: pages swapped in and out and major faults."""
        return self.swap_io + self.major_faults


class _Disk(Disk):
    """Counts the reads of the compiler's own pages, which are mapped."""

    mapped_reads = 0

    def read(self, now_ns: int, position: int, pages: int) -> int:
        self.mapped_reads += position >= 0 and position >> INODE_SHIFT & INODE_MASK == TOOLS_INODE
        return super().read(now_ns, position, pages)


def without(machine: Machine) -> Machine:
    """The same without a back end."""
    return replace(machine, persistent_percent=0, ephemeral_percent=0)


def mean_build(machine: Machine, jobs: int, seeds: Sequence[int]) -> Run:
    """The mean of one build for each seed."""
    runs = [build(machine, jobs, seed) for seed in seeds]
    count = len(runs)
    return Run(
        sum(run.seconds for run in runs) / count,
        sum(run.served for run in runs) / count,
        sum(run.swap_io for run in runs) / count,
        sum(run.major_faults for run in runs) / count,
    )


def build(machine: Machine, jobs: int, seed: int = 1) -> Run:
    """make -j`jobs` on four CPUs, from a cold start."""
    scale, sources = machine.scale, machine.sources
    mb = PAGES_PER_MB // scale
    apart = 1 if machine.are_neighbours else scale
    together = apart if machine.are_neighbours or machine.in_requests else 0
    has_backend = machine.persistent_percent or machine.ephemeral_percent
    zcache = (
        Zcache(
            persistent_percent=machine.persistent_percent,
            ephemeral_percent=machine.ephemeral_percent,
            packed=machine.packed,
            remote_frames=machine.remote_mb * mb,
        )
        if has_backend
        else None
    )
    cleancache = Cleancache(zcache if machine.ephemeral_percent else None)
    cleancache.init_fs()
    frontswap = None if zcache is None or not machine.persistent_percent else Frontswap(zcache)
    seek_ns = machine.seek_us * 1_000
    disk = _Disk(
        seek_ns=seek_ns * apart,
        page_ns=40_000 * scale,
        # A batch of reclaim lies side by side in swap, also where the pages that it is for do not.
        write_seek_ns=seek_ns * apart // (RECLAIM_BATCH * WRITES_MERGED) if machine.in_requests else None,
    )
    min_free = math.isqrt(machine.ram_mb * 1024 * 16) // 4 // scale  # C: init_per_zone_wmark_min
    memory = GuestMemory(
        machine.ram_mb * mb,
        reserved=KERNEL_MB * mb,
        disk=disk,
        contents=Contents(1, file_mix=dict(machine.file_mix), anon_mix=dict(machine.heap_mix)),
        cleancache=cleancache,
        frontswap=frontswap,
        swap=SwapDevice(10 * 1024 * mb),
        lists=OneList()
        if machine.swappiness is None
        else TwoLists(machine.swappiness, HIGH_WATERMARK_MB * mb, files_first=machine.files_first),
        costs=COMPRESSED.scaled(scale),
        reclaim_batch=RECLAIM_BATCH // scale if machine.are_neighbours or machine.kswapd else 4,
        readahead=READAHEAD * together // scale if together else 2,
        swap_readahead=SWAP_CLUSTER * together // scale if together else 1,
        put_active_only=machine.active_only,
        kswapd=Kswapd(min_free=min_free, queue_pages=REQUESTS * RECLAIM_BATCH // scale)
        if machine.kswapd
        else None,
    )
    if zcache is not None:
        zcache.attach(memory)
    shape = replace(machine.shape, sources=sources)
    shape = shape.coarser(scale) if machine.are_neighbours else shape.shrunk(scale)
    guest = Guest(memory, Build(f"kernel {seed}", shape).jobs(jobs), vcpus=VCPUS, slice_ns=SLICE_NS)
    if zcache is not None and machine.remote_mb:
        zcache_of_node, (file_pages, swap_pages) = zcache, REMOTIFIED
        guest.add_timer(
            SECOND_NS, lambda _: zcache_of_node.remotify(file_pages // scale, swap_pages // scale)
        )
    guest.run(1 << 62)
    # A page is sent in the background, and waited for when it is fetched.
    network_ns = 0 if zcache is None else zcache.remote_gets * scale * NETWORK_NS // VCPUS
    loads = 0 if frontswap is None else frontswap.loads
    # In the published rows with 8 and 16 jobs (R6) about every page that came from swap was a fault of its own.
    swap_faults = (memory.swap_ins + loads) * scale
    real = scale * REAL_SOURCES // sources
    return Run(
        seconds=(guest.time_ns + network_ns) / 1e9,
        served=cleancache.succ_gets * real,
        swap_io=(memory.swap_ins + memory.swap_outs) * real,
        major_faults=(disk.mapped_reads + swap_faults) * REAL_SOURCES // sources,
    )

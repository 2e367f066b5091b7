# SPDX-License-Identifier: GPL-2.0-only
"""make -jN in one machine whose tmem back end lives in the machine's own memory: zcache, zswap, RAMster.

One simulated page stands for SCALE, and SOURCES sources for the REAL_SOURCES of the build, so its time for that much of
the whole build's.
Units     seconds modelled; counts in real pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import COMPRESSED
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import INODE_SHIFT
from hypervisor_model.guests.lru import OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.workloads.compile import TOOLS_INODE, Build, CompileShape
from hypervisor_model.guests.zcache import Zcache

SCALE: Final = 32
SOURCES: Final = 216
REAL_SOURCES: Final = 2_000
MB: Final = 256 // SCALE
KERNEL_MB: Final = 100
SLICE_NS: Final = 20_000_000
NETWORK_NS: Final = 100_000  # for a page to or from the peer of a RAMster
SWAP_CLUSTER: Final = 8  # pages that one fault on a swapped page brings in (Linux: page-cluster 3)
HIGH_WATERMARK: Final = 6 * MB  # of a machine with 1 GB: with fewer file pages anonymous ones go


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its back end; percentages are of memory, disk times of one real page."""

    shape: CompileShape
    """In real pages."""
    ram_mb: int = 1024
    seek_us: int = 625
    swap_seek_us: int = 625
    persistent_percent: int = 0  # frontswap
    ephemeral_percent: int = 0  # cleancache
    remote_mb: int = 0
    swappiness: int | None = None  # None: one exact LRU
    active_only: bool = False  # the back end takes file pages only that were on the active list


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
        self.mapped_reads += position >> INODE_SHIFT == TOOLS_INODE
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


def build(machine: Machine, jobs: int, seed: int = 1, *, sources: int = SOURCES) -> Run:
    """make -j`jobs` on four CPUs, from a cold start."""
    has_backend = machine.persistent_percent or machine.ephemeral_percent
    zcache = (
        Zcache(
            persistent_percent=machine.persistent_percent,
            ephemeral_percent=machine.ephemeral_percent,
            remote_frames=machine.remote_mb * MB,
        )
        if has_backend
        else None
    )
    cleancache = Cleancache(zcache if machine.ephemeral_percent else None)
    cleancache.init_fs()
    frontswap = None if zcache is None or not machine.persistent_percent else Frontswap(zcache)
    disk = _Disk(
        seek_ns=machine.seek_us * 1_000 * SCALE,
        swap_seek_ns=machine.swap_seek_us * 1_000 * SCALE,
        page_ns=40_000 * SCALE,
    )
    memory = GuestMemory(
        machine.ram_mb * MB,
        reserved=KERNEL_MB * MB,
        disk=disk,
        contents=Contents(1),
        cleancache=cleancache,
        frontswap=frontswap,
        swap=SwapDevice(10 * 1024 * MB),
        lists=OneList() if machine.swappiness is None else TwoLists(machine.swappiness, HIGH_WATERMARK),
        costs=COMPRESSED,
        reclaim_batch=4,
        readahead=2,
        swap_readahead=1,
        put_active_only=machine.active_only,
    )
    if zcache is not None:
        zcache.attach(memory)
    shape = replace(machine.shape, sources=sources).shrunk(SCALE)
    guest = Guest(memory, Build(f"kernel {seed}", shape).jobs(jobs), vcpus=4, slice_ns=SLICE_NS)
    guest.run(1 << 62)
    network_ns = 0 if zcache is None else (zcache.remote_puts + zcache.remote_gets) * SCALE * NETWORK_NS // 4
    loads = 0 if frontswap is None else frontswap.loads
    swap_faults = (memory.swap_ins + loads) * SCALE // SWAP_CLUSTER
    real = SCALE * REAL_SOURCES // sources
    return Run(
        seconds=(guest.time_ns + network_ns) / 1e9,
        served=cleancache.succ_gets * real,
        swap_io=(memory.swap_ins + memory.swap_outs) * real,
        major_faults=(disk.mapped_reads + swap_faults) * REAL_SOURCES // sources,
    )

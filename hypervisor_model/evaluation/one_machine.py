# SPDX-License-Identifier: GPL-2.0-only
"""make -jN in one machine whose tmem back end lives in the machine's own memory: zcache, zswap, RAMster.

A simulated page stands for `scale` pages: for neighbours, as if pages were larger, or for pages that lie apart and that
the disk fetches one by one.  `sources` sources stand for the real ones of the build, and so does its time.
Units     seconds modelled; counts in real pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import COMPRESSED
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import INODE_MASK, INODE_SHIFT
from hypervisor_model.guests.lru import OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.workloads.compile import TOOLS_INODE, Build, CompileShape
from hypervisor_model.guests.zcache import Zcache

REAL_SOURCES: Final = 2_000
PAGES_PER_MB: Final = 256
KERNEL_MB: Final = 100
VCPUS: Final = 4
SLICE_NS: Final = 20_000_000
NETWORK_NS: Final = 100_000  # for a page to or from the peer of a RAMster
SWAP_CLUSTER: Final = 8  # pages that one fault on a swapped page brings in (Linux: page-cluster 3)
READAHEAD: Final = 32  # 128 KiB
RECLAIM_BATCH: Final = 32
HIGH_WATERMARK_MB: Final = 6  # of a machine with 1 GB: with fewer file pages anonymous ones go
WARM_UP: Final = 2  # sources of each job that are compiled before the counts of a steady build begin
STEP_NS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its back end; percentages are of memory, `shape` is in real pages."""

    shape: CompileShape
    scale: int = 32
    are_neighbours: bool = False
    sources: int = 216
    """Compiled here, for `real_sources`."""
    real_sources: int = REAL_SOURCES
    is_steady: bool = False
    """The sources are of the middle of a long build: every header was read before, and no two jobs are in step.  Else
    of one that begins cold and ends with linking."""
    ram_mb: int = 1024
    seek_us: int = 625
    """Of a request; where pages lie apart, of each of them."""
    swap_seek_us: int = 625
    persistent_percent: int = 0  # frontswap
    ephemeral_percent: int = 0  # cleancache
    remote_mb: int = 0
    swappiness: int | None = None  # None: one exact LRU
    active_only: bool = False  # the back end takes file pages only that were on the active list

    @property
    def cpu_seconds(self) -> float:
        """What the build would take if nothing ever waited: for the sources that `Run.seconds` is about."""
        sources = self.real_sources if self.is_steady else self.sources
        return sources * self.shape.cpu_ms / 1_000 / VCPUS


class Run(NamedTuple):
    """What one build did, or several on average."""

    seconds: float
    """Of simulated time, for the sources that were compiled; of a steady build, for the real ones."""
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
    """make -j`jobs` on four CPUs: a cold build to its end, or a part of a long one."""
    return _Bench(machine, jobs, seed).run()


class _Counts(NamedTuple):
    """What one build did until some moment, in simulated pages and requests."""

    time_ns: int
    sources: int
    served: int
    swapped: int
    swap_faults: int
    mapped_reads: int
    remote: int


class _Bench:
    """One machine and the build that runs on it."""

    def __init__(self, machine: Machine, jobs: int, seed: int) -> None:
        self._machine, self._jobs = machine, jobs
        scale = machine.scale
        mb = PAGES_PER_MB // scale
        apart = 1 if machine.are_neighbours else scale
        has_backend = machine.persistent_percent or machine.ephemeral_percent
        self._zcache = (
            Zcache(
                persistent_percent=machine.persistent_percent,
                ephemeral_percent=machine.ephemeral_percent,
                remote_frames=machine.remote_mb * mb,
            )
            if has_backend
            else None
        )
        zcache = self._zcache
        self._cleancache = Cleancache(zcache if machine.ephemeral_percent else None)
        self._cleancache.init_fs()
        self._frontswap = None if zcache is None or not machine.persistent_percent else Frontswap(zcache)
        self._disk = _Disk(
            seek_ns=machine.seek_us * 1_000 * apart,
            swap_seek_ns=machine.swap_seek_us * 1_000 * apart,
            page_ns=40_000 * scale,
        )
        self._memory = GuestMemory(
            machine.ram_mb * mb,
            reserved=KERNEL_MB * mb,
            disk=self._disk,
            contents=Contents(1),
            cleancache=self._cleancache,
            frontswap=self._frontswap,
            swap=SwapDevice(10 * 1024 * mb),
            lists=OneList()
            if machine.swappiness is None
            else TwoLists(machine.swappiness, HIGH_WATERMARK_MB * mb),
            costs=COMPRESSED,
            reclaim_batch=RECLAIM_BATCH // scale if machine.are_neighbours else 4,
            readahead=READAHEAD // scale if machine.are_neighbours else 2,
            swap_readahead=SWAP_CLUSTER // scale if machine.are_neighbours else 1,
            put_active_only=machine.active_only,
        )
        if zcache is not None:
            zcache.attach(self._memory)
        warm_up = WARM_UP * jobs
        shape = replace(
            machine.shape, sources=warm_up + machine.sources + jobs if machine.is_steady else machine.sources
        )
        shape = shape.coarser(scale) if machine.are_neighbours else shape.shrunk(scale)
        self._build = Build(f"kernel {seed}", shape)
        apart_ns = shape.cpu_ms * 1_000_000 // min(jobs, VCPUS) if machine.is_steady else 0
        self._guest = Guest(
            self._memory, self._build.jobs(jobs, apart_ns=apart_ns), vcpus=VCPUS, slice_ns=SLICE_NS
        )

    def run(self) -> Run:
        """Of one build, counted as the machine says."""
        machine = self._machine
        if not machine.is_steady:
            before = self._counts()
            self._guest.run(1 << 62)
            return self._between(before, self._counts()._replace(sources=machine.sources))
        for key in self._build.header_keys():
            self._memory.lists.add(key, 0)
        warm_up = WARM_UP * self._jobs
        self._run_until(warm_up)
        before = self._counts()
        self._run_until(warm_up + machine.sources)
        return self._between(before, self._counts())

    def _run_until(self, sources: int) -> None:
        while self._build.next_source < sources:
            self._guest.run(self._guest.time_ns + STEP_NS)

    def _counts(self) -> _Counts:
        memory, frontswap, zcache = self._memory, self._frontswap, self._zcache
        return _Counts(
            time_ns=self._guest.time_ns,
            sources=self._build.next_source,
            served=self._cleancache.succ_gets,
            swapped=memory.swap_ins + memory.swap_outs,
            swap_faults=memory.swap_ins + (0 if frontswap is None else frontswap.loads),
            mapped_reads=self._disk.mapped_reads,
            remote=0 if zcache is None else zcache.remote_puts + zcache.remote_gets,
        )

    def _between(self, before: _Counts, after: _Counts) -> Run:
        """Scaled to the real build, but for the seconds of one that is not steady."""
        scale, real_sources = self._machine.scale, self._machine.real_sources
        done = _Counts(*(last - first for first, last in zip(before, after, strict=True)))
        real = scale * real_sources // done.sources
        network_ns = done.remote * scale * NETWORK_NS // 4
        seconds = (done.time_ns + network_ns) / 1e9
        return Run(
            seconds=seconds * real_sources / done.sources if self._machine.is_steady else seconds,
            served=done.served * real,
            swap_io=done.swapped * real,
            major_faults=(done.mapped_reads + done.swap_faults * scale // SWAP_CLUSTER)
            * real_sources
            // done.sources,
        )

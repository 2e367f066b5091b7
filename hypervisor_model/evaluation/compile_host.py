# SPDX-License-Identifier: GPL-2.0-only
"""R1, R2, R3: guests that compile Linux on one Xen host, ballooned down to what they promised, with and without tmem.

Eight guests of 384 MiB and two virtual CPUs on a host of 4 GiB, as at OLS 2009.  One simulated page stands for SCALE,
in every count too; a source stands for SOURCES_EACH.
Units     pages of 4 KiB as reported; times modelled.
"""

from dataclasses import dataclass
from typing import Final

from hypervisor_model.guests.balloon import Balloon, DaemonBalloon, SelfBalloon
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import COMPRESSED, PLAIN, Costs
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest, run_together
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.selfballoon import Settings
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.workloads.compile import Build, CompileShape
from hypervisor_model.guests.xenballoond import Xenballoond
from hypervisor_model.hypervisor import Hypervisor

SCALE: Final = 64
SOURCES_EACH: Final = 16
GUESTS: Final = 8
MB: Final = 256 // SCALE
HOST_MB: Final = 4096
DOM0_MB: Final = 512  # and Xen: not for guests
GUEST_MB: Final = 384
KERNEL_MB: Final = 24  # of a guest: what is neither file nor anonymous memory
SYSTEM_MB: Final = 40  # Committed_AS of everything but the compiler
SLICE_NS: Final = 20_000_000

# Working set of one build: calibrated on rows 8 and 24 of the cleancache table (docs/evaluation.md, R5).
SHAPE: Final = CompileShape(
    sources=2_000 // SOURCES_EACH,
    source_pages=24 * SOURCES_EACH,  # the source, its private headers, its directory
    headers=1_000,
    header_pages=SCALE,
    headers_each=16,
    tool_pages=6_000,
    tool_touches=3_000,
    heap_pages=10_000,
    heap_reuse=0.5,
    heap_steps=12,
    object_pages=12 * SOURCES_EACH,
    cpu_ms=2 * 1_500 * SOURCES_EACH,  # sixteen virtual CPUs share eight hardware threads
).shrunk(SCALE)


@dataclass(frozen=True, slots=True)
class Host:
    """One configuration of the host and the drivers of its guests."""

    name: str
    tmem: bool = True
    compress: bool = False
    dedup: bool = False
    driver: str = "xenballoond"
    guests: int = GUESTS
    builds: int = 2


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took and did, in real pages; the first build of each guest is not counted."""

    seconds: float
    cpu_seconds: float
    tmem_cpu_seconds: float
    pages_read: int
    reads: int
    gets: int
    puts: int
    stored: int
    guest_mb: float


class _Snapshot:
    """Sums over the guests at one moment."""

    def __init__(self, guests: list[Guest], disks: list[Disk]) -> None:
        self.time_ns = max(guest.time_ns for guest in guests)
        self.cpu_ns = sum(guest.cpu_ns for guest in guests)
        self.tmem_ns = sum(guest.tmem_cpu_ns for guest in guests)
        self.pages_read = sum(disk.pages_read for disk in disks)
        self.reads = sum(disk.reads for disk in disks)
        self.gets = sum(guest.memory.cleancache.succ_gets for guest in guests)
        self.puts = sum(guest.memory.cleancache.puts for guest in guests)


def run_host(host: Host) -> Run:
    """Boot the guests, let each build `builds` times, and count from the second build on."""
    boot = f"tmem=1 tmem_compress={int(host.compress)} tmem_dedup={int(host.dedup)}"
    spare_mb = HOST_MB - DOM0_MB - host.guests * GUEST_MB
    hypervisor = Hypervisor(frames=spare_mb * MB, command_line=boot, exact=False, contents="tokens")
    costs: Costs = COMPRESSED if host.compress else PLAIN
    guests: list[Guest] = []
    disk = Disk(seek_ns=4_000_000, page_ns=40_000 * SCALE)
    for domid in range(1, host.guests + 1):
        handle = hypervisor.create_domain(domid, max_pages=GUEST_MB * MB, tot_pages=GUEST_MB * MB)
        cleancache = Cleancache(handle if host.tmem else None)
        cleancache.init_fs()
        memory = GuestMemory(
            GUEST_MB * MB,
            reserved=KERNEL_MB * MB,
            disk=disk,
            contents=Contents(domid, image=1),
            cleancache=cleancache,
            frontswap=Frontswap(handle) if host.tmem else None,
            swap=SwapDevice(1024 * MB),
            costs=costs,
            readahead=1,
            swap_readahead=1,
            reclaim_batch=1,
        )
        memory.committed = SYSTEM_MB * MB
        build = Build(f"guest {domid}", SHAPE, builds=host.builds)
        guest = Guest(memory, build.jobs(2), vcpus=2, slice_ns=SLICE_NS)
        balloon = Balloon(hypervisor, domid, guest)
        if host.driver == "xenballoond":
            DaemonBalloon(balloon, Xenballoond(), scale=SCALE)
        elif host.driver == "selfballoon":
            SelfBalloon(balloon, Settings(generation="3.1"), scale=SCALE)
        guests.append(guest)
    return _measure(guests, disk, hypervisor, host)


def _measure(guests: list[Guest], disk: Disk, hypervisor: Hypervisor, host: Host) -> Run:
    """Run to the end; counts start when half the units are done, that is after the first build."""
    half = SHAPE.sources + 1
    step_ns = 1_000_000_000
    until_ns = 0
    start = _Snapshot(guests, [disk])
    while min(sum(thread.units for thread in guest.threads) for guest in guests) < half:
        until_ns += step_ns
        run_together(guests, until_ns=until_ns, slice_ns=SLICE_NS)
        start = _Snapshot(guests, [disk])
    run_together(guests, until_ns=1 << 62, slice_ns=SLICE_NS)
    end = _Snapshot(guests, [disk])
    sizes = [guest.memory.totalram / MB for guest in guests]
    return Run(
        seconds=(end.time_ns - start.time_ns) / 1e9,
        cpu_seconds=(end.cpu_ns - start.cpu_ns) / 1e9,
        tmem_cpu_seconds=(end.tmem_ns - start.tmem_ns) * SCALE / 1e9,
        pages_read=(end.pages_read - start.pages_read) * SCALE,
        reads=(end.reads - start.reads) * SCALE,
        gets=(end.gets - start.gets) * SCALE,
        puts=(end.puts - start.puts) * SCALE,
        stored=hypervisor.tmem.eph_count * SCALE,
        guest_mb=sum(sizes) / len(sizes),
    )

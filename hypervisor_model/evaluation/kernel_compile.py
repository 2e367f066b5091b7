# SPDX-License-Identifier: GPL-2.0-only
"""R4 to R7: make -jN in one machine whose tmem back end lives in the machine's own memory: zcache, zswap, RAMster.

One simulated page stands for SCALE, and SOURCES sources for the 2,000 of the build; elapsed times are scaled to the
published one of the row named.  What is judged are gains and reductions, never absolute seconds.
Units     seconds modelled; counts in real pages.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from hypervisor_model.evaluation.result import Result, Verdict
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.costs import COMPRESSED
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.lru import OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.workloads.compile import Build, CompileShape
from hypervisor_model.guests.zcache import Zcache

SCALE: Final = 32
SOURCES: Final = 216
REAL_SOURCES: Final = 2_000
MB: Final = 256 // SCALE
KERNEL_MB: Final = 100
MS: Final = 1_000_000
SLICE_NS: Final = 20 * MS
NETWORK_NS: Final = 100_000  # for a page to or from the peer of a RAMster


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and its back end; percentages are of memory."""

    shape: CompileShape
    ram_mb: int = 1024
    seek_ms: int = 20
    swap_seek_ms: int = 20
    persistent_percent: int = 0  # frontswap
    ephemeral_percent: int = 0  # cleancache
    remote_mb: int = 0
    swappiness: int | None = None  # None: one exact LRU


@dataclass(frozen=True, slots=True)
class Run:
    """What one build did."""

    seconds: float  # of simulated time
    served: int  # pages that cleancache had
    swap_io: int  # pages in and out
    major_faults: int

    @property
    def io(self) -> int:
        """What the published tables add up: pages swapped in and out and major faults."""
        return self.swap_io + self.major_faults


def build(machine: Machine, jobs: int) -> Run:
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
    memory = GuestMemory(
        machine.ram_mb * MB,
        reserved=KERNEL_MB * MB,
        disk=Disk(
            seek_ns=machine.seek_ms * MS, swap_seek_ns=machine.swap_seek_ms * MS, page_ns=40_000 * SCALE
        ),
        contents=Contents(1),
        cleancache=cleancache,
        frontswap=None if zcache is None or not machine.persistent_percent else Frontswap(zcache),
        swap=SwapDevice(10 * 1024 * MB),
        lists=OneList() if machine.swappiness is None else TwoLists(machine.swappiness),
        costs=COMPRESSED,
        reclaim_batch=4,
        readahead=2,
        swap_readahead=1,
    )
    if zcache is not None:
        zcache.attach(memory)
    guest = Guest(memory, Build("kernel", machine.shape).jobs(jobs), vcpus=4, slice_ns=SLICE_NS)
    guest.run(1 << 62)
    network_ns = 0 if zcache is None else (zcache.remote_puts + zcache.remote_gets) * SCALE * NETWORK_NS // 4
    real = SCALE * REAL_SOURCES // SOURCES
    return Run(
        seconds=(guest.time_ns + network_ns) / 1e9,
        served=cleancache.succ_gets * real,
        swap_io=(memory.swap_ins + memory.swap_outs) * real,
        major_faults=memory.major_faults * real,
    )


def _shape(**changes: float) -> CompileShape:
    whole = replace(
        CompileShape(sources=SOURCES, heap_steps=24, heap_reuse=0.5),
        **changes,  # type: ignore[arg-type]
    )
    return whole.shrunk(SCALE)


# After N = 4, 12 and 20 of the zcache table: no swap at 12, a gain at 20; chosen with all rows in view.
# Settings that fit these rows as well differ by 10 points beyond them: a build near its knee is chaotic.
ZCACHE: Final = Machine(
    shape=_shape(heap_pages=13_500, heap_spread=0.05, young_share=0.8, cpu_ms=1_650),
    persistent_percent=12,
    ephemeral_percent=5,
)
# After 8 and 24 threads of the cleancache table: a laptop's disk, file pages read one by one.
CLEANCACHE: Final = Machine(
    shape=_shape(
        heap_pages=15_300,
        heap_spread=0.2,
        young_share=1.0,
        headers=1_000,
        headers_each=34,
        tool_pages=3_000,
        tool_touches=1_100,
        cpu_ms=3_000,
    ),
    seek_ms=16 * SCALE,
    swap_seek_ms=8 * SCALE // 8,
    swappiness=20,
    ephemeral_percent=3,
)
# The frontswap tables had no setting of their own.
FRONTSWAP: Final = replace(ZCACHE, ephemeral_percent=0)


def without(machine: Machine) -> Machine:
    """The same without a back end."""
    return replace(machine, persistent_percent=0, ephemeral_percent=0)


def _gain(before: Run, after: Run) -> float:
    """How much faster, as the published tables have it: old / new - 1, in percent."""
    return 100 * (before.seconds / after.seconds - 1)


PUBLISHED_ZCACHE: Final = {4: (0, -1), 8: (0, -1), 12: (0, -2), 16: (9, 6), 20: (14, 13), 24: (26, 21), 28: (31, 51),
                           32: (0, 19), 36: (-1, 22)}  # fmt: skip


def r4_and_r7() -> list[Result]:
    """zcache and RAMster against nothing, N = 4 to 36."""
    gains: dict[int, tuple[float, float]] = {}
    table: list[tuple[str, ...]] = [("N", "zcache", "published", "RAMster", "published")]
    for jobs, (zcache, ramster) in PUBLISHED_ZCACHE.items():
        before = build(without(ZCACHE), jobs)
        gains[jobs] = (
            _gain(before, build(ZCACHE, jobs)),
            _gain(before, build(replace(ZCACHE, remote_mb=8192), jobs)),
        )
        ours = gains[jobs]
        table.append(
            (str(jobs), f"{ours[0]:+.0f} %", f"{zcache:+d} %", f"{ours[1]:+.0f} %", f"{ramster:+d} %")
        )
    return [_judge_zcache(gains, tuple(table)), _judge_ramster(gains, tuple(table))]


def _judge_zcache(gains: dict[int, tuple[float, float]], table: tuple[tuple[str, ...], ...]) -> Result:
    local = {jobs: pair[0] for jobs, pair in gains.items()}
    peak = max(local, key=lambda jobs: local[jobs])
    rises = [local[jobs] for jobs in (12, 16, 20, 24, 28) if jobs <= peak]
    wrong = [
        text
        for holds, text in (
            (all(abs(local[jobs]) <= 2 for jobs in (4, 8, 12)), "a gain or loss above 2 % up to N = 12"),
            (peak in (24, 28), f"the peak is at N = {peak}"),
            (all(b >= a - 1 for a, b in pairwise(rises)), "the rise is not monotone"),
            (20 <= local[peak] <= 40, f"the peak is {local[peak]:.0f} %"),
            (all(abs(local[jobs]) <= 5 for jobs in (32, 36)), "more than 5 % from 0 at N >= 32"),
        )
        if not holds
    ]
    shape = local[24] > local[12] and abs(local[32]) < local[peak] / 2
    verdict: Verdict = "PASS" if not wrong else "SHAPE" if shape else "MISS"
    return Result(
        "R4",
        "zcache-jN",
        "1 GB, swap and file pages, make -jN on 4 CPUs; zcache in the same memory, "
        f"{ZCACHE.persistent_percent} % for swap pages and {ZCACHE.ephemeral_percent} % for file pages",
        "gains 0/0/0/9/14/26/31/0/-1 % for N = 4..36 (Magenheimer, linux-mm 2012-03-21 [V])",
        f"peak {local[peak]:+.0f} % at N = {peak}; "
        + ", ".join(f"{jobs}: {gain:+.0f} %" for jobs, gain in local.items()),
        verdict,
        table,
        ("Off: " + "; ".join(wrong) + ". " if wrong else "")
        + "Beyond the peak the pool is full of pages that are not asked for again; its frames are missing elsewhere. "
        "Settings that fit the calibrated rows (4, 12, 20) as well differ by up to 10 points in the others.",
    )


def _judge_ramster(gains: dict[int, tuple[float, float]], table: tuple[tuple[str, ...], ...]) -> Result:
    better = all(gains[jobs][1] > gains[jobs][0] for jobs in (28, 32, 36))
    small_loss = all(gains[jobs][1] >= -3 for jobs in (4, 8, 12))
    verdict: Verdict = "PASS" if better and small_loss else "SHAPE" if better else "MISS"
    return Result(
        "R7",
        "ramster",
        f"as R4, and a peer that takes swap pages up to 8 GB at {NETWORK_NS // 1000} us each",
        "RAMster ahead of zcache for N >= 28, at most 3 % behind nothing for N <= 12 (same mail [V])",
        ", ".join(f"{jobs}: {pair[1]:+.0f} %" for jobs, pair in gains.items()),
        verdict,
        table,
    )


PUBLISHED_CLEANCACHE: Final = {8: (0.3, 8_295), 24: (11.7, 174_490), 36: (23.9, 380_470)}


def r5() -> Result:
    """File pages only, 8, 24 and 36 threads."""
    table: list[tuple[str, ...]] = [("threads", "gain", "published", "pages served", "published")]
    gains: dict[int, float] = {}
    served: dict[int, int] = {}
    for jobs, (gain, pages) in PUBLISHED_CLEANCACHE.items():
        after = build(CLEANCACHE, jobs)
        gains[jobs] = _gain(build(without(CLEANCACHE), jobs), after)
        served[jobs] = after.served
        table.append(
            (str(jobs), f"{gains[jobs]:+.1f} %", f"{gain:+.1f} %", f"{after.served:,}", f"{pages:,}")
        )
    near = all(abs(gains[jobs] - gain) <= 5 for jobs, (gain, _) in PUBLISHED_CLEANCACHE.items())
    ratio = served[36] / PUBLISHED_CLEANCACHE[36][1]
    ordered = gains[8] <= gains[24] + 1 and gains[24] < gains[36]
    verdict: Verdict = "PASS" if near and 1 / 1.5 <= ratio <= 1.5 else "SHAPE" if ordered else "MISS"
    return Result(
        "R5",
        "cleancache-file",
        f"1 GB, kernbench -o N, zcache for file pages only, {CLEANCACHE.ephemeral_percent} % of memory",
        "gains 0.3/11.7/23.9 %, pages served 8,295/174,490/380,470 (Bob Liu, 2013-08 [V])",
        ", ".join(f"{jobs}: {gain:+.1f} %" for jobs, gain in gains.items())
        + f"; pages at 36: {ratio:.2f} of published",
        verdict,
        tuple(table),
        "Over some forty working sets that were tried: with gains near the published ones the guest is served 1.5 to 2 "
        "times the pages, so each saves less here; the gain at 24 threads, at the knee, scatters by 10 points.",
    )


# jobs -> published I/O delta in percent: 1 GB, zcache (2012); 512 MB, zswap (2013)
PUBLISHED_1G: Final = {8: -4, 12: -37, 16: -23, 20: -52, 24: -48, 28: -22, 32: -3}
PUBLISHED_512M: Final = {8: -60, 12: -70, 16: -25, 20: -42, 24: -76}


def r6() -> Result:
    """Swap pages only: what is left of the I/O."""
    table: list[tuple[str, ...]] = [("memory", "N", "I/O before", "after", "change", "published")]
    changes: dict[tuple[int, int], float] = {}
    for ram_mb, rows in ((1024, PUBLISHED_1G), (512, PUBLISHED_512M)):
        machine = replace(FRONTSWAP, ram_mb=ram_mb)
        for jobs, published in rows.items():
            before, after = build(without(machine), jobs), build(machine, jobs)
            change = 100 * (after.io / max(1, before.io) - 1)
            changes[ram_mb, jobs] = change
            cells = (
                f"{ram_mb} MB",
                str(jobs),
                f"{before.io:,}",
                f"{after.io:,}",
                f"{change:+.0f} %",
                f"{published:+d} %",
            )
            table.append(cells)
    best = min(changes.values())
    collapse = changes[1024, 32] > min(changes[1024, jobs] for jobs in PUBLISHED_1G) / 3
    verdict: Verdict = "PASS" if best <= -45 and collapse else "SHAPE" if best <= -20 else "MISS"
    return Result(
        "R6",
        "frontswap-io",
        f"1 GB and 512 MB, make -jN, compressed swap pages in {FRONTSWAP.persistent_percent} % of memory",
        "I/O -4..-52 % and -3 % at N = 32 on 1 GB, -25..-76 % on 512 MB (Jennings, 2012-03-22 and 2013-06-03 [V])",
        f"best {best:.0f} %; 1 GB at N = 32 {changes[1024, 32]:+.0f} %",
        verdict,
        tuple(table),
        "PASS: 45 % less or better at best, and less than a third of that left at N = 32, where the pool is full.",
    )

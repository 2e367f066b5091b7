# SPDX-License-Identifier: GPL-2.0-only
"""R9, R10: how many mostly idle guests fit on a host, and how fast an idle guest gives its memory back.

R9: one simulated page stands for SCALE.
Units     MiB and seconds as reported; times modelled.
"""

from typing import Final

from hypervisor_model.evaluation.result import Result, Verdict
from hypervisor_model.guests.balloon import SECOND_NS, Balloon, DaemonBalloon, SelfBalloon
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest, run_together
from hypervisor_model.guests.handle import anon_key
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.selfballoon import GENERATIONS, Generation, Settings
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.work import Action, Commit, Release, Sleep, Touch
from hypervisor_model.guests.workloads.synthetic import Idle
from hypervisor_model.guests.xenballoond import Xenballoond
from hypervisor_model.hypervisor import Hypervisor

SCALE: Final = 256
MB: Final = 256 // SCALE
HOST_MB: Final = 4096
DOM0_MB: Final = 512
GUEST_MB: Final = 1024
BOOT_MB: Final = 256  # what a guest is started with; its maximum is GUEST_MB
IDLE_MB: Final = 120  # committed by an idle guest
ACTIVE_MB: Final = 640  # committed while it works
PERIOD_S: Final = 600
BURSTS: Final = 2
ACTIVE_S: Final = 60  # of which it works so long: a duty of one tenth


class MostlyIdle:
    """Works for a while in each period, and notes how long every burst took."""

    def __init__(self, offset_s: int, bursts: int) -> None:
        self._offset_s, self._left = offset_s, bursts
        self._heap, self._base = anon_key(2), anon_key(1)
        self._state = 0

    def unit(self) -> list[Action]:
        self._state += 1
        if self._state == 1:
            base = range(self._base, self._base + IDLE_MB * MB)
            return [Commit(len(base)), Touch(base, write=True), Sleep(self._offset_s * SECOND_NS)]
        if self._left == 0:
            return []
        if self._state % 2 == 0:
            heap = range(self._heap, self._heap + (ACTIVE_MB - IDLE_MB) * MB)
            passes = 6
            cpu_ns = ACTIVE_S * SECOND_NS // (passes * len(heap))
            return [Commit(len(heap)), *[Touch(heap, cpu_ns, write=True)] * passes]
        self._left -= 1
        heap_pages = (ACTIVE_MB - IDLE_MB) * MB
        return [Release(self._heap, heap_pages), Sleep((PERIOD_S - ACTIVE_S) * SECOND_NS)]


def density(count: int, *, overcommit: bool) -> tuple[float, int, int]:
    """`count` guests, each working one tenth of the time, all out of step.

    Returns how much longer the slowest guest's whole run takes than alone, pages that could not be evicted (out of
    memory), and pages swapped to a disk.
    """
    hypervisor = Hypervisor(frames=(HOST_MB - DOM0_MB) * MB, exact=False, contents="tokens")
    guests = []
    for number in range(count):
        domid = number + 1
        size = (BOOT_MB if overcommit else GUEST_MB) * MB
        granted = 0
        while granted < size and hypervisor.heap.alloc_heap_pages(0, from_tmem=False):
            granted += 1
        handle = hypervisor.create_domain(domid, max_pages=GUEST_MB * MB, tot_pages=granted)
        cleancache = Cleancache(handle)
        cleancache.init_fs()
        memory = GuestMemory(
            max(granted, IDLE_MB * MB),
            reserved=16 * MB,
            disk=Disk(page_ns=40_000 * SCALE),
            contents=Contents(domid),
            cleancache=cleancache,
            frontswap=Frontswap(handle),
            swap=SwapDevice(2 * GUEST_MB * MB),
            reclaim_batch=1,
            swap_readahead=1,
        )
        guest = Guest(memory, [MostlyIdle(number * PERIOD_S // count, BURSTS)])
        if overcommit:
            balloon = Balloon(hypervisor, domid, guest)
            balloon.max_pfn = GUEST_MB * MB
            DaemonBalloon(balloon, Xenballoond(), scale=SCALE)
        guests.append(guest)
    run_together(guests, until_ns=1 << 62, slice_ns=SECOND_NS)
    alone_ns = BURSTS * PERIOD_S * SECOND_NS
    slowest = max(
        guest.threads[0].finished_ns - number * PERIOD_S // count * SECOND_NS - alone_ns
        for number, guest in enumerate(guests)
    )
    slower = slowest / (BURSTS * ACTIVE_S * SECOND_NS)
    failed = sum(guest.memory.out_of_memory for guest in guests)
    return slower, failed, sum(guest.memory.swap_outs for guest in guests)


def r9() -> Result:
    """Guests of 1 GiB on a host of 4 GiB."""
    fixed = (HOST_MB - DOM0_MB) // GUEST_MB
    table = [("guests", "bursts slower by", "out of memory", "pages swapped to disk")]
    most = 0
    for count in (4, 6, 8, 10, 11, 12, 14):
        slower, failed, swapped = density(count, overcommit=True)
        table.append((str(count), f"{slower:.1%}", str(failed), f"{swapped * SCALE:,}"))
        if failed or slower > 0.05:
            break
        most = count
    verdict: Verdict = "PASS" if most >= 6 else "SHAPE" if most > fixed else "MISS"
    return Result(
        "R9",
        "density",
        f"host of {HOST_MB} MiB ({DOM0_MB} for dom0), guests of up to {GUEST_MB} MiB, committed {IDLE_MB} MiB idle and "
        f"{ACTIVE_MB} MiB for {ACTIVE_S} of every {PERIOD_S} s, xenballoond, tmem",
        "4 GB host, 1 GB domains: at most 3 without, 6 or 10 or more with memory overcommit (Xen blog 2008 [V])",
        f"{fixed} guests without ballooning, {most} with, none out of memory and bursts at most 5 % slower",
        verdict,
        tuple(table),
        "The duty cycle and the two sizes are free parameters; the published text names neither.",
    )


class _Curve:
    """Notes when a guest fell below given sizes."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self.samples: list[tuple[int, int]] = []

    def note(self, now_ns: int) -> None:
        self.samples.append((now_ns // SECOND_NS, self._memory.totalram >> 8))

    def seconds_to(self, size_mb: int) -> int | None:
        return next((seconds for seconds, now_mb in self.samples if now_mb <= size_mb), None)


def _shrink(generation: Generation) -> _Curve:
    hypervisor = Hypervisor(frames=4_096, exact=False, contents="tokens")
    handle = hypervisor.create_domain(1, max_pages=5 << 18, tot_pages=5 << 18)
    memory = GuestMemory(
        5 << 18,
        reserved=11_264,  # totalreserve of such a guest: about 44 MiB of watermarks
        disk=Disk(),
        contents=Contents(1),
        cleancache=Cleancache(handle),
    )
    guest = Guest(memory, [Idle(region=1, committed=620 << 8, touched=1)])
    SelfBalloon(Balloon(hypervisor, 1, guest), Settings(generation=generation))
    curve = _Curve(memory)
    guest.add_timer(SECOND_NS, curve.note)
    guest.run(900 * SECOND_NS)
    return curve


def r10() -> Result:
    """An idle guest of 5 GiB under the selfballooning driver."""
    table: list[tuple[str, ...]] = [("generation", "to 900 MB", "to 700 MB", "after 15 min")]
    judged: _Curve | None = None
    for generation in GENERATIONS:
        curve = _shrink(generation)
        judged = judged or curve
        times = [
            "never" if seconds is None else f"{seconds} s" for seconds in map(curve.seconds_to, (900, 700))
        ]
        table.append((generation, *times, f"{curve.samples[-1][1]} MB"))
    assert judged is not None
    seconds, final_mb = judged.seconds_to(900), judged.samples[-1][1]
    good_time = seconds is not None and 90 <= seconds <= 180
    verdict: Verdict = "PASS" if good_time and final_mb <= 700 else "SHAPE" if final_mb <= 900 else "MISS"
    return Result(
        "R10",
        "idle-shrink",
        "guest of 5 GiB, 620 MiB committed, selfballoon every 5 s, down hysteresis 8",
        "from 5 GB to about 900 MB in less than 3 minutes, later below 700 MB (Xen wiki, TMEM [V])",
        f"900 MB after {seconds} s, {final_mb} MB in the end (generation 3.1)",
        verdict,
        tuple(table),
        "Committed memory is the free parameter. The later generation keeps a tenth of memory more, and stays above.",
    )

# SPDX-License-Identifier: GPL-2.0-only
"""R8: who gets tmem, when three guests want more than there is: greedy, static, reconf-static, smart.

One simulated page stands for SCALE.  The policies are our reading of the literature (guests/tmem_policy.py).
Units     seconds modelled.
"""

from dataclasses import dataclass
from typing import Final

from hypervisor_model.evaluation.result import Result, Verdict
from hypervisor_model.guests.balloon import SECOND_NS
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest, run_together
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.tmem_policy import POLICIES, Manager, Metered
from hypervisor_model.guests.workloads.synthetic import Usemem
from hypervisor_model.hypervisor import Hypervisor

SCALE: Final = 64
MB: Final = 256 // SCALE
GUEST_MB: Final = 512
CAPACITY_MB: Final = 1024
STEPS: Final = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Demand:
    """What the three guests grow to, when they begin, and how often they write all they have at each of six steps."""

    peak_mb: tuple[int, int, int]
    start_s: tuple[int, int, int]
    passes: int


# The third comes late, and wants most; and all at once, so that even greedy has to refuse.
STAGGERED: Final = Demand((960, 960, 1400), (0, 20, 40), 6)
TOGETHER: Final = Demand((960, 960, 960), (0, 5, 10), 12)


@dataclass(frozen=True, slots=True)
class Run:
    """What the three guests went through."""

    each: tuple[float, ...]  # running times
    to_disk: int  # pages swapped out to it
    in_use: float  # mean share of tmem's capacity, from second to second

    @property
    def seconds(self) -> float:
        return sum(self.each)


def run_policy(policy: str, step_percent: int = 2, demand: Demand = STAGGERED) -> Run:
    """The three guests under a policy."""
    capacity = CAPACITY_MB * MB
    hypervisor = Hypervisor(frames=capacity * 5 // 4 + 512, exact=False, contents="tokens")
    handles, guests = [], []
    disk = Disk(seek_ns=8_000_000, page_ns=40_000 * SCALE)
    for number, (peak_mb, start_s) in enumerate(zip(demand.peak_mb, demand.start_s, strict=True)):
        handle = Metered(hypervisor.create_domain(number + 1, tot_pages=GUEST_MB * MB))
        memory = GuestMemory(
            GUEST_MB * MB,
            reserved=32 * MB,
            disk=disk,
            contents=Contents(number + 1),
            frontswap=Frontswap(handle),
            swap=SwapDevice(2048 * MB),
            reclaim_batch=4,
            swap_readahead=1,
        )
        work = Usemem(
            region=1,
            pages=peak_mb * MB,
            steps=6,
            passes=demand.passes,
            delay_ns=start_s * SECOND_NS,
            cpu_ns=800_000,
        )
        handles.append(handle)
        guests.append(Guest(memory, [work]))
    manager = Manager(policy, handles, capacity, step_percent=step_percent)
    until_ns = 0
    used: list[int] = []
    while not all(guest.finished for guest in guests):
        until_ns += SECOND_NS
        run_together(guests, until_ns=until_ns, slice_ns=SECOND_NS // 50)
        manager.run()
        used.append(sum(handle.used for handle in handles))
    return Run(
        each=tuple(
            guest.threads[0].finished_ns / 1e9 - start_s
            for guest, start_s in zip(guests, demand.start_s, strict=True)
        ),
        to_disk=sum(guest.memory.swap_outs for guest in guests),
        in_use=sum(used) / len(used) / capacity,
    )


def _gain(run: Run, greedy_s: float) -> float:
    return 100 * (greedy_s / run.seconds - 1)


def _row(name: str, run: Run, greedy_s: float) -> tuple[str, ...]:
    return (
        name,
        *(f"{one:.0f}" for one in run.each),
        f"{run.seconds:.0f}",
        f"{_gain(run, greedy_s):+.1f} %",
        f"{run.to_disk / MB:,.0f}",
        f"{100 * run.in_use:.0f} %",
    )


def r8() -> Result:
    """Three guests with staggered demand on one pool."""
    table: list[tuple[str, ...]] = [
        (
            "policy",
            "guest 1",
            "guest 2",
            "guest 3",
            "seconds in all",
            "faster",
            "MB swapped to disk",
            "tmem in use",
        )
    ]
    greedy = run_policy("greedy").seconds
    smart: dict[int, float] = {}
    for policy in POLICIES:
        for step in STEPS if policy == "smart" else (2,):
            run = run_policy(policy, step)
            name = f"smart P = {step} %" if policy == "smart" else policy
            table.append(_row(name, run, greedy))
            if policy == "smart":
                smart[step] = _gain(run, greedy)
    crowded = run_policy("greedy", demand=TOGETHER)
    table.append(_row("greedy, together", crowded, crowded.seconds))
    table.append(_row("smart P = 2 %, together", run_policy("smart", demand=TOGETHER), crowded.seconds))
    best = max(smart.values())
    verdict: Verdict = "PASS" if 10 <= best <= 40 and smart[2] >= 0 else "SHAPE" if best >= 0 else "MISS"
    return Result(
        "R8",
        "policy",
        f"3 guests of {GUEST_MB} MB that grow to {', '.join(map(str, STAGGERED.peak_mb))} MB, started 20 s apart, "
        f"{CAPACITY_MB} MB of tmem",
        "up to 35 % over greedy (SmarTmem, IPDPSW 2019), 37.5 % and 76.8 % (vMCA): abstracts only [A]",
        f"smart at best {best:+.1f} % over greedy, {smart[2]:+.1f} % at P = 2 %",
        verdict,
        tuple(table),
        "The policies are our reading of the literature, not a reproduction. The last columns tell why greedy wins "
        "here: it lets the two early guests finish before the third needs memory, while under a cap pages go to a disk "
        "although tmem has room. It wins as well where it has to refuse (together: three guests that grow to "
        f"{TOGETHER.peak_mb[0]} MB, 5 s apart, with {TOGETHER.passes} passes).",
    )

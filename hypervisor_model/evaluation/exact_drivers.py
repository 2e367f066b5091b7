# SPDX-License-Identifier: GPL-2.0-only
"""X6, X7, X8: the ballooning drivers against values computed by hand from their formulas, on a whole guest."""

from typing import Final

from hypervisor_model.evaluation.result import Result, exact
from hypervisor_model.guests.balloon import SECOND_NS, Balloon, SelfBalloon
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.selfballoon import GENERATIONS, Generation, SelfShrink, Settings, floor_pages, mb
from hypervisor_model.guests.workloads.synthetic import Idle
from hypervisor_model.guests.xenballoond import Config, Xenballoond, minimum_mb
from hypervisor_model.hypervisor import Hypervisor

RESERVE: Final = 2048
FLOORS: Final = {
    64: 11264,
    128: 14848,
    256: 18944,
    384: 23040,
    512: 27136,
    1024: 34728,
    2048: 42920,
    4096: 59304,
    8192: 92072,
}
# The later driver adds a tenth of memory to its goal: 38 MB here.
BALLOON: Final[dict[Generation, list[int]]] = {
    "3.1": [98304, 89472, 81744, 74982, 69066, 63889, 59359, 55396, 51928, 48893, 46238, 43915, 41882],
    "4.x": [98304, 90688, 84024, 78193, 73091, 68627, 64721, 61303, 58313, 55696, 53406, 51403, 49650],
}
SHRINK: Final[dict[Generation, list[int]]] = {
    "3.1": [1000, 1000, 1000, 950, 903, 858, 816, 776, 738, 702, 667, 634],
    "4.x": [1000, 1000, 1000, 950, 950, 950, 903, 903, 903, 858, 858, 858, 816],
}
MINIMA: Final = {
    64: 40,
    128: 72,
    256: 104,
    384: 136,
    512: 168,
    1024: 232,
    1999: 353,
    2048: 360,
    4096: 424,
    8192: 552,
}


class _Sizes:
    """Notes a guest's size every five seconds, before the driver runs."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self.sizes = [memory.totalram]

    def note(self, _now_ns: int) -> None:
        self.sizes.append(self._memory.totalram)


def x6() -> Result:
    """The balloon of a 384 MiB guest that has promised 100 MiB, and the floors."""
    failures = [
        f"floor of {ram_mb} MB: {floor_pages(mb(ram_mb), RESERVE)}, not {pages}"
        for ram_mb, pages in FLOORS.items()
        if floor_pages(mb(ram_mb), RESERVE) != pages
    ]
    for generation, wanted in BALLOON.items():
        failures += _balloon_failures(generation, wanted)
    return exact(
        "X6",
        "selfballoon-golden",
        "384 MiB guest, 100 MiB committed, drivers of Linux 3.1 and 4.x; floors of 64 MiB to 8 GiB",
        "integers computed from the drivers' formulas",
        failures,
        f"{sum(map(len, BALLOON.values()))} sizes and {len(FLOORS)} floors equal; the domain's reservation follows",
    )


def _balloon_failures(generation: Generation, wanted: list[int]) -> list[str]:
    hypervisor = Hypervisor(frames=4_096, exact=False, contents="tokens")
    handle = hypervisor.create_domain(1, max_pages=mb(384), tot_pages=mb(384))
    memory = GuestMemory(
        mb(384), reserved=RESERVE, disk=Disk(), contents=Contents(1), cleancache=Cleancache(handle)
    )
    guest = Guest(memory, [Idle(region=1, committed=mb(100))])
    SelfBalloon(Balloon(hypervisor, 1, guest), Settings(generation=generation))
    sizes = _Sizes(memory)
    guest.add_timer(5 * SECOND_NS, sizes.note)
    guest.run(len(wanted) * 5 * SECOND_NS)
    failures = []
    if sizes.sizes[: len(wanted)] != wanted:
        failures.append(f"{generation}: sizes {sizes.sizes}, not {wanted}")
    if handle.domain.tot_pages != memory.totalram:
        failures.append(f"the domain owns {handle.domain.tot_pages} pages, the guest has {memory.totalram}")
    return failures


def x7() -> Result:
    """Selfshrinking of 1,000 pages, and the last pages that never go."""
    failures: list[str] = []
    for generation in GENERATIONS:
        for last_pages_stay in (True, False):
            hypervisor = Hypervisor(frames=4_096, exact=False, contents="tokens")
            front = Frontswap(hypervisor.create_domain(1, max_pages=1 << 20, tot_pages=1_000))
            device = front.init(2_048)
            slots = list(range(1_000))
            for slot in slots:
                front.store(device, slot, b"page")

            def unuse(device: int, count: int, front: Frontswap = front, slots: list[int] = slots) -> int:
                for slot in slots[:count]:
                    front.invalidate_page(device, slot)
                del slots[:count]
                return count

            driver = SelfShrink(Settings(generation=generation))
            driver.run(front.curr_pages, lambda target: None)
            sizes = [front.curr_pages]
            for _ in range(600):
                driver.run(
                    front.curr_pages,
                    lambda target, front=front, unuse=unuse, stay=last_pages_stay: front.shrink(  # type: ignore[misc]
                        target, unuse, last_pages_stay=stay
                    ),
                )
                sizes.append(front.curr_pages)
            golden = SHRINK[generation]
            if sizes[: len(golden)] != golden:
                failures.append(f"{generation}: {sizes[: len(golden)]}, not {golden}")
            if (sizes[-1] == 0) == last_pages_stay or sizes[-1] > 20:
                failures.append(f"{generation}: {sizes[-1]} pages left in the end")
    return exact(
        "X7",
        "selfshrink-golden",
        "frontswap of 1,000 pages, both generations, with and without the quirk of frontswap_shrink(0)",
        "integers computed from the driver's formulas; with the quirk up to 20 pages stay for ever",
        failures,
        "both traces equal; the last pages stay with the quirk and go without",
    )


def x8() -> Result:
    """xenballoond's minima, its way down by a tenth and up at once, and its preswap rule."""
    failures = [
        f"minimum of {ram_mb} MB: {minimum_mb(ram_mb * 1024)}, not {expected}"
        for ram_mb, expected in MINIMA.items()
        if minimum_mb(ram_mb * 1024) != expected
    ]
    daemon = Xenballoond()
    size_kb, expected_kb = 384 * 1024, 384 * 1024
    for committed_kb in [150_000] * 10 + [300_000, 20_000, 20_000]:
        size_kb = daemon.balloon_target_kb(size_kb, committed_kb)
        goal_kb = max(committed_kb, 136 * 1024)
        expected_kb += goal_kb - expected_kb if expected_kb <= goal_kb else -((expected_kb - goal_kb) // 10)
        if size_kb != expected_kb:
            failures.append(f"target {size_kb}, not {expected_kb}")
    preswap = Xenballoond(Config(preswap_shrink=True))
    targets = [preswap.preswap_target(1000) for _ in range(21)]
    if targets != [None] * 10 + [950] + [None] * 9 + [950]:
        failures.append(f"preswap targets {targets}")
    return exact(
        "X8",
        "xenballoond-golden",
        "minima of 64 MiB to 8 GiB; 384 MiB guest, 13 rounds; preswap of 1,000 pages",
        "integers computed from the script's formulas",
        failures,
        f"{len(MINIMA)} minima, 13 targets and 21 preswap rounds equal",
    )

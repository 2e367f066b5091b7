# SPDX-License-Identifier: GPL-2.0-only
"""G1, G2: the guest model held to recorded Linux guests, and what tmem's weights do to four of them on one host.

The recordings (tmem-ops/1) are no part of the package: XM_TMEM_CONFORMANCE names the folder that has `guests/`.
Units     pages; percentage points.
"""

import os
from pathlib import Path
from typing import Final

from hypervisor_model.evaluation.operator import Operator
from hypervisor_model.evaluation.recorded_guests import MODELS
from hypervisor_model.evaluation.result import Result, Verdict
from hypervisor_model.evaluation.traffic import NAMES, of_recording
from hypervisor_model.guests.recording import Recording, ReplayedGuest
from hypervisor_model.hypervisor import Hypervisor

TOLERANCE: Final = 15.0  # percentage points
HOST_MB: Final = 512
SECONDS: Final = 141  # each recording is played at the speed at which it takes so long
SLICE_US: Final = 10_000

# The recordings that are merged: name, the guest's own memory in MiB, weight when the weights differ.
MERGED: Final = (("compile-4.12", 96, 4), ("twofs-4.12", 112, 4), ("grep-4.12", 128, 1), ("db-4.12", 128, 1))
WEIGHTS: Final[tuple[tuple[str, tuple[int, ...]], ...]] = (
    ("none", (0, 0, 0, 0)),
    ("equal", (1, 1, 1, 1)),
    ("4:1", tuple(weight for _, _, weight in MERGED)),
)


def recording_path(name: str) -> Path | None:
    """Where a recording is; None when it is not there."""
    root = os.environ.get("XM_TMEM_CONFORMANCE")
    folder = Path(root) if root else Path(__file__).resolve().parents[2].parent / "shared" / "conformance"
    path = folder / "guests" / f"{name}.tmemops.gz"
    return path if path.is_file() else None


def _absent(scenario: str, title: str) -> Result:
    where = "no recordings: set XM_TMEM_CONFORMANCE to the folder that has guests/"
    return Result(scenario, title, where, "recorded Linux 4.19 guests on Xen 4.12", "not run", "NO-REF")


def g1() -> Result:
    """Shares, reuse distances and distinct contents of five guests, modelled against recorded."""
    title = "recorded-guests"
    table: list[tuple[str, ...]] = [("guest", "", *NAMES, "largest difference")]
    worst = 0.0
    for name, make in MODELS.items():
        path = recording_path(name)
        if path is None:
            return _absent("G1", title)
        recorded = of_recording(Recording(str(path))).shares()
        guest, handle = make()
        guest.run(1 << 62)
        modelled = handle.traffic.shares()
        difference = max(abs(recorded[key] - modelled[key]) for key in NAMES)
        worst = max(worst, difference)
        table.append((name, "recorded", *(f"{recorded[key]:.0f}" for key in NAMES), ""))
        table.append(("", "modelled", *(f"{modelled[key]:.0f}" for key in NAMES), f"{difference:.0f}"))
    verdict: Verdict = "PASS" if worst <= TOLERANCE else "SHAPE" if worst <= 2 * TOLERANCE else "MISS"
    return Result(
        "G1",
        title,
        "five guests of Linux 4.19 on Xen 4.12, rebuilt from what their recordings' headers say ran in them",
        f"their recordings; every share within {TOLERANCE:.0f} percentage points",
        f"largest difference {worst:.0f} points",
        verdict,
        tuple(table),
        "In percent. Puts, gets, flushes: of all operations. Hits: of ephemeral gets. Persistent, distinct contents: "
        "of puts. The last five: of the hits, by the number of ephemeral puts between put and get. What no header says "
        "(the kernel's own memory, inodes remembered, how a program uses its files) was fitted to these recordings: "
        "it is how near the model can come, not a prediction.",
    )


def _merged(quirks: str, weights: tuple[int, ...]) -> tuple[list[ReplayedGuest], list[int], int]:
    """Play the four on one host; the guests, the ephemeral pages each holds at the end, and pages evicted in all."""
    tmem_mb = HOST_MB - sum(memory_mb for _, memory_mb, _ in MERGED)
    hypervisor = Hypervisor(
        release="4.12", frames=tmem_mb * 256, exact=False, contents="tokens", quirks=quirks
    )
    operator = Operator(hypervisor)
    guests = []
    for domid, ((name, memory_mb, _), weight) in enumerate(zip(MERGED, weights, strict=True), 1):
        path = recording_path(name)
        assert path is not None
        recording = Recording(str(path))
        handle = hypervisor.create_domain(domid, name=name, tot_pages=memory_mb * 256)
        phases = recording.header["phases"]
        length_s = phases[-1]["start"] + phases[-1]["seconds"]
        guest = ReplayedGuest(recording, handle, speed=length_s / SECONDS)
        guest.step(1, 1 << 62)  # its first pool, so that it is a client
        hypervisor.set_weight(domid, weight)
        guests.append(guest)
    until_us = 0
    while not all(guest.finished for guest in guests):
        until_us += SLICE_US
        for guest in guests:
            guest.step(1 << 62, until_us)
    held = [operator.counters(f"C=CI:{domid},")["Ec"] for domid in range(1, len(guests) + 1)]
    return guests, held, operator.counters("G=")["Et"]


def g2() -> Result:
    """Hit rates and evictions under no weights, equal ones and 4:1, as the C computes them and as documented."""
    title = "weights"
    if any(recording_path(name) is None for name, _, _ in MERGED):
        return _absent("G2", title)
    table: list[tuple[str, ...]] = [
        ("quirks", "weights", *(f"{name} hits" for name, _, _ in MERGED), "all", "evicted")
    ]
    rates: dict[tuple[str, str], list[float]] = {}
    for quirks in ("xen", "documented"):
        for label, weights in WEIGHTS:
            guests, _, evicted = _merged(quirks, weights)
            each = [100 * guest.hits / guest.gets for guest in guests]
            together = 100 * sum(guest.hits for guest in guests) / sum(guest.gets for guest in guests)
            rates[quirks, label] = each
            row = (quirks, label, *(f"{rate:.1f} %" for rate in each), f"{together:.1f} %", f"{evicted:,}")
            table.append(row)
    gained = {
        quirks: sum(rates[quirks, "4:1"][:2]) - sum(rates[quirks, "equal"][:2])
        for quirks in ("xen", "documented")
    }
    return Result(
        "G2",
        title,
        f"host of Xen 4.12 with {HOST_MB} MiB, of which the four guests' own memory leaves "
        f"{HOST_MB - sum(memory for _, memory, _ in MERGED)} MiB to tmem; each recording stretched to {SECONDS} s; "
        "4:1 favours compile and twofs",
        "none published",
        f"weights of 4:1 change the two favoured guests' hit rates by {gained['xen'] / 2:+.1f} points as the C "
        f"computes them and by {gained['documented'] / 2:+.1f} as documented, compared with equal weights",
        "NO-REF",
        tuple(table),
        "Hit rate: of ephemeral gets. The recordings are closed loops: a guest that had been refused a page would "
        "have asked for others.",
    )

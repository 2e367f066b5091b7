# SPDX-License-Identifier: GPL-2.0-only
"""Guests at work from end to end: kernels with page caches, swap and tmem on one host, in metadata mode.

Every guest reads and writes a file larger than its memory by popularity, so that pages go to tmem and come back. An
operation is a tmem hypercall, an access is a page that a guest uses. Bytes per stored page are what the process grows
by while the guests fill their memory and tmem, for each page in either; what a workload is made of was there before.
"""

from __future__ import annotations

import gc
import tempfile
import time
from typing import Any

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.metadata import rss_bytes
from benchmarks.timing import cpu_ns, median, ratio
from hypervisor_model.guests.guest import Guest
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.runner import Runner, boot

SCENARIO = """\
seed: 1
host: {{release: "4.3", memory: {host}MiB, exact: false, contents: tokens}}
guests:
  - name: guest
    kind: linux
    count: {guests}
    memory: {memory}MiB
    kernel: 1MiB
    workload: {{kind: zipf, file: {file}MiB, skew: 0.6, writes: 0.05, accesses: {accesses}}}
"""
WHOLE = 10_000_000  # accesses of the run that is measured from its boot to its end
WHOLE_S = 120
LINEAR = 1.25  # of the cost of an operation with one guest


def _boot(guests: int, accesses: int, memory_mb: int) -> Runner:
    """Guests of so much memory, with twice as much tmem and a file five times as large for each."""
    text = SCENARIO.format(
        guests=guests, accesses=accesses, memory=memory_mb, file=5 * memory_mb, host=guests * 3 * memory_mb
    )
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return boot(load_file(file.name))


def measure(accesses: int, each: int, most: int, memory_mb: int, rounds: int) -> dict[str, Any]:
    """4 guests with so many accesses in all: operations and accesses per CPU second, bytes per page, seconds by the
    clock on the wall from boot to end; and what an operation costs by number of guests in each round, with `each`
    accesses for each guest, and with one guest that has the memory of `most`."""
    _boot(1, 2000, 4).run()
    gc.collect()
    began = time.monotonic()
    runner = _boot(4, accesses // 4, memory_mb)
    before = rss_bytes()
    start = cpu_ns()
    runner.run()
    seconds = (cpu_ns() - start) / 1e9
    elapsed_s = time.monotonic() - began
    gc.collect()
    kernels = [guest.driver for guest in runner.guests if isinstance(guest.driver, Guest)]
    stored = runner.hypervisor.tmem.page_count + sum(len(kernel.memory.pages) for kernel in kernels)
    answer: dict[str, Any] = {
        "operations": runner.operations,
        "operations_per_s": runner.operations / seconds,
        "accesses_per_s": accesses / seconds,
        "cpu_s": seconds,
        "elapsed_s": elapsed_s,
        "bytes": (rss_bytes() - before) / stored,
        "us": {},
    }
    del runner, kernels
    counts = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    each_mb = max(2, memory_mb // 6)
    for _ in range(rounds):
        for guests in counts:
            answer["us"].setdefault(guests, []).append(_cost_us(guests, each, each_mb))
        answer.setdefault("us_of_one_as_large", []).append(_cost_us(1, most * each, most * each_mb))
    return answer


def _cost_us(guests: int, each: int, memory_mb: int) -> float:
    """Microseconds of an operation."""
    gc.collect()  # what was measured before is not to be cleared away at the cost of this one
    runner = _boot(guests, each, memory_mb)
    start = cpu_ns()
    runner.run()
    return (cpu_ns() - start) / 1e3 / runner.operations


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """All figures of every build."""
    lines: list[Figure] = []
    each, most, memory_mb, rounds = (625, 4, 4, 1) if quick else (15_625, 32, 24, 3)
    for build in builds:
        name = build.name
        if build.why_not:
            lines.append(not_measured(f"guests, {name}", build.why_not))
            continue
        if quick:
            accesses = 80_000
        else:
            accesses = WHOLE if name == "compiled" else WHOLE // 20
        answer = build.measure(
            "guests", accesses=accesses, each=each, most=most, memory_mb=memory_mb, rounds=rounds
        )
        one, many = answer["us"]["1"], answer["us"][str(most)]
        costs = ", ".join(f"{guests}: {median(us):.1f} us" for guests, us in answer["us"].items())
        lines += [
            Figure(
                f"4 guests, tmem operations, {name}",
                answer["operations_per_s"],
                "/s",
                goal=Goal(300_000, "/s", at_least=True),
                note=build.note,
            ),
            Figure(
                f"4 guests, page accesses, {name}",
                answer["accesses_per_s"],
                "/s",
                goal=Goal(-(-WHOLE // WHOLE_S), "/s", at_least=True),
            ),
            Figure(
                f"bytes per stored page, guests included, {name}", answer["bytes"], "B", goal=Goal(300, "B")
            ),
            Figure(
                f"operation with {most} guests, {name}",
                median(many),
                "us",
                ratio(many, one),
                "with 1 guest",
                Goal(LINEAR),
                f"by number of guests, {name}: {costs}",
            ),
            Figure(
                f"  the same beside one guest as large as {most}, {name}",
                median(many),
                "us",
                ratio(many, answer["us_of_one_as_large"]),
                f"{median(answer['us_of_one_as_large']):.1f} us",
            ),
        ]
        if accesses == WHOLE:
            lines.append(
                Figure(
                    f"4 guests, {WHOLE:,} page accesses from boot to end, {name}",
                    answer["elapsed_s"],
                    "s",
                    goal=Goal(WHOLE_S, "s"),
                    note=f"by the clock on the wall, {answer['operations']:,} tmem operations; "
                    f"{answer['cpu_s']:.0f} s of CPU time",
                )
            )
    return lines

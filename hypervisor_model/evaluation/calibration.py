# SPDX-License-Identifier: GPL-2.0-only
"""How the free parameters of the kernel compilations were found: from their stated rows, and from those only.

    python -m hypervisor_model.evaluation.calibration R5

begins with the setting that the search before it found, keeps those whose *calibration rows* come nearest to what was
published, and changes them little by little within stated bounds.  The rows that a scenario is judged on are never
computed here.  It is deterministic: the same command prints the same setting, which is then written into
`kernel_compile`.
"""

import argparse
import math
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hypervisor_model.evaluation import kernel_compile
from hypervisor_model.evaluation.one_machine import Machine, Run, mean_build, without

SEEDS: Final = kernel_compile.FIVE_RUNS
KEPT: Final = 6
GENERATIONS: Final = 2
CHANGED: Final = 8  # settings tried in a generation
PARENTS: Final = 4
SPREAD: Final = 0.12  # of the first generation's changes; each later one's are smaller
DIGITS: Final = 5  # of a value, as printed: near its knee a build tells the sixth
HOPELESS: Final = 1e6
POOR: Final = 30.0  # whoever errs so much with one seed is not tried with more

Setting = Mapping[str, float]
Pair = tuple[Run, Run]  # without a back end, and with it


@dataclass(frozen=True, slots=True)
class Problem:
    """What is free, and how far a setting is from the published rows."""

    rows: tuple[int, ...]
    """Numbers of jobs, the easiest first."""
    slowdown: tuple[float, float]
    """A setting is hopeless unless its last row takes so many times what the CPUs alone would need."""
    free: Mapping[str, tuple[float, float]]
    """Name -> bounds, both above 0."""
    start: Setting
    machine: Callable[[Setting], Machine]
    error: Callable[[Mapping[int, Pair]], float]
    """A sum of squares, each 1 where a row is off by as much as one would not mind."""


def _squares(*terms: tuple[float, float, float]) -> float:
    """Of (found, wanted, what one would not mind)."""
    return sum(((found - wanted) / spread) ** 2 for found, wanted, spread in terms)


def _shape(setting: Setting, base: Machine) -> Machine:
    """`base` with the setting's working set."""
    shape = replace(
        base.shape,
        heap_pages=round(setting["heap_pages"]),
        heap_spread=setting["heap_spread"],
        heap_reuse=setting["heap_reuse"],
        young_share=setting["young_share"],
        headers=round(setting["headers"]),
        headers_each=round(setting["headers_each"]),
        tool_pages=round(setting["tool_pages"]),
        tool_touches=round(setting["tool_touches"]),
    )
    return replace(base, shape=shape)


WORKING_SET: Final[Mapping[str, tuple[float, float]]] = {
    "heap_pages": (8_000, 20_000),
    "heap_spread": (0.05, 0.8),
    # With 1 GB the collector of gcc does not run before a heap has 128 MB: what is old is seldom touched.
    "heap_reuse": (0.05, 0.8),
    "young_share": (0.7, 1.0),
    "headers": (800, 6_000),
    "headers_each": (100, 700),
    "tool_pages": (2_000, 8_000),
    "tool_touches": (1_000, 5_000),
}


# What the eighth search found from the seventh's setting, in nine generations and with three seeds.
START: Final[Setting] = {
    "heap_pages": 12_972,
    "heap_spread": 0.05,
    "heap_reuse": 0.12639,
    "young_share": 0.97015,
    "headers": 3162.6,
    "headers_each": 397.94,
    "tool_pages": 3172.6,
    "tool_touches": 3919.1,
}


def _error_r5(rows: Mapping[int, Pair]) -> float:
    """8 and 24 threads: how much longer 24 take, both gains, and the pages that were served."""
    published = kernel_compile.PUBLISHED_CLEANCACHE
    (before_8, after_8), (before_24, after_24) = rows[8], rows[24]
    return _squares(
        (before_24.seconds / before_8.seconds, published[24].seconds / published[8].seconds, 0.08),
        (kernel_compile.shorter(before_8, after_8), published[8].gain, 1.5),
        (kernel_compile.shorter(before_24, after_24), published[24].gain, 1.5),
        (math.log(after_8.served + 5_000), math.log(published[8].served + 5_000), math.log(2)),
        (math.log(after_24.served + 5_000), math.log(published[24].served + 5_000), math.log(1.2)),
    )


PROBLEMS: Final[Mapping[str, Problem]] = {
    "R5": Problem(
        (8, 24), (1.2, 1.8), WORKING_SET, START, partial(_shape, base=kernel_compile.CLEANCACHE), _error_r5
    ),
}


def measure(problem: Problem, setting: Setting, seeds: Sequence[int]) -> float:
    """How far the setting is from the published rows."""
    machine = problem.machine(setting)
    last = problem.rows[-1]
    low, high = problem.slowdown
    slowdown = mean_build(without(machine), last, seeds[:1]).seconds / machine.cpu_seconds
    if not low <= slowdown <= high:
        return HOPELESS
    rows = {jobs: _pair(machine, jobs, seeds[:1]) for jobs in problem.rows}
    error = problem.error(rows)
    if error > POOR or len(seeds) == 1:
        return error
    # Where nothing is short of memory one seed is as good as many.
    return problem.error(rows | {last: _pair(machine, last, seeds)})


def _pair(machine: Machine, jobs: int, seeds: Sequence[int]) -> Pair:
    return mean_build(without(machine), jobs, seeds), mean_build(machine, jobs, seeds)


def changed(problem: Problem, setting: Setting, rng: random.Random, spread: float) -> dict[str, float]:
    """A setting like this one, within the bounds; about half of it is kept."""
    near = dict(setting)
    for name, (low, high) in problem.free.items():
        if rng.random() < 0.5:
            near[name] = min(high, max(low, near[name] * math.exp(rng.gauss(0, spread))))
    return {name: float(f"{value:.{DIGITS}g}") for name, value in near.items()}


def search(name: str, *, jobs: int, progress: Callable[[str], None]) -> tuple[float, dict[str, float]]:
    """The best setting found, and its error."""
    problem, rng = PROBLEMS[name], random.Random(name)
    best: list[tuple[float, dict[str, float]]] = []
    settings = [dict(problem.start)]
    with ProcessPoolExecutor(jobs) as pool:
        for generation in range(GENERATIONS):
            parents = [setting for _, setting in best[:PARENTS]] or settings
            settings += [
                changed(problem, rng.choice(parents), rng, SPREAD * 0.88**generation)
                for _ in range(CHANGED - len(settings))
            ]
            errors = pool.map(partial(_measure_named, name, seeds=SEEDS), settings)
            best = sorted([*best, *zip(errors, settings, strict=True)], key=_by_error)[:KEPT]
            settings = []
            found = " ".join(f"{key}={value:.{DIGITS}g}" for key, value in best[0][1].items())
            progress(f"generation {generation + 1} of {GENERATIONS}: best {best[0][0]:.2f} {found}")
    return best[0]


def _measure_named(name: str, setting: dict[str, float], seeds: Sequence[int]) -> float:
    return measure(PROBLEMS[name], setting, seeds)


def _by_error(candidate: tuple[float, Setting]) -> float:
    return candidate[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="calibration", description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=sorted(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    error, setting = search(
        options.scenario, jobs=options.jobs, progress=lambda line: print(line, file=sys.stderr, flush=True)
    )
    print(f"{options.scenario}: error {error:.2f}")
    for name, value in setting.items():
        print(f"    {name}={value:.{DIGITS}g}")


if __name__ == "__main__":
    main()

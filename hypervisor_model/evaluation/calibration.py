# SPDX-License-Identifier: GPL-2.0-only
"""How the free parameters of the kernel compilations were found: from their stated rows, and from those only.

    python -m hypervisor_model.evaluation.calibration R5

draws settings at random within stated bounds, keeps those whose *calibration rows* come nearest to what was published,
and changes them little by little.  The rows that a scenario is judged on are never computed here.  It is deterministic:
the same command prints the same setting, which is then written into `kernel_compile`.
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

SEEDS: Final = (1, 2, 3, 4, 5)
DRAWN: Final = 160
KEPT: Final = 6
GENERATIONS: Final = 12
SKETCH: Final = (
    2  # before the end of the search so many times fewer sources are compiled, with three seeds at most
)
CHANGED: Final = 8  # settings tried in a generation
PARENTS: Final = 4
HOPELESS: Final = 1e6
POOR: Final = 60.0  # whoever errs so much with one seed is not tried with more

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
        heap_reuse=setting["heap_reuse"],
        young_share=1 - setting["old_share"],
        tool_pages=round(setting["tool_pages"]),
        tool_touches=round(setting["tool_touches"]),
        tool_core=round(setting["tool_core"]),
    )
    return replace(base, shape=shape)


WORKING_SET: Final[Mapping[str, tuple[float, float]]] = {
    "heap_pages": (8_000, 20_000),
    "heap_reuse": (0.05, 0.6),
    # With 1 GB the collector of gcc does not run before a heap has 128 MB: what is old is seldom touched.
    "old_share": (0.002, 0.2),
    "tool_pages": (2_500, 6_000),
    "tool_touches": (2_500, 9_000),
    "tool_core": (20, 1_000),
}


def _error_r5(rows: Mapping[int, Pair]) -> float:
    """8 and 24 threads: how much longer 24 take, both gains, and the pages that were served."""
    published = kernel_compile.PUBLISHED_CLEANCACHE
    whole = kernel_compile.with_serial_part(rows)
    (before_8, after_8), (before_24, after_24) = whole[8], whole[24]
    return _squares(
        (before_24.seconds / before_8.seconds, published[24].seconds / published[8].seconds, 0.08),
        (kernel_compile.shorter(before_8, after_8), published[8].gain, 1.5),
        (kernel_compile.shorter(before_24, after_24), published[24].gain, 1.5),
        # Fewer than some ten thousand may come from anywhere.
        (math.log(after_8.served + 20_000), math.log(published[8].served + 20_000), math.log(2)),
        (math.log(after_24.served + 5_000), math.log(published[24].served + 5_000), math.log(1.2)),
    )


PROBLEMS: Final[Mapping[str, Problem]] = {
    "R5": Problem(
        (8, 24), (1.2, 2.2), WORKING_SET, partial(_shape, base=kernel_compile.CLEANCACHE), _error_r5
    ),
}


def measure(problem: Problem, setting: Setting, seeds: Sequence[int], *, sketch: int = 1) -> float:
    """How far the setting is from the published rows; as a sketch, with so many times fewer sources."""
    machine = problem.machine(setting)
    machine = replace(machine, sources=machine.sources // sketch)
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


def drawn(problem: Problem, rng: random.Random) -> dict[str, float]:
    """A setting somewhere within the bounds."""
    return {
        name: math.exp(rng.uniform(math.log(low), math.log(high)))
        for name, (low, high) in problem.free.items()
    }


def changed(problem: Problem, setting: Setting, rng: random.Random, spread: float) -> dict[str, float]:
    """A setting like this one, within the bounds; about half of it is kept."""
    near = dict(setting)
    for name, (low, high) in problem.free.items():
        if rng.random() < 0.5:
            near[name] = min(high, max(low, near[name] * math.exp(rng.gauss(0, spread))))
    return near


def search(name: str, *, jobs: int, progress: Callable[[str], None]) -> tuple[float, dict[str, float]]:
    """The best setting found, and its error."""
    problem, rng = PROBLEMS[name], random.Random(name)
    with ProcessPoolExecutor(jobs) as pool:

        def best_of(
            settings: Sequence[dict[str, float]], seeds: Sequence[int], sketch: int
        ) -> list[tuple[float, dict[str, float]]]:
            errors = pool.map(partial(_measure_named, name, seeds=seeds, sketch=sketch), settings)
            return sorted(zip(errors, settings, strict=True), key=_by_error)[:KEPT]

        first = best_of([drawn(problem, rng) for _ in range(DRAWN)], SEEDS[:1], SKETCH)
        progress(f"{DRAWN} drawn: best {first[0][0]:.2f} with one seed")
        best = best_of([setting for _, setting in first], SEEDS[:3], SKETCH)
        for generation in range(GENERATIONS):
            spread = 0.2 * 0.85**generation
            settings = [changed(problem, rng.choice(best[:PARENTS])[1], rng, spread) for _ in range(CHANGED)]
            best = sorted(best + best_of(settings, SEEDS[:3], SKETCH), key=_by_error)[:KEPT]
            progress(
                f"generation {generation + 1} of {GENERATIONS}: best {best[0][0]:.2f} {_text(best[0][1])}"
            )
        best = best_of([setting for _, setting in best], SEEDS, 1)
        progress(f"whole, with every seed: {', '.join(f'{error:.2f}' for error, _ in best)}")
    return best[0]


def _measure_named(name: str, setting: dict[str, float], seeds: Sequence[int], sketch: int) -> float:
    return measure(PROBLEMS[name], setting, seeds, sketch=sketch)


def _text(setting: Setting) -> str:
    return " ".join(f"{name}={value:.5g}" for name, value in setting.items())


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
        print(f"    {name}={value:.5g}")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-only
"""How the free parameters of the kernel compilations were found: from their stated rows, and from those only.

    python -m hypervisor_model.evaluation.calibration R5

tries settings within stated bounds (or begins with the one in use, where a build takes long), keeps those whose
*calibration rows* come nearest to what was published, and changes them little by little.  The rows that a scenario is
judged on are never computed here.  It is deterministic: the same command prints the same setting, which is then written
into `kernel_compile`.
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
from typing import Final, NamedTuple

from hypervisor_model.evaluation import kernel_compile
from hypervisor_model.evaluation.one_machine import Machine, Run, mean_build, without

SEEDS: Final = kernel_compile.FIVE_RUNS
KEPT: Final = 6
PARENTS: Final = 4
CALMING: Final = 0.8  # of a generation's changes to those of the one before it
DIGITS: Final = 4  # of a value, as printed: near its knee a build tells the fifth
HOPELESS: Final = 1e6

Setting = Mapping[str, float]
Pair = tuple[Run, Run]  # without a back end, and with it
Row = tuple[str, int]  # which machine, and the number of jobs


class Effort(NamedTuple):
    """How much is tried."""

    explored: int
    """Settings from anywhere within the bounds, before the first generation; 0: begin with the setting in use."""
    generations: int
    changed: int  # settings tried in a generation
    spread: float
    """Of the first generation's changes, in parts of a value."""
    poor: float
    """Whoever errs so much with one seed is not tried with more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is free, and how far a setting is from the published rows."""

    machines: Mapping[str, Machine]
    """As they are used."""
    rows: tuple[Row, ...]
    free: Mapping[str, tuple[float, float]]
    """Name of a field of a machine or of its shape -> bounds, both above 0."""
    error: Callable[[Mapping[Row, Pair]], float]
    """A sum of squares, each 1 where a row is off by as much as one would not mind."""
    effort: Effort

    @property
    def start(self) -> dict[str, float]:
        """The setting in use."""
        machine = next(iter(self.machines.values()))
        return {
            name: getattr(machine if hasattr(machine, name) else machine.shape, name) for name in self.free
        }

    def rounded(self, setting: Setting) -> dict[str, float]:
        """Within the bounds, and as it is printed: numbers of pages, microseconds and percent are whole."""
        start = self.start
        return {
            name: type(start[name])(float(f"{min(high, max(low, setting[name])):.{DIGITS}g}"))
            for name, (low, high) in self.free.items()
        }

    def machine(self, name: str, setting: Setting) -> Machine:
        """That machine with the setting."""
        machine = self.machines[name]
        start = self.start
        typed = {
            key: type(start[key])(value) for key, value in setting.items()
        }  # pages are whole, shares are not
        own = {key: value for key, value in typed.items() if hasattr(machine, key)}
        shape = {key: value for key, value in typed.items() if key not in own}
        return replace(machine, **own, shape=replace(machine.shape, **shape))  # type: ignore[arg-type]


def _squares(*terms: tuple[float, float, float]) -> float:
    """Of (found, wanted, what one would not mind)."""
    return sum(((found - wanted) / spread) ** 2 for found, wanted, spread in terms)


def _error_r4(rows: Mapping[Row, Pair]) -> float:
    """4, 12 and 20 jobs: how much longer than 12 the others take, and the gains."""
    published = kernel_compile.PUBLISHED_ZCACHE
    runs = {jobs: rows["zcache", jobs] for jobs in (4, 12, 20)}
    first = runs[12][0].seconds
    return _squares(
        *(
            (runs[jobs][0].seconds / first, published[jobs].seconds / published[12].seconds, 0.08)
            for jobs in (4, 20)
        ),
        *((kernel_compile.faster(*runs[jobs]), published[jobs].zcache, 1.5) for jobs in runs),
    )


def _error_r5(rows: Mapping[Row, Pair]) -> float:
    """8 and 24 threads: how much longer 24 take, both gains, and the pages that were served."""
    published = kernel_compile.PUBLISHED_CLEANCACHE
    (before_8, after_8), (before_24, after_24) = rows["cleancache", 8], rows["cleancache", 24]
    return _squares(
        (before_24.seconds / before_8.seconds, published[24].seconds / published[8].seconds, 0.08),
        (kernel_compile.shorter(before_8, after_8), published[8].gain, 1.5),
        (kernel_compile.shorter(before_24, after_24), published[24].gain, 1.5),
        (math.log(after_8.served + 5_000), math.log(published[8].served + 5_000), math.log(2)),
        (math.log(after_24.served + 5_000), math.log(published[24].served + 5_000), math.log(1.2)),
    )


def _error_r6(rows: Mapping[Row, Pair]) -> float:
    """8 and 16 jobs: what became of the I/O."""
    published = kernel_compile.PUBLISHED_FRONTSWAP
    return _squares(
        *((kernel_compile.change(*pair), published[name][jobs], 10) for (name, jobs), pair in rows.items())
    )


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
# Each begins with what a wider search found before the model last changed (explored=32, generations=4; and 20, 4).
FOR_TWO: Final = Effort(explored=0, generations=2, changed=8, spread=0.08, poor=60)
ONE_HEAP: Final = {"heap_pages": (8_000, 25_000)}
FOR_ONE: Final = Effort(explored=0, generations=1, changed=6, spread=0.1, poor=200)
SEEK_US: Final = (2_000, 16_000)  # 12,700 by the data sheets, with half a turn; less where requests queue
PROBLEMS: Final[Mapping[str, Problem]] = {
    "R4": Problem(
        {"zcache": kernel_compile.ZCACHE},
        (("zcache", 20), ("zcache", 12), ("zcache", 4)),
        {"heap_pages": WORKING_SET["heap_pages"], "seek_us": SEEK_US},
        _error_r4,
        FOR_TWO,
    ),
    "R5": Problem(
        {"cleancache": kernel_compile.CLEANCACHE},
        (("cleancache", 24), ("cleancache", 8)),
        WORKING_SET,
        _error_r5,
        Effort(explored=0, generations=3, changed=10, spread=0.12, poor=60),
    ),
    **{
        f"R6-{name.replace(' ', '')}": Problem(
            {name: machine}, ((name, 16), (name, 8)), ONE_HEAP, _error_r6, FOR_ONE
        )
        for name, machine in kernel_compile.FRONTSWAP.items()
    },
}


def measure(problem: Problem, setting: Setting, seeds: Sequence[int]) -> float:
    """How far the setting is from the published rows."""

    def rows(seeds: Sequence[int]) -> dict[Row, Pair]:
        machines = {name: problem.machine(name, setting) for name in problem.machines}
        return {(name, jobs): _pair(machines[name], jobs, seeds) for name, jobs in problem.rows}

    error = problem.error(rows(seeds[:1]))
    return error if error > problem.effort.poor or len(seeds) == 1 else problem.error(rows(seeds))


def _pair(machine: Machine, jobs: int, seeds: Sequence[int]) -> Pair:
    return mean_build(without(machine), jobs, seeds), mean_build(machine, jobs, seeds)


def anywhere(problem: Problem, rng: random.Random) -> dict[str, float]:
    """A setting within the bounds, every octave alike."""
    return problem.rounded(
        {
            name: math.exp(rng.uniform(math.log(low), math.log(high)))
            for name, (low, high) in problem.free.items()
        }
    )


def changed(problem: Problem, setting: Setting, rng: random.Random, spread: float) -> dict[str, float]:
    """A setting like this one, within the bounds."""
    return problem.rounded({name: value * math.exp(rng.gauss(0, spread)) for name, value in setting.items()})


def search(name: str, *, jobs: int, progress: Callable[[str], None]) -> tuple[float, dict[str, float]]:
    """The best setting found, and its error."""
    problem, rng = PROBLEMS[name], random.Random(name)
    effort = problem.effort
    best: list[tuple[float, dict[str, float]]] = []
    spread = effort.spread
    settings = [anywhere(problem, rng) for _ in range(effort.explored)] or [problem.start]
    with ProcessPoolExecutor(jobs) as pool:
        for generation in range(effort.generations):
            parents = [setting for _, setting in best[:PARENTS]] or settings
            settings += [
                changed(problem, rng.choice(parents), rng, spread)
                for _ in range(effort.changed - len(settings))
            ]
            errors = pool.map(partial(_measure_named, name, seeds=SEEDS), settings)
            best = sorted([*best, *zip(errors, settings, strict=True)], key=_by_error)[:KEPT]
            settings = []
            spread *= CALMING
            found = " ".join(f"{key}={value:.{DIGITS}g}" for key, value in best[0][1].items())
            progress(f"generation {generation + 1} of {effort.generations}: best {best[0][0]:.2f} {found}")
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

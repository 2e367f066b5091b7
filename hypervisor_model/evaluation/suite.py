# SPDX-License-Identifier: GPL-2.0-only
"""The table of scenarios, and how they are run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypervisor_model.evaluation import (
    compile_host,
    density,
    exact_contents,
    exact_control,
    exact_drivers,
    exact_lru,
    kernel_compile,
    policy,
    recorded,
)
from hypervisor_model.evaluation.result import Result

SUITES: Final = ("exact", "reference", "recorded", "all")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`run` takes nothing and is the same in every call: seeds are in the code. It may answer for several names."""

    name: str
    suite: str
    run: Callable[[], list[Result]]


def scenarios() -> list[Scenario]:
    """All of them, in the order of the report."""
    exact: list[Callable[[], Result]] = [
        exact_lru.x1,
        exact_lru.x2,
        exact_contents.x3,
        exact_contents.x4,
        exact_contents.x5,
        exact_drivers.x6,
        exact_drivers.x7,
        exact_drivers.x8,
        exact_control.x9,
        exact_control.x10,
        exact_control.x11,
        exact_contents.x12,
    ]
    cases = [_single(function, "exact") for function in exact]
    return [
        *cases,
        Scenario("R1 R3", "reference", compile_host.r1_and_r3),
        _single(compile_host.r2, "reference"),
        Scenario("R4 R7", "reference", kernel_compile.r4_and_r7),
        _single(kernel_compile.r5, "reference"),
        _single(kernel_compile.r6, "reference"),
        _single(policy.r8, "reference"),
        _single(density.r9, "reference"),
        _single(density.r10, "reference"),
        _single(recorded.g1, "recorded"),
        _single(recorded.g2, "recorded"),
    ]


class _Single:
    """One scenario as a list of one."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function

    def __call__(self) -> list[Result]:
        return [self._function()]


def _single(function: Callable[[], Result], suite: str) -> Scenario:
    return Scenario(function.__name__.upper(), suite, _Single(function))


def run(
    suite: str = "all", progress: Callable[[Scenario, Result | None], None] | None = None
) -> list[Result]:
    """Run a suite, or one scenario by its name; `progress` hears of each before (None) and after it.

    Raises ValueError for a name that is neither.
    """
    wanted = suite.upper()
    chosen = [case for case in scenarios() if suite in ("all", case.suite) or wanted in case.name.split()]
    if not chosen:
        names = ", ".join(case.name for case in scenarios())
        raise ValueError(f"no suite or scenario {suite!r}: there are {', '.join(SUITES)} and {names}")
    results = []
    for case in chosen:
        if progress is not None:
            progress(case, None)
        found = [
            result for result in case.run() if wanted == result.scenario or wanted not in case.name.split()
        ]
        results += found
        for result in found:
            if progress is not None:
                progress(case, result)
    return sorted(results, key=_order)


def _order(result: Result) -> tuple[int, int]:
    """X before R before G, and by number."""
    return "XRG".index(result.scenario[0]), int(result.scenario[1:])

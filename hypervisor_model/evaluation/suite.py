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
from hypervisor_model.evaluation.side_by_side import side_by_side

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


def chosen(suite: str) -> list[Scenario]:
    """The scenarios of a suite, or the one of this name. Raises ValueError for a name that is neither."""
    found = [
        case for case in scenarios() if suite in ("all", case.suite) or suite.upper() in case.name.split()
    ]
    if not found:
        names = ", ".join(case.name for case in scenarios())
        raise ValueError(f"no suite or scenario {suite!r}: there are {', '.join(SUITES)} and {names}")
    return found


def run(
    suite: str = "all",
    progress: Callable[[Scenario, Result | None], None] | None = None,
    *,
    jobs: int = 1,
) -> list[Result]:
    """Run a suite, or one scenario by its name; `progress` hears of each before (None) and after it.

    With more than one of `jobs`, so many run at a time in processes of their own. Raises ValueError for a name that is
    neither, and whatever a scenario raises.
    """
    wanted = suite.upper()
    cases = chosen(suite)

    results: list[Result] = []

    def begun(case: Scenario) -> None:
        if progress is not None:
            progress(case, None)

    def ended(case: Scenario, found: list[Result]) -> None:
        for result in found:
            if wanted == result.scenario or wanted not in case.name.split():
                results.append(result)
                if progress is not None:
                    progress(case, result)

    if jobs > 1 and len(cases) > 1:
        side_by_side(cases, jobs, begun, ended)
    else:
        for case in cases:
            begun(case)
            ended(case, case.run())
    return sorted(results, key=_order)


def _order(result: Result) -> tuple[int, int]:
    """X before R before G, and by number."""
    return "XRG".index(result.scenario[0]), int(result.scenario[1:])

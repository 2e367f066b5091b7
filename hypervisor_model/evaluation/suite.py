# SPDX-License-Identifier: GPL-2.0-only
"""The table of scenarios, and how they are run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypervisor_model.evaluation import exact_contents, exact_control, exact_drivers, exact_lru
from hypervisor_model.evaluation.result import Result

SUITES: Final = ("exact", "reference", "recorded", "all")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`run` takes nothing and is the same in every call: seeds are in the code."""

    name: str
    suite: str
    run: Callable[[], Result]


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
    return [Scenario(function.__name__.upper(), "exact", function) for function in exact]


def run(
    suite: str = "all", progress: Callable[[Scenario, Result | None], None] | None = None
) -> list[Result]:
    """Run a suite, or one scenario by its name; `progress` hears of each before (None) and after it.

    Raises ValueError for a name that is neither.
    """
    chosen = [case for case in scenarios() if suite in ("all", case.suite) or case.name == suite.upper()]
    if not chosen:
        names = ", ".join(case.name for case in scenarios())
        raise ValueError(f"no suite or scenario {suite!r}: there are {', '.join(SUITES)} and {names}")
    results = []
    for case in chosen:
        if progress is not None:
            progress(case, None)
        result = case.run()
        results.append(result)
        if progress is not None:
            progress(case, result)
    return results

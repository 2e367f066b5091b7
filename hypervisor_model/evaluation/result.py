# SPDX-License-Identifier: GPL-2.0-only
"""What one scenario of the evaluation found.

Verdicts:  PASS    within the tolerance the scenario states
           SHAPE   sign and order are as published, the size is not
           MISS    neither; the notes say what was measured to explain it
           NO-REF  there is no verified figure to compare with
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["PASS", "SHAPE", "MISS", "NO-REF"]


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's outcome. `table`, if any, starts with its headings."""

    scenario: str
    title: str
    configuration: str
    reference: str
    """The figure or the oracle, with its source and whether it was read in full [V] or as an abstract [A]."""
    measured: str
    verdict: Verdict
    table: tuple[tuple[str, ...], ...] = ()
    notes: str = ""


def exact(
    scenario: str, title: str, configuration: str, oracle: str, failures: list[str], measured: str
) -> Result:
    """The result of a scenario with tolerance 0: `failures` lists what did not hold."""
    if failures:
        return Result(scenario, title, configuration, oracle, "; ".join(failures[:5]), "MISS")
    return Result(scenario, title, configuration, oracle, measured, "PASS")

# SPDX-License-Identifier: GPL-2.0-only
"""What became of each target of a verb, and the one error that stands for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from xm_tmem.errors import PartlyDone, TmemError
from xm_tmem.ids import DomainId

EVERYONE = "all domains"


class Target:
    """One domain a verb is for, as resolved; `domain_id` None with no error stands for every client."""

    __slots__ = ("domain_id", "error", "label")

    def __init__(self, label: str, domain_id: DomainId | None, error: TmemError | None = None) -> None:
        self.label, self.domain_id, self.error = label, domain_id, error


class Outcome:
    """What was done to one target ("frozen", "weight 0 -> 200"), or the error that prevented it."""

    __slots__ = ("done", "error", "target")

    def __init__(self, target: Target, done: str = "", error: TmemError | None = None) -> None:
        self.target, self.done, self.error = target, done, error


def everyone() -> Target:
    """The target that is every client at once."""
    return Target(EVERYONE, None)


def for_each(targets: Iterable[Target], action: Callable[[Target], str]) -> list[Outcome]:
    """`action` on each target, in order; what it returns says what was done. A failure stops only its target."""
    outcomes = []
    for target in targets:
        try:
            if target.error is not None:
                raise target.error
            outcomes.append(Outcome(target, action(target)))
        except TmemError as error:
            outcomes.append(Outcome(target, error=error))
    return outcomes


def sum_up(errors: Sequence[TmemError | None]) -> TmemError | None:
    """The error whose exit status stands for a list with one entry for each target; None when all went well.

    When every target failed with the same status that is the status; when only some did, or for different
    reasons, it is PartlyDone.
    """
    failed = [error for error in errors if error is not None]
    if not failed:
        return None
    if len(failed) == len(errors) and len({error.exit_status for error in failed}) == 1:
        return failed[0]
    return PartlyDone(f"{len(failed)} of {len(errors)} failed")

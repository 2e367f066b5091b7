# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario asks of whatever drives a guest; docs/design/guest-drivers.md explains the choices.

Units     a driver's time is microseconds of modelled time since the host booted; operations are tmem
          hypercalls the guest made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from hypervisor_model.guests.handle import TmemHandle
    from hypervisor_model.hypervisor import Hypervisor
    from hypervisor_model.scenario.host_policies import Balancer

Value = str | int | float | bool | None
"""A cell of a report: what JSON can hold without nesting."""


class GuestDriver(Protocol):
    """A guest at work. All of its state is in attributes, so that a checkpoint can hold it."""

    @property
    def time_us(self) -> int:
        """The guest's own clock. It never goes back, and stands still when `finished`."""

    @property
    def finished(self) -> bool:
        """There is nothing left to do. Never true again false."""

    @property
    def operations_total(self) -> int | None:
        """How many operations this guest does in all; None when that is not known."""

    def step(self, budget: int, until_us: int) -> int:
        """Work until `budget` (>= 1) operations are done, the clock reaches `until_us`, or all is done.

        The number of operations done, 0..budget. The sequence of operations depends on the seed and on the
        hypervisor's answers, never on how the work is cut into steps.
        """

    def report(self) -> Mapping[str, Value]:
        """What there is to say of the run so far. Keys are stable names with their unit at the end."""


@runtime_checkable
class Lingering(Protocol):
    """A driver whose guest lives on when its work is done: its balloon goes on while others work."""

    def linger(self, until_us: int) -> int:
        """Do what is due before `until_us`; how many operations that took. Called when `finished`, once a slice."""


def failure_of(driver: GuestDriver) -> str | None:
    """Why the guest ended before its time, in one line; None if all is well.

    A driver that reads a file says so in an attribute `failure` and is `finished`, rather than raise in the middle of
    a step: the other guests go on.
    """
    failure: str | None = getattr(driver, "failure", None)
    return failure


@dataclass(frozen=True, slots=True)
class Boot:
    """What a guest kind builds its driver from. The domain exists already; its pools are up to the kind."""

    hypervisor: Hypervisor
    tmem: TmemHandle
    """The domain's tmem hypercalls."""
    balancer: Balancer | None
    """Dom0's, for balloons to follow."""
    domain_id: int
    name: str
    seed: str
    """For random.Random(seed): differs for each guest, the same in every run of the scenario."""
    memory: int
    """Pages the domain has at boot."""
    max_memory: int
    """Pages the domain may have."""
    spec: Mapping[str, Any]
    """The kind's own keys, checked: defaults filled in, sizes in pages, times in microseconds."""


def no_complaint(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """For kinds whose schema says it all."""
    return None


def never_endless(spec: Mapping[str, Any]) -> bool:
    """For kinds that always come to an end."""
    return False


@dataclass(frozen=True, slots=True)
class GuestKind:
    """A value of a guest's `kind:` key."""

    summary: str
    properties: Mapping[str, Any]
    """JSON schemas of the keys that a guest of this kind has besides those of every guest."""
    make: Callable[[Boot], GuestDriver]
    required: tuple[str, ...] = ()
    complaint: Callable[[Mapping[str, Any]], tuple[str, str] | None] = no_complaint
    """Of all keys of a guest, what a schema cannot say: the key (a path below the guest) and what is wrong, or None."""
    endless: Callable[[Mapping[str, Any]], bool] = never_endless
    """Does a guest with these keys go on for ever? Such a scenario cannot be run to its end."""

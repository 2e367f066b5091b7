# SPDX-License-Identifier: GPL-2.0-only
"""Boots a scenario and lets its guests work, in one order that depends on the file alone.

Modelled time runs in slices of SLICE_US. In each, every guest works until its own clock reaches the slice's end, in
the order of the file. How far `advance` gets in one call has no influence on that order: a run cut into pieces,
interrupted and resumed goes through the same states as one in a single piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hypervisor_model.hypervisor import Hypervisor, domain_uuid
from hypervisor_model.scenario.driver import Boot, Lingering, failure_of
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.host_policies import HostPolicies
from hypervisor_model.scenario.kinds import GUEST_KINDS
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.settings import apply_settings

if TYPE_CHECKING:
    from hypervisor_model.scenario.driver import GuestDriver
    from hypervisor_model.scenario.host_policies import HostTimer
    from hypervisor_model.scenario.load import GuestSpec, HostSpec, Scenario

DOM0: Final = 0
DOM0_NAME: Final = "Domain-0"
SLICE_US: Final = 10_000
FOREVER_US: Final = 1 << 62
CHUNK: Final = 4096  # operations between two looks at the clock or the progress callback
LOOK_US: Final = 100_000  # and as much modelled time, for guests that do none

Progress = Callable[["Runner"], bool]


class RunningGuest:
    """A domain and what drives it."""

    __slots__ = ("domain_id", "driver", "endless", "kind", "name", "operations", "uuid")

    def __init__(
        self, domain_id: int, name: str, uuid: str, kind: str, driver: GuestDriver, *, endless: bool = False
    ) -> None:
        self.domain_id = domain_id
        self.name = name
        self.uuid = uuid
        self.kind = kind
        self.driver = driver
        self.endless = endless  # it was asked to go on for ever
        self.operations = 0


class Runner:
    """A booted scenario. `operations` counts what the guests have done; together with the file it is the position."""

    __slots__ = (
        "_next_guest",
        "_slice_end_us",
        "_timers",
        "duration_us",
        "file",
        "guests",
        "hypervisor",
        "operations",
    )

    def __init__(
        self,
        hypervisor: Hypervisor,
        guests: list[RunningGuest],
        *,
        timers: tuple[HostTimer, ...] = (),
        file: str = "",
        duration_us: int | None = None,
    ) -> None:
        self.hypervisor = hypervisor
        self.guests = guests
        self._timers = timers
        self.file = file
        self.duration_us = FOREVER_US if duration_us is None else duration_us
        self.operations = 0
        self._slice_end_us = 0
        self._next_guest = len(guests)

    @property
    def time_us(self) -> int:
        """Modelled time up to which every guest has worked."""
        ends = [guest.driver.time_us for guest in self.guests if not guest.driver.finished]
        if not ends:
            ends = [max((guest.driver.time_us for guest in self.guests), default=0)]
        return min(min(ends), self.duration_us)

    @property
    def finished(self) -> bool:
        return self._end_of(FOREVER_US) == 0

    @property
    def operations_total(self) -> int | None:
        """How many operations there will be in all, where every guest knows and no duration cuts them off."""
        totals = [guest.driver.operations_total for guest in self.guests]
        known = [total for total in totals if total is not None]
        return sum(known) if len(known) == len(totals) and self.duration_us == FOREVER_US else None

    @property
    def endless(self) -> bool:
        """Would a run never end?"""
        return self.duration_us == FOREVER_US and any(guest.endless for guest in self.guests)

    @property
    def failures(self) -> dict[str, str]:
        """Guests that ended before their time, and why, in one line each."""
        found = ((guest.name, failure_of(guest.driver)) for guest in self.guests)
        return {name: failure for name, failure in found if failure is not None}

    @property
    def lasts_for_a_time(self) -> bool:
        """Does a duration end the run, if the guests do not?"""
        return self.duration_us != FOREVER_US

    @property
    def position(self) -> tuple[int, int | None]:
        """Where `go_to` leads: operations done, and the end of the slice if it has just been completed."""
        return self.operations, self._slice_end_us if self._next_guest == len(self.guests) else None

    def go_to(self, operations: int, slice_us: int | None) -> bool:
        """Work up to a `position` of a run of the same scenario; False if this run does not lead there."""
        if slice_us is None:
            while self.operations < operations and self.advance(operations - self.operations):
                pass
        else:
            while self.advance(CHUNK, slice_us):
                pass
        return self.position == (operations, slice_us)

    def advance(self, budget: int, until_us: int = FOREVER_US) -> int:
        """Let the guests do up to `budget` operations, none beginning later than `until_us`.

        How many they did; fewer than `budget` means that all are finished or have reached `until_us`. What a guest
        does when its work has ended is not cut, and may go beyond the budget.
        """
        done = 0
        while done < budget:
            if self._next_guest == len(self.guests):
                end = self._end_of(until_us)
                if not end:
                    break
                self._slice_end_us = end
                self._next_guest = 0
                for timer in self._timers:
                    timer.run(end - SLICE_US)
            guest = self.guests[self._next_guest]
            driver = guest.driver
            end = min(self._slice_end_us, self.duration_us)
            finished, now_us = driver.finished, driver.time_us
            while done < budget and now_us < end and not finished:
                count = driver.step(budget - done, end)
                before_us, finished, now_us = now_us, driver.finished, driver.time_us
                if not count and now_us == before_us and not finished:
                    raise RuntimeError(f"{guest.name} stands still at {before_us} us")
                guest.operations += count
                done += count
            if finished and isinstance(driver, Lingering):
                count = driver.linger(end)
                guest.operations += count
                done += count
            if finished or now_us >= end:
                self._next_guest += 1
        self.operations += done
        return done

    def later_us(self, by_us: int) -> int:
        """A bound for `advance` that lets it do something, if only `by_us` of it; at least one slice."""
        return max(self.time_us, self._slice_end_us) + max(by_us, SLICE_US)

    def _end_of(self, until_us: int) -> int:
        """The end of the next slice in which there is work, 0 if there is none before `until_us`."""
        clocks = [guest.driver.time_us for guest in self.guests if not guest.driver.finished]
        earliest = min(clocks, default=FOREVER_US)
        if earliest >= self.duration_us:
            return 0
        end = (max(earliest, self._slice_end_us) // SLICE_US + 1) * SLICE_US
        return end if end <= until_us else 0

    def run(self, progress: Progress | None = None) -> bool:
        """Work until everything is done, or until `progress`, called every so often, returns False.

        Was everything done? If not, another `run` goes on from there.
        """
        while not self.finished:
            self.advance(CHUNK, self.later_us(LOOK_US))
            if progress is not None and not progress(self):
                return False
        return True


def boot(scenario: Scenario) -> Runner:
    """The host of a scenario with its domains, before their first operation. Raises ScenarioError."""
    hypervisor = boot_host(
        scenario.host, scenario.file, guests_memory=sum(spec.memory for spec in scenario.guests)
    )
    hypervisor.create_domain(DOM0, name=DOM0_NAME)
    policies = HostPolicies(hypervisor, scenario.host)
    guests = [_boot_guest(hypervisor, spec, scenario, policies) for spec in scenario.guests]
    timers = policies.timers()
    return Runner(hypervisor, guests, timers=timers, file=scenario.file, duration_us=scenario.duration_us)


def boot_host(host: HostSpec, file: str = "scenario", *, guests_memory: int = 0) -> Hypervisor:
    """The hypervisor alone; its heap is what the guests leave of the machine. Raises ScenarioError."""
    try:
        return Hypervisor(
            release=host.release,
            frames=host.memory - guests_memory,
            command_line=host.command_line,
            quirks=host.quirks,
            exact=host.exact,
            contents=host.contents,
            codec=host.codec,
        )
    except ValueError as error:
        raise ScenarioError(str(error), file=file, key="host") from None


def _boot_guest(
    hypervisor: Hypervisor, spec: GuestSpec, scenario: Scenario, policies: HostPolicies
) -> RunningGuest:
    domain_id, name = spec.domain_id, spec.name
    try:
        hypervisor.create_domain(
            domain_id, name=name, max_pages=spec.max_memory, tot_pages=spec.memory, gfns=spec.memory
        )
        boot_guest = Boot(
            hypervisor=hypervisor,
            tmem=policies.handle(domain_id),
            balancer=policies.balancer,
            domain_id=domain_id,
            name=name,
            seed=f"{scenario.seed} {name}",
            memory=spec.memory,
            max_memory=spec.max_memory,
            spec=spec.spec,
        )
        kind = GUEST_KINDS[spec.kind]
        driver = kind.make(boot_guest)
    except ValueError as error:
        raise ScenarioError(f"{name} does not boot: {error}", file=scenario.file) from None
    apply_settings(hypervisor, spec)
    uuid = uuid_text(domain_uuid(domain_id, name))
    return RunningGuest(domain_id, name, uuid, spec.kind, driver, endless=kind.endless(spec.spec))


def uuid_text(raw: bytes) -> str:
    """Sixteen bytes in the canonical form of a uuid."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def boot_and_run(path: str, progress: Progress | None = None) -> tuple[Hypervisor, dict[int, str]]:
    """Run the scenario in the file at `path` to its end; the host as it is then, and the domains' names by id.

    Raises ScenarioError, also for a scenario that never ends.
    """
    runner = boot(load_file(path))
    if runner.endless:
        raise ScenarioError("never ends: give `duration`, or `operations` to each guest", file=runner.file)
    runner.run(progress)
    for name, failure in runner.failures.items():
        raise ScenarioError(f"{name}: {failure}", file=runner.file)
    return runner.hypervisor, {guest.domain_id: guest.name for guest in runner.guests}

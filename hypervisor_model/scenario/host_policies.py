# SPDX-License-Identifier: GPL-2.0-only
"""What dom0 does at intervals: it balances its guests' memory, and shares out tmem's persistent pages.

Both look at the host and set targets; guests meet them in their own time.  A timer is due at multiples of its interval
and acts before the first slice of modelled time that begins then or later: every guest has got equally far, and how a
run is cut into pieces does not matter.
Units     pages; times in microseconds of modelled time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypervisor_model.guests.balancer import POLICIES, Member
from hypervisor_model.guests.tmem_policy import UNLIMITED, Manager, Metered
from hypervisor_model.guests.xenballoond import minimum_mb

if TYPE_CHECKING:
    from hypervisor_model.guests.balloon import DaemonBalloon
    from hypervisor_model.guests.handle import TmemHandle
    from hypervisor_model.host.domain import Domain
    from hypervisor_model.hypervisor import Hypervisor
    from hypervisor_model.scenario.load import HostSpec

PAGE_KB: Final = 4
PAGES_PER_MB: Final = 256


class HostTimer:
    """Calls `action` with the time in ns, once for every interval that has passed."""

    __slots__ = ("_action", "_due_us", "_interval_us")

    def __init__(self, interval_us: int, action: Callable[[int], None]) -> None:
        self._interval_us = self._due_us = interval_us
        self._action = action

    def run(self, now_us: int) -> None:
        """All that has come due by now."""
        while self._due_us <= now_us:
            self._action(self._due_us * 1000)
            self._due_us += self._interval_us


@dataclass(frozen=True, slots=True)
class _Follower:
    name: str
    domain: Domain
    daemon: DaemonBalloon
    minimum: int
    weight: int


class Balancer:
    """Writes memory/target of each guest whose xenballoond is directed.

    Shared out is what these guests have and what the heap would give them: its free pages, and those with which tmem
    would give way.  Persistent pages are neither, and count against their guest's maximum.
    `targets` are those of the last run, by guest.
    """

    __slots__ = ("_followers", "_hypervisor", "_policy", "targets")

    def __init__(self, hypervisor: Hypervisor, policy: str) -> None:
        self._hypervisor = hypervisor
        self._policy = policy
        self._followers: list[_Follower] = []
        self.targets: dict[str, int] = {}

    def add(self, name: str, domain_id: int, daemon: DaemonBalloon, *, weight: int) -> None:
        """A guest that has booted. Its minimum is the one its daemon has for that much memory."""
        domain = self._hypervisor.domain(domain_id).domain
        minimum = min(domain.own_pages, minimum_mb(domain.own_pages * PAGE_KB) * PAGES_PER_MB)
        self._followers.append(_Follower(name, domain, daemon, minimum, weight))

    @property
    def available(self) -> int:
        """What there is to share out now."""
        heap = self._hypervisor.heap
        left = max(0, heap.avail + heap.freeable - heap.midsize)
        return left + sum(follower.domain.own_pages for follower in self._followers)

    def run(self, _now_ns: int) -> None:
        """Look at the guests and set their targets."""
        members = [_member(follower) for follower in self._followers]
        self.targets = POLICIES[self._policy](members, self.available)
        for follower in self._followers:
            follower.daemon.directed_kb = self.targets[follower.name] * PAGE_KB


def _member(follower: _Follower) -> Member:
    """The guest as it is now."""
    domain, balloon = follower.domain, follower.daemon.balloon
    persistent = domain.tot_pages - domain.own_pages
    return Member(
        follower.name,
        minimum=follower.minimum,
        maximum=max(follower.minimum, balloon.max_pfn - persistent),
        need=balloon.guest.memory.committed,
        weight=follower.weight,
    )


class TmemSharing:
    """Runs a tmem policy over what tmem can have of the host: all that no domain owns itself.

    Targets are enforced in front of Xen, where nothing enforces a cap.  Xen's own settings of a guest, its weight and
    its cap, follow them if asked for, and are what an operator sees.
    """

    __slots__ = ("_caps", "_domains", "_guests", "_hypervisor", "_machine", "_manager", "_weights")

    def __init__(
        self, hypervisor: Hypervisor, guests: Mapping[int, Metered], spec: Mapping[str, Any]
    ) -> None:
        self._hypervisor = hypervisor
        self._guests = dict(guests)
        self._weights, self._caps = spec["weights"], spec["caps"]
        self._domains = [hypervisor.domain(domain_id).domain for domain_id in guests]
        self._machine = hypervisor.heap.frames + self._owned
        self._manager = Manager(
            spec["kind"], list(guests.values()), hypervisor.heap.frames, step_percent=spec["step_percent"]
        )

    @property
    def _owned(self) -> int:
        return sum(domain.own_pages for domain in self._domains)

    def run(self, _now_ns: int) -> None:
        """Look at the guests and set their targets."""
        self._manager.capacity = self._machine - self._owned
        self._manager.run()
        limited = {
            domain_id: guest.target for domain_id, guest in self._guests.items() if guest.target < UNLIMITED
        }
        total = sum(limited.values())
        for domain_id in self._guests:
            target = limited.get(domain_id, 0)
            with suppress(KeyError):  # a guest that has no pool yet is no client
                if self._weights:
                    self._hypervisor.set_weight(domain_id, max(1, 100 * target // total) if target else 0)
                if self._caps:
                    self._hypervisor.set_cap(domain_id, target)


class HostPolicies:
    """The policies of a scenario's host while its guests boot; `timers` are what is left of them afterwards."""

    def __init__(self, hypervisor: Hypervisor, host: HostSpec) -> None:
        self._hypervisor = hypervisor
        self._host = host
        self._metered: dict[int, Metered] = {}
        self.balancer = None if host.balancer is None else Balancer(hypervisor, host.balancer["policy"])

    def handle(self, domain_id: int) -> TmemHandle:
        """Tmem for a guest that boots: with a target in front, if there is a policy."""
        guest = self._hypervisor.domain(domain_id)
        if self._host.tmem_policy is None:
            return guest
        self._metered[domain_id] = Metered(guest)
        return self._metered[domain_id]

    def timers(self) -> tuple[HostTimer, ...]:
        """For when all guests have booted. The balancer comes first."""
        timers = []
        if self.balancer is not None and self._host.balancer is not None:
            timers.append(HostTimer(self._host.balancer["interval"], self.balancer.run))
        spec = self._host.tmem_policy
        if spec is not None:
            sharing = TmemSharing(self._hypervisor, self._metered, spec)
            timers.append(HostTimer(spec["interval"], sharing.run))
        return tuple(timers)

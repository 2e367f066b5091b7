# SPDX-License-Identifier: GPL-2.0-only
"""Policies for how much persistent tmem each guest may use: greedy, static, reconf-static, smart.

After the literature on tmem policies (SmarTmem, IPDPSW 2019, known to us by its abstract): *our reading*, not a
reproduction.  A manager in dom0 looks at the statistics of each guest once a second and sets targets; a put beyond its
guest's target fails.  `Metered` enforces that in front of any tmem handle; Xen's own cap does nothing.
Units     pages.
"""

from collections.abc import Sequence
from typing import Final

from hypervisor_model.guests.handle import TmemHandle
from hypervisor_model.public.xen import ENOMEM

POLICIES: Final = ("greedy", "static", "reconf-static", "smart")
UNLIMITED: Final = 1 << 60


class Metered:
    """A guest's handle with a target for its persistent pages, and the statistics a policy reads."""

    def __init__(self, handle: TmemHandle) -> None:
        self._handle = handle
        self._persistent: set[int] = set()
        self._held: set[tuple[int, int, int]] = set()
        self.target = UNLIMITED
        self.puts = self.failed_puts = 0

    @property
    def used(self) -> int:
        return len(self._held)

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int:
        pool = self._handle.new_pool(persistent=persistent, shared=shared, uuid=uuid)
        if persistent and pool >= 0:
            self._persistent.add(pool)
        return pool

    def destroy_pool(self, pool_id: int) -> int:
        self._held = {place for place in self._held if place[0] != pool_id}
        self._persistent.discard(pool_id)
        return self._handle.destroy_pool(pool_id)

    def put(self, pool_id: int, oid: int, index: int, page: bytes) -> int:
        if pool_id not in self._persistent:
            return self._handle.put(pool_id, oid, index, page)
        place = (pool_id, oid, index)
        self.puts += 1
        if place not in self._held and len(self._held) >= self.target:
            self.failed_puts += 1
            return -ENOMEM
        status = self._handle.put(pool_id, oid, index, page)
        if status == 1:
            self._held.add(place)
        else:
            self._held.discard(place)
            self.failed_puts += 1
        return status

    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]:
        return self._handle.get(pool_id, oid, index)

    def flush_page(self, pool_id: int, oid: int, index: int) -> int:
        self._held.discard((pool_id, oid, index))
        return self._handle.flush_page(pool_id, oid, index)

    def flush_object(self, pool_id: int, oid: int) -> int:
        self._held = {place for place in self._held if place[:2] != (pool_id, oid)}
        return self._handle.flush_object(pool_id, oid)


class Manager:
    """Sets the targets of all guests; call `run` once a second.

    smart: `step_percent` of the capacity more for a guest whose puts failed since the last run, as much less for one
    that leaves more than `slack` of its target unused; targets that exceed the capacity are scaled down alike.
    The `capacity` may change between two runs.
    """

    def __init__(
        self, policy: str, guests: Sequence[Metered], capacity: int, *, step_percent: int = 2, slack: int = 0
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"no policy {policy!r}: there are {', '.join(POLICIES)}")
        self._policy = policy
        self._guests = list(guests)
        self.capacity = capacity
        self._percent = step_percent
        self._slack = slack
        self._failed = [0] * len(self._guests)
        if policy in ("static", "smart"):
            self._share_alike(self._guests)

    def run(self, _now_ns: int = 0) -> None:
        """Look at the statistics and set targets."""
        if self._policy == "static":
            self._share_alike(self._guests)
        elif self._policy == "reconf-static":
            self._share_alike([guest for guest in self._guests if guest.puts])
        elif self._policy == "smart":
            self._smart()

    def _share_alike(self, guests: Sequence[Metered]) -> None:
        for guest in guests:
            guest.target = self.capacity // len(guests)

    def _smart(self) -> None:
        step, slack = self.capacity * self._percent // 100, self._slack or self.capacity // 20
        for number, guest in enumerate(self._guests):
            failed = guest.failed_puts - self._failed[number]
            self._failed[number] = guest.failed_puts
            if failed > 0:
                guest.target += step
            elif guest.target - guest.used > slack:
                guest.target = guest.target * (100 - self._percent) // 100
        total = sum(guest.target for guest in self._guests)
        if total > self.capacity:
            for guest in self._guests:
                guest.target = guest.target * self.capacity // total

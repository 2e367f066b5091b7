# SPDX-License-Identifier: GPL-2.0-only
"""The balloon: a guest's memory and its domain's reservation, kept equal.

Models    drivers/xen/balloon.c: frames that a guest gives up go to the host's heap, where tmem finds them; frames it
          wants come from there, and tmem gives way for them.  Both are hypercalls (XENMEM_*_reservation).
Units     pages; _kb KiB.
Left out  the balloon's own worker and its retries: a target is tried at once, and again at the next call.
"""

from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.selfballoon import SelfShrink, Settings, selfballoon_target
from hypervisor_model.guests.xenballoond import Xenballoond
from hypervisor_model.hypervisor import Hypervisor

SECOND_NS = 1_000_000_000


class Balloon:
    """Moves frames between one guest and its host. `low` and `high` are marks of the guest's size.

    `max_pfn` is what it can grow to: what it booted with, unless set to more.
    """

    def __init__(self, hypervisor: Hypervisor, domid: int, guest: Guest) -> None:
        self._hypervisor = hypervisor
        self._domid = domid
        self.guest = guest
        self.max_pfn = guest.memory.totalram
        self.low = self.high = guest.memory.totalram
        self.refused = 0  # pages the host did not have when they were asked for

    def set_target(self, target: int, now_ns: int) -> int:
        """Bring the guest to `target` frames as far as guest and host can; returns its size now."""
        memory = self.guest.memory
        target = min(target, self.max_pfn)
        if target < memory.totalram:
            freed = -memory.set_totalram(target, now_ns)
            self._hypervisor.decrease_reservation(self._domid, freed)
        elif target > memory.totalram:
            wanted = target - memory.totalram
            given = self._hypervisor.increase_reservation(self._domid, wanted)
            self.refused += wanted - given
            memory.set_totalram(memory.totalram + given, now_ns)
        self.low = min(self.low, memory.totalram)
        self.high = max(self.high, memory.totalram)
        return memory.totalram


class SelfBalloon:
    """The kernel driver's worker on one guest: every `interval_s`, balloon, then shrink frontswap.

    `scale`: how many pages each page of the guest stands for; the driver's constants are of real ones.
    `last_pages_stay`: see Frontswap.shrink.
    """

    def __init__(
        self, balloon: Balloon, settings: Settings, *, scale: int = 1, last_pages_stay: bool = True
    ) -> None:
        self._balloon = balloon
        self._last_pages_stay = last_pages_stay
        self._scale = scale
        self._settings = settings
        self._shrinker = SelfShrink(settings)
        balloon.guest.add_timer(settings.interval_s * SECOND_NS, self.run)

    def run(self, now_ns: int) -> None:
        """One run of the worker."""
        memory, settings, frontswap = (
            self._balloon.guest.memory,
            self._settings,
            self._balloon.guest.memory.frontswap,
        )
        held = 0 if frontswap is None else frontswap.curr_pages
        if settings.selfballooning:
            scale = self._scale
            target = selfballoon_target(
                settings,
                totalram=memory.totalram * scale,
                max_pfn=self._balloon.max_pfn * scale,
                committed=memory.committed * scale,
                totalreserve=memory.reserved * scale,
                frontswap_pages=held * scale,
            )
            self._balloon.set_target(target // scale, now_ns)
        if settings.selfshrinking and frontswap is not None:
            self._shrinker.run(held, self._shrink)

    def _shrink(self, target: int) -> int:
        memory = self._balloon.guest.memory
        assert memory.frontswap is not None
        return memory.frontswap.shrink(
            target, memory.unuse, may_commit=self._may_commit, last_pages_stay=self._last_pages_stay
        )

    def _may_commit(self, pages: int) -> bool:
        """Room for so many pages more? (C: security_vm_enough_memory, its heuristic mode)"""
        memory = self._balloon.guest.memory
        return pages <= memory.free + len(memory.pages)


class DaemonBalloon:
    """xenballoond in one guest, every `interval_s`. `directed_kb` is dom0's memory/target for it; `scale` as above."""

    def __init__(self, balloon: Balloon, daemon: Xenballoond, *, scale: int = 1) -> None:
        self.balloon = balloon
        self._page_kb = 4 * scale
        self.daemon = daemon
        self.directed_kb: int | None = None
        balloon.guest.add_timer(daemon.config.interval_s * SECOND_NS, self.run)

    def run(self, now_ns: int) -> None:
        """One round of the script's loop."""
        memory = self.balloon.guest.memory
        page_kb = self._page_kb
        target_kb = self.daemon.balloon_target_kb(
            memory.totalram * page_kb, memory.committed * page_kb, self.directed_kb
        )
        self.balloon.set_target(target_kb // page_kb, now_ns)
        if memory.frontswap is not None:
            target = self.daemon.preswap_target(memory.frontswap.curr_pages)
            if target is not None:
                memory.frontswap.shrink(target, memory.unuse, last_pages_stay=False)

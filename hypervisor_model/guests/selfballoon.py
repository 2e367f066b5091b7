# SPDX-License-Identifier: GPL-2.0-only
"""Selfballooning and frontswap selfshrinking: the guest gives back what it has not promised to anybody.

Models    drivers/xen/xen-selfballoon.c, integer for integer, in its two generations: "3.1" (Linux 3.1 on) and "4.x",
          which adds a tenth of memory to the goal and lets selfshrinking rest after each shrink.
Units     pages; _mb MiB; an interval is seconds.
Left out  sysfs: its checks are in `Settings`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Generation = Literal["3.1", "4.x"]
GENERATIONS: Final[tuple[Generation, ...]] = ("3.1", "4.x")


def mb(mib: int) -> int:
    """MiB as pages (C: MB2PAGES)."""
    return mib << 8


@dataclass(frozen=True, slots=True)
class Settings:
    """What sysfs offers under `selfballoon`; raises ValueError for what it answers EINVAL."""

    generation: Generation = "4.x"
    selfballooning: bool = True
    interval_s: int = 5
    down_hysteresis: int = 8
    up_hysteresis: int = 1
    min_usable_mb: int = 0  # 0: the piecewise floor
    reserved_mb: int | None = None  # "4.x" only; None: a tenth of memory
    selfshrinking: bool = True
    frontswap_hysteresis: int = 20
    frontswap_inertia: int = 3

    def __post_init__(self) -> None:
        if self.generation not in GENERATIONS:
            raise ValueError(f"generation {self.generation!r}: there are {', '.join(GENERATIONS)}")
        for name in (
            "interval_s",
            "down_hysteresis",
            "up_hysteresis",
            "frontswap_hysteresis",
            "frontswap_inertia",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.min_usable_mb < 0:
            raise ValueError("min_usable_mb must not be negative")


def floor_pages(max_pfn: int, totalreserve: int, min_usable_mb: int = 0) -> int:
    """Below this a guest does not go (C: selfballoon_process, the piecewise minimum)."""
    if min_usable_mb:
        return totalreserve + mb(min_usable_mb)
    useful = max_pfn - totalreserve
    if useful < mb(16):
        return max_pfn
    if useful < mb(64):
        return totalreserve + mb(16) + ((useful - mb(16)) >> 1)
    if useful < mb(512):
        return totalreserve + mb(40) + ((useful - mb(40)) >> 3)
    return totalreserve + mb(99) + ((useful - mb(99)) >> 5)


def selfballoon_target(
    settings: Settings,
    *,
    totalram: int,
    max_pfn: int,
    committed: int,
    totalreserve: int,
    frontswap_pages: int,
) -> int:
    """How many pages the guest wants next (C: selfballoon_process, before the balloon's own offset)."""
    goal = committed + totalreserve
    if settings.generation == "4.x":
        reserved_mb = settings.reserved_mb
        goal += mb(max_pfn // 10 >> 8 if reserved_mb is None else reserved_mb)
    if settings.selfshrinking:
        goal += frontswap_pages
    target = totalram
    if totalram > goal:
        target = totalram - (totalram - goal) // settings.down_hysteresis
    elif totalram < goal:
        target = totalram + (goal - totalram) // settings.up_hysteresis
    return max(target, floor_pages(max_pfn, totalreserve, settings.min_usable_mb))


class SelfShrink:
    """When to pull pages back out of frontswap (C: frontswap_selfshrink)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pages = 0
        self._inertia = settings.frontswap_inertia

    def run(self, curr_pages: int, shrink: Callable[[int], object]) -> None:
        """One run of the worker; may call `shrink(target)`."""
        settings = self._settings
        last, self._pages = self._pages, curr_pages
        if curr_pages == 0 or curr_pages > last:
            self._inertia = settings.frontswap_inertia
            return
        if self._inertia:
            self._inertia -= 1
            if self._inertia:
                return
        if curr_pages <= settings.frontswap_hysteresis:
            target = 0
        else:
            target = curr_pages - curr_pages // settings.frontswap_hysteresis
        shrink(target)
        # QUIRK frontswap_selfshrink: the first generation forgets this, and after one rest shrinks in every run.
        if settings.generation == "4.x":
            self._inertia = settings.frontswap_inertia

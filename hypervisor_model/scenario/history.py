# SPDX-License-Identifier: GPL-2.0-only
"""What a run looked like on its way: samples at even distances of modelled time, as many as fit and no more.

When CAPACITY samples are there, every other one is dropped and the distance doubles, so that memory stays the same
however long a run is. A sample is taken between two slices, when every guest has got equally far: the series depends
on the scenario alone.
Units     pages, and counters since boot; times in microseconds of modelled time.
Left out  guests after the first MOST_GUESTS; the host's sums have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hypervisor_model.scenario.report import guest_report
from hypervisor_model.scenario.runner import CHUNK, SLICE_US

if TYPE_CHECKING:
    from hypervisor_model.scenario.runner import Progress, Runner

CAPACITY: Final = 256  # even, so that the sample after the last is one that stays
MOST_GUESTS: Final = 12

FIGURES: Final = ("owned_pages", "ephemeral_pages", "persistent_pages", "gets", "found_gets")
DISK_FIGURES: Final = ("file_pages_read", "file_pages_written", "swap_ins", "swap_outs")
SAVED_FIGURES: Final = ("cleancache_succ_gets", "frontswap_loads", "frontswap_succ_stores")

Column = list[int]


class History:
    """The samples of one run, by column."""

    def __init__(self, runner: Runner) -> None:
        self.times_us: Column = []
        self.free_pages: Column = []
        self.tmem_idle_pages: Column = []
        self.ephemeral_pages: Column = []
        self.guests: dict[str, dict[str, Column]] = {guest.name: {} for guest in runner.guests[:MOST_GUESTS]}
        self._interval_us = SLICE_US
        self._take(runner, runner.time_us)

    @property
    def next_us(self) -> int:
        """When the next sample is due."""
        return (self.times_us[-1] // self._interval_us + 1) * self._interval_us

    def run(self, runner: Runner, progress: Progress | None = None) -> bool:
        """As Runner.run, with samples on the way and one at the end."""
        while not runner.finished:
            due_us = self.next_us
            done = runner.advance(CHUNK, due_us)
            if progress is not None and not progress(runner):
                self._take(runner, runner.time_us)
                return False
            if done < CHUNK and not runner.finished:
                self._take(runner, due_us)
        self._take(runner, runner.time_us)
        return True

    def _take(self, runner: Runner, time_us: int) -> None:
        if self.times_us and time_us <= self.times_us[-1]:
            return
        if len(self.times_us) == CAPACITY:
            for column in self._columns():
                del column[1::2]
            self._interval_us *= 2
        self.times_us.append(time_us)
        self.free_pages.append(runner.hypervisor.heap.avail)
        self.tmem_idle_pages.append(runner.hypervisor.heap.tmem_list_pages)
        self.ephemeral_pages.append(runner.hypervisor.tmem.eph_count)
        for guest in runner.guests[:MOST_GUESTS]:
            columns = self.guests[guest.name]
            for name, value in _figures(guest_report(runner, guest)).items():
                columns.setdefault(name, []).append(value)

    def _columns(self) -> list[Column]:
        columns = [self.times_us, self.free_pages, self.tmem_idle_pages, self.ephemeral_pages]
        return columns + [column for guest in self.guests.values() for column in guest.values()]

    def record(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "time_s": [time_us / 1e6 for time_us in self.times_us],
            "host": {
                "free_pages": list(self.free_pages),
                "tmem_idle_pages": list(self.tmem_idle_pages),
                "ephemeral_pages": list(self.ephemeral_pages),
            },
            "guests": [
                {"name": name, **{figure: list(column) for figure, column in columns.items()}}
                for name, columns in self.guests.items()
            ],
        }


def _figures(report: Mapping[str, Any]) -> dict[str, int]:
    """What is kept of a guest's report; of the disk, where its kind has one."""
    found = {name: int(report[name]) for name in FIGURES}
    driver = report["driver"]
    if all(name in driver for name in DISK_FIGURES):
        found["disk_pages"] = sum(int(driver[name]) for name in DISK_FIGURES)
        # What tmem took or gave would have been written to the disk or read from it.
        found["disk_pages_saved"] = sum(int(driver[name]) for name in SAVED_FIGURES)
    return found

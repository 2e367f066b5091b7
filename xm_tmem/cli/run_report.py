# SPDX-License-Identifier: GPL-2.0-only
"""What `xm model run` tells of the guests at its end: the work of each, and whether one ran out of memory.

The listing has what tmem counted. Whether that was worth anything shows in what the guest itself counted: what went to
its disk all the same, and what its frontswap had to give back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xm_tmem.render.sections import Column, Section

Guest = Mapping[str, Any]
"""A guest of a report (hypervisor_model.scenario.report)."""

# What a driver counts whose guest has a disk, a page cache and swap: the heading, the unit, what it means.
WORK = {
    "file_pages_read": ("read", "pages", "read from files on the disk"),
    "file_pages_written": ("written", "pages", "written to files on the disk"),
    "swap_ins": ("swap_in", "pages", "read from the swap disk"),
    "swap_outs": ("swap_out", "pages", "written to the swap disk"),
}
STORES = {
    "frontswap_succ_stores": ("stores", "count", "pages that frontswap put into tmem instead"),
    "frontswap_failed_stores": ("failed", "count", "pages that tmem did not take from frontswap"),
}
HITS = ("cleancache_succ_gets", "cleancache_failed_gets")
OUT_OF_MEMORY = "out_of_memory"
COUNTED = (*WORK, *STORES, *HITS, OUT_OF_MEMORY)


def work_of(guests: Sequence[Guest]) -> list[Section]:
    """A section with a row for each guest whose driver counts all this; none where there is no such guest."""
    guests = [guest for guest in guests if all(name in guest["driver"] for name in COUNTED)]
    if not guests:
        return []
    columns = [
        Column("guest", "text", "the domain's name", [guest["name"] for guest in guests]),
        Column(
            "seconds", "seconds", "modelled, since boot", [f"{guest['modelled_s']:.1f}" for guest in guests]
        ),
        *(_counted(guests, name, *told) for name, told in WORK.items()),
        Column(
            "cc_hit", "ratio", "cleancache's gets that found their page", [_hits(each) for each in guests]
        ),
        *(_counted(guests, name, *told) for name, told in STORES.items()),
    ]
    if any(guest["driver"][OUT_OF_MEMORY] for guest in guests):
        columns.append(_counted(guests, OUT_OF_MEMORY, "oom", "count", "times out of memory"))
    return [Section("guests", tuple(columns))]


def out_of_memory(guests: Sequence[Guest]) -> str | None:
    """A sentence on the guests that ran out of memory, without its full stop; None if none did."""
    counts = {guest["name"]: guest["driver"].get(OUT_OF_MEMORY, 0) for guest in guests}
    short = [name for name, count in counts.items() if count]
    if not short:
        return None
    worst = max(short, key=counts.__getitem__)
    times = f"{counts[worst]} time{'s' * (counts[worst] != 1)}"
    if len(short) == 1:
        return f"{worst} ran out of memory {times}: give it memory or swap"
    return f"{len(short)} guests ran out of memory, {worst} most often, {times}: give them memory or swap"


def _counted(guests: Sequence[Guest], name: str, heading: str, unit: str, told: str) -> Column:
    return Column(heading, unit, told, [guest["driver"][name] for guest in guests])


def _hits(guest: Guest) -> float | None:
    found, missed = (guest["driver"][name] for name in HITS)
    return found / (found + missed) if found + missed else None

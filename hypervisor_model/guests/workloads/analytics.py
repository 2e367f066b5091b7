# SPDX-License-Identifier: GPL-2.0-only
"""Analytics in memory: read the data in once, then compute over what was made of it, round after round.

What is left of reading in (the text, what it was parsed into first) stays in the heap, unused, until the program ends:
a collector that has room does not run.  That is what such programs are to tmem: some of what it holds is never asked
for again.
Units     pages; nanoseconds of modelled CPU time for each page touched.
"""

from hypervisor_model.guests.handle import anon_key
from hypervisor_model.guests.work import Action, Commit, Release, Sleep, Touch

BATCHES = 64  # in so many turns the data are read in


class Analytics:
    """A heap of `pages`, of which `live` are written again in each of `rounds`; `delay_ns` staggers several."""

    def __init__(
        self,
        *,
        region: int,
        pages: int,
        live: int,
        rounds: int,
        delay_ns: int = 0,
        cpu_ns: int = 1_000,
    ) -> None:
        if live > pages:
            raise ValueError(f"{live} live pages in a heap of {pages}")
        self._first = anon_key(region)
        self._pages, self._live, self._left = pages, live, rounds
        self._delay_ns, self._cpu_ns = delay_ns, cpu_ns
        self._loaded = self._gone = False

    def unit(self) -> list[Action]:
        if not self._loaded:
            self._loaded = True
            return [Sleep(self._delay_ns), Commit(self._pages), *self._load()]
        if self._left:
            self._left -= 1
            kept = self._first + self._pages - self._live
            return [Touch(range(kept, self._first + self._pages), self._cpu_ns, write=True)]
        if not self._gone:
            self._gone = True
            return [Release(self._first, self._pages)]
        return []

    def _load(self) -> list[Action]:
        """Read a part of the data, keep what is made of it, and so on."""
        dead, live = self._first, self._first + self._pages - self._live
        parts = ((dead, self._pages - self._live), (live, self._live))
        return [
            Touch(
                range(first + size * turn // BATCHES, first + size * (turn + 1) // BATCHES),
                self._cpu_ns,
                write=True,
            )
            for turn in range(BATCHES)
            for first, size in parts
        ]

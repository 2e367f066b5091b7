# SPDX-License-Identifier: GPL-2.0-only
"""The accesses of a trace file as a workload: in its order, and at its times if a speed is given.

The file is read as the run goes on; a checkpoint holds the place in it, and a resumed run reads up to there.
Where it cannot be read further, the workload ends, and `failure` says why.
Times count from the trace's first access; what is late is done at once, and then the trace is followed again.
Units     accesses of the trace, nanoseconds.
"""

from collections.abc import Iterator
from itertools import islice

from hypervisor_model.guests.files import UnreadableFile
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.traces import Access, read_trace
from hypervisor_model.guests.work import Action, Await, Touch

BATCH = 512


class Traced:
    """Touches what the trace touches, in the file system `mount`; `limit` accesses of it at most.

    With a `speed` it does so at the trace's times, divided by that.
    """

    __transient__ = ("_accesses",)
    _accesses: Iterator[Access] | None = None
    failure: str | None = None

    def __init__(
        self,
        path: str,
        kind: str,
        *,
        limit: int | None = None,
        mount: int = 0,
        speed: float | None = None,
        cpu_ns: int = 2_000,
    ) -> None:
        self._path, self._kind, self._limit, self._cpu_ns = path, kind, limit, cpu_ns
        self._first = file_key(mount, 0)
        self._speed = speed
        self._start_ns: int | None = None  # of the trace's own clock
        self.done = 0

    def unit(self) -> list[Action]:
        if self._accesses is None:
            self._accesses = islice(read_trace(self._path, self._kind), self.done, None)
        count = BATCH if self._limit is None else min(BATCH, self._limit - self.done)
        actions: list[Action] = []
        try:
            for access in islice(self._accesses, max(0, count)):
                if self._speed is not None:
                    actions.append(Await(self._when(access.time_ns, self._speed)))
                first = self._first + access.first
                actions.append(Touch(range(first, first + access.pages), self._cpu_ns, write=access.write))
                self.done += 1
        except UnreadableFile as error:
            self.failure = str(error)
        return actions

    def _when(self, time_ns: int, speed: float) -> int:
        if self._start_ns is None:
            self._start_ns = time_ns
        return max(0, round((time_ns - self._start_ns) / speed))

# SPDX-License-Identifier: GPL-2.0-only
"""The accesses of a trace file as a workload: its order, not its times.

The file is read as the run goes on; a checkpoint holds the place in it, and a resumed run reads up to there.
Where it cannot be read further, the workload ends, and `failure` says why.
Units     accesses of the trace.
"""

from collections.abc import Iterator
from itertools import islice

from hypervisor_model.guests.files import UnreadableFile
from hypervisor_model.guests.traces import Access, read_trace
from hypervisor_model.guests.work import Action, Touch

BATCH = 512


class Traced:
    """Touches what the trace touches; `limit` accesses of it at most."""

    __transient__ = ("_accesses",)
    _accesses: Iterator[Access] | None = None
    failure: str | None = None

    def __init__(self, path: str, kind: str, *, limit: int | None = None, cpu_ns: int = 2_000) -> None:
        self._path, self._kind, self._limit, self._cpu_ns = path, kind, limit, cpu_ns
        self.done = 0

    def unit(self) -> list[Action]:
        if self._accesses is None:
            self._accesses = islice(read_trace(self._path, self._kind), self.done, None)
        count = BATCH if self._limit is None else min(BATCH, self._limit - self.done)
        actions: list[Action] = []
        try:
            for access in islice(self._accesses, max(0, count)):
                keys = range(access.first, access.first + access.pages)
                actions.append(Touch(keys, self._cpu_ns, write=access.write))
        except UnreadableFile as error:
            self.failure = str(error)
        self.done += len(actions)
        return actions

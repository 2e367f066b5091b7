# SPDX-License-Identifier: GPL-2.0-only
"""A database on files: transactions over a table, its bulk load, and a sort larger than memory.

Units     pages; nanoseconds of modelled CPU time for each page touched.
"""

import random

from hypervisor_model.guests.handle import anon_key, file_key
from hypervisor_model.guests.work import Action, Commit, Open, Release, Remove, Sync, Touch
from hypervisor_model.guests.workloads.popularity import Popularity

TABLE_INODE, LOG_INODE, RUN_INODE = 2, 3, 100


class Oltp:
    """Transactions that read `reads` pages of a table by popularity, change `writes` of them and write a log page.

    `image_seed`: see Popularity.
    """

    def __init__(
        self,
        seed: str,
        *,
        table_pages: int,
        transactions: int | None,
        reads: int = 12,
        writes: int = 2,
        skew: float = 0.8,
        buffer_pages: int = 0,
        region: int = 1,
        mount: int = 0,
        cpu_ns: int = 20_000,
        sync_every: int = 0,
        image_seed: str | None = None,
    ) -> None:
        self._rng = random.Random(seed)
        self._popularity = Popularity(self._rng, file_key(mount, TABLE_INODE), table_pages, skew, image_seed)
        self._log = file_key(mount, LOG_INODE)
        self._left = transactions
        self._reads, self._writes = reads, writes
        self._buffer = range(anon_key(region), anon_key(region) + buffer_pages)
        self._cpu_ns = cpu_ns
        self._sync_every = sync_every
        self.done = 0

    def unit(self) -> list[Action]:
        if self._left is not None and self.done >= self._left:
            return []
        actions: list[Action] = []
        if self.done == 0 and self._buffer:
            actions += [Commit(len(self._buffer)), Touch(self._buffer, write=True)]
        self.done += 1
        keys = self._popularity.draw(self._reads)
        actions.append(Touch(keys, self._cpu_ns))
        if self._writes:
            actions.append(Touch(keys[: self._writes], self._cpu_ns, write=True))
        actions.append(Touch([self._log + self.done % 4096], self._cpu_ns, write=True))
        if self._buffer:
            actions.append(Touch(self._rng.choices(self._buffer, k=4), self._cpu_ns, write=True))
        if self._sync_every and self.done % self._sync_every == 0:
            actions.append(Sync())
        return actions


class BulkLoad:
    """Fill a table in order; every batch changes pages of an index that lie all over the part already written."""

    def __init__(
        self,
        seed: str,
        *,
        pages: int,
        batch: int = 64,
        index_touches: int = 32,
        mount: int = 0,
        cpu_ns: int = 4_000,
    ) -> None:
        self._rng = random.Random(seed)
        self._first = file_key(mount, TABLE_INODE)
        self._pages, self._batch, self._touches, self._cpu_ns = pages, batch, index_touches, cpu_ns
        self._next = 0

    def unit(self) -> list[Action]:
        if self._next >= self._pages:
            return []
        start, end = self._next, min(self._next + self._batch, self._pages)
        self._next = end
        actions: list[Action] = [
            Touch(range(self._first + start, self._first + end), self._cpu_ns, write=True)
        ]
        touched = [self._first + int(self._rng.random() * end) for _ in range(self._touches)]
        return [*actions, Touch(touched, self._cpu_ns), Touch(touched[::4], self._cpu_ns, write=True)]


class ExternalSort:
    """sort of a file larger than memory: read it in runs, write each sorted, then merge the runs into the output."""

    def __init__(
        self,
        *,
        input_inode: int,
        output_inode: int,
        pages: int,
        run_pages: int,
        region: int = 1,
        mount: int = 0,
        cpu_ns: int = 4_000,
    ) -> None:
        self._input, self._output = file_key(mount, input_inode), file_key(mount, output_inode)
        self._pages, self._run_pages = pages, run_pages
        self._buffer = anon_key(region)
        self._mount, self._cpu_ns = mount, cpu_ns
        self._runs = -(-pages // run_pages)
        self._step = 0

    def _run(self, number: int) -> int:
        return file_key(self._mount, RUN_INODE + number)

    def unit(self) -> list[Action]:
        step, cpu_ns = self._step, self._cpu_ns
        self._step += 1
        if step < self._runs:
            start = step * self._run_pages
            count = min(self._run_pages, self._pages - start)
            first, run = self._input + start, self._run(step)
            return [
                Commit(count if step == 0 else 0),
                Touch(range(first, first + count), cpu_ns, end=self._input + self._pages),
                Touch(range(self._buffer, self._buffer + count), cpu_ns, write=True),
                Open(run, count),
                Touch(range(run, run + count), cpu_ns, write=True),
            ]
        if step > self._runs:
            return []
        actions: list[Action] = []
        chunk = 64
        written = 0
        for start in range(0, self._run_pages, chunk):
            for number in range(self._runs):
                length = min(self._run_pages, self._pages - number * self._run_pages)
                count = min(chunk, length - start)
                if count > 0:
                    run = self._run(number)
                    actions.append(Touch(range(run + start, run + start + count), cpu_ns, end=run + length))
                    output = self._output + written
                    actions.append(Touch(range(output, output + count), cpu_ns, write=True))
                    written += count
        actions += [Remove(self._run(number), self._run_pages) for number in range(self._runs)]
        actions.append(Release(self._buffer, min(self._run_pages, self._pages)))
        return actions

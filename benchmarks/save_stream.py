# SPDX-License-Identifier: GPL-2.0-only
"""How fast a save writes a container and a restore reads one, against dd of the same bytes through a pipe.

The hypervisor costs nothing here: pages come from memory and are put nowhere. What is measured is this project's own
work for each page: items, checksums, the log of handles, verification. Each runs in a process of its own, whose memory
beyond what it had is the largest it ever held. Rates are by CPU time, ratios by the clock on the wall, since dd | dd is
two processes.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.builds import Build
from benchmarks.figures import Figure, Goal
from benchmarks.timing import median
from xm_tmem.backends.interface import (
    Capability,
    ClientInfo,
    DomainInfo,
    HostInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    TmemState,
)
from xm_tmem.errors import NoClient, TmemError
from xm_tmem.ids import DomainId, PoolId, SharedUuid
from xm_tmem.operations.migration import restore, save
from xm_tmem.units import PAGE_BYTES, PAGES_PER_MB

DOMAIN = DomainId(1)
POOL = PoolId(0)
GOAL_MB_PER_S = 150
GOAL_EXTRA_MB = 64


class FreeHost:
    """As much of a Backend as a save and a restore use, at no cost; with `pages` None the domain is no client yet."""

    name = "free:"
    capabilities = ~Capability(0)

    def __init__(self, pages: int | None) -> None:
        self._pages = pages
        self._frozen = False
        choose = random.Random(1)
        self._contents = [choose.randbytes(PAGE_BYTES) for _ in range(1024)]

    def host(self) -> HostInfo:
        return HostInfo("free:", "4.12.4", "4.12", "", TmemState.ON, "", details={"quirks": "documented"})

    def domains(self) -> list[DomainInfo]:
        return [DomainInfo(DOMAIN)]

    def client_info(self, client: DomainId) -> ClientInfo:
        if self._pages is None:
            raise NoClient("no client yet")
        return ClientInfo(0, False, self._frozen, nr_pools=1)

    def pools(self, client: DomainId) -> list[PoolInfo]:
        return [PoolInfo(POOL, True, False, self._pages or 0, SharedUuid(0, 0))]

    def list_text(self, client: DomainId | None, *, use_long: bool) -> bytes:
        return b"P=CI:1,PI:0,PT:PP,U0:0,U1:0\n"

    def save_begin(self, client: DomainId, *, live: bool) -> None:
        self._frozen = True

    def save_end(self, client: DomainId) -> None:
        self._frozen = False

    def save_pages(self, client: DomainId, pool: PoolId) -> Iterator[SavedPage]:
        for number in range(self._pages or 0):
            yield SavedPage(POOL, number >> 10, number & 1023, self._contents[number & 1023])

    def restore_begin(self, client: DomainId) -> None:
        self._pages = 0

    def restore_pool(self, client: DomainId, pool: PoolInfo) -> None:
        """There is one already."""

    def restore_page(self, client: DomainId, page: SavedPage) -> None:
        self._pages = (self._pages or 0) + 1

    def restore_pages(self, client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        self._pages = (self._pages or 0) + len(pages)
        return [None] * len(pages)

    def restore_invalidations(self, client: DomainId, handles: Sequence[Invalidation]) -> None:
        """There are none."""


def measure(size_mb: int) -> dict[str, float]:
    """Seconds of a save, of a restore and of dd through a pipe; MiB of memory that the two took."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(dir=memory) as file:
        source, target = FreeHost(size_mb * PAGES_PER_MB), FreeHost(None)
        # Imports and first uses are not what is measured.
        with tempfile.TemporaryFile() as small:
            save(FreeHost(1), DOMAIN, small)  # type: ignore[arg-type]
        before_kb = _memory_kb("VmRSS")
        saving, saving_cpu = _seconds(lambda: save(source, DOMAIN, file))  # type: ignore[arg-type]
        piping, _ = _seconds(lambda: pipe(file.name))
        file.seek(0)
        reading, reading_cpu = _seconds(lambda: restore(target, DOMAIN, file, file.name))  # type: ignore[arg-type]
        extra_mb = (_memory_kb("VmHWM") - before_kb) / 1024
    return {
        "save_s": saving,
        "save_cpu_s": saving_cpu,
        "restore_s": reading,
        "restore_cpu_s": reading_cpu,
        "pipe_s": piping,
        "extra_mb": extra_mb,
    }


def _memory_kb(what: str) -> int:
    """Memory of this process that is resident: VmRSS now, VmHWM at the most."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what))


def _seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - start, time.process_time() - cpu


def pipe(path: str) -> None:
    """dd | dd"""
    with subprocess.Popen(["dd", f"if={path}", "bs=1M", "status=none"], stdout=subprocess.PIPE) as reader:
        subprocess.run(["dd", "of=/dev/null", "bs=1M", "status=none"], stdin=reader.stdout, check=True)


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """Rates and memory; streams are not compiled, so the first build stands for all."""
    size_mb = 32 if quick else 1024
    runs = [builds[0].measure("save_stream", size_mb=size_mb) for _ in range(1 if quick else 3)]
    size_bytes = size_mb << 20
    piped = median([run["pipe_s"] for run in runs])
    lines = [
        Figure(
            f"{name} of {size_mb:,} MiB",
            size_bytes / median([run[f"{name}_cpu_s"] for run in runs]) / 1e6,
            "MB/s",
            median([run["pipe_s"] / run[f"{name}_s"] for run in runs]),
            f"dd | dd, {size_bytes / piped / 1e6:,.0f} MB/s",
            Goal(GOAL_MB_PER_S, "MB/s", at_least=True),
        )
        for name in ("save", "restore")
    ]
    extra_mb = median([run["extra_mb"] for run in runs])
    return [*lines, Figure("  memory that both took", extra_mb, "MiB", goal=Goal(GOAL_EXTRA_MB, "MiB"))]

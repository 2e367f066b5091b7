# SPDX-License-Identifier: GPL-2.0-only
"""The ballooning daemon of 2008: a shell script in the guest, told what to do by itself or from dom0.

Models    tools/xenballoon/xenballoond of Xen 3.3 to 4.2: the self mode (target Committed_AS), the directed mode (target
          from xenstore), its table of minima and its way of shrinking preswap.
Units     KiB, as /proc/meminfo and xenstore have it; preswap in pages.
Left out  the statistics it writes to xenstore for dom0's monitor, apart from `selftarget`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """xenballoon.conf; xenstore's memory/... keys override what they name."""

    selfballoon: bool = True
    interval_s: int = 1
    down_hysteresis: int = 10
    up_hysteresis: int = 1
    min_mb: int = 0  # 0: `minimum_mb`
    preswap_shrink: bool = False
    preswap_hysteresis: int = 20
    preswap_inertia: int = 10


def minimum_mb(max_kb: int) -> int:
    """What a guest of this size keeps at least, when nothing is configured (sh: minmb)."""
    pages = max_kb // 4
    size_mb = max_kb // 1024
    if size_mb < 125:
        return 8 + (pages >> 9)
    if size_mb < 500:
        return 40 + (pages >> 10)
    if size_mb < 2000:
        return 104 + (pages >> 11)
    return 296 + (pages >> 13)


class Xenballoond:
    """The daemon's loop; `max_kb` is the high-water mark of MemTotal that it keeps in a file."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = Config() if config is None else config
        self.max_kb = 0
        self.selftarget_kb = 0  # xenstore memory/selftarget
        self._preswap_pages = 0
        self._inertia = self.config.preswap_inertia

    def balloon_target_kb(self, memtotal_kb: int, committed_kb: int, directed_kb: int | None = None) -> int:
        """What to write to /proc/xen/balloon now; `directed_kb` is dom0's memory/target, if there is one."""
        config = self.config
        self.max_kb = max(self.max_kb, memtotal_kb)
        if config.selfballoon:
            target = max(committed_kb, (config.min_mb or minimum_mb(self.max_kb)) * 1024)
        elif directed_kb is not None:
            target = directed_kb
        else:
            return memtotal_kb
        if memtotal_kb > target:
            new = memtotal_kb - (memtotal_kb - target) // config.down_hysteresis
        else:
            new = memtotal_kb + (target - memtotal_kb) // config.up_hysteresis
        self.selftarget_kb = new
        return new

    def preswap_target(self, pages: int) -> int | None:
        """To how many pages preswap is to be shrunk in this round; None: leave it."""
        config = self.config
        if not config.preswap_shrink:
            return None
        if pages == 0 or pages != self._preswap_pages:
            self._preswap_pages = pages
            self._inertia = config.preswap_inertia
            return None
        self._inertia -= 1
        if self._inertia > 0:
            return None
        self._inertia = config.preswap_inertia
        return pages - pages // config.preswap_hysteresis

# SPDX-License-Identifier: GPL-2.0-only
"""A disk with a queue: how long a request takes, and what was read and written.

One arm, first come first served: a request waits for those before it, pays for the seek unless it goes on where the
last one ended, then for its pages.  Requests and pages are exact; every time is modelled.
Units     times in nanoseconds of simulated time; positions and lengths in pages.
Left out  the elevator beyond a shorter seek when many wait, write caches, errors.
"""

from typing import Final

from mypy_extensions import mypyc_attr

MS: Final = 1_000_000
SEEK_NS: Final = 8 * MS  # average seek and half a turn at 7200 rpm
PAGE_NS: Final = 40_000  # 4096 bytes at about 100 MB/s
WRITES_MERGED: Final = 8
SWAP_AREA: Final = -(1 << 40)  # where a swap device begins
BACKLOG_NS: Final = 200_000_000  # whoever writes while this much is waiting to be written waits too
NEAR: Final = 64  # pages: this far ahead is reached without a seek


@mypyc_attr(allow_interpreted_subclasses=True)
class Disk:
    """Several guests may share one. `reads` and `writes` count requests, `pages_*` their pages.

    Positions below 0 are the swap area, where a seek may cost less because pages go in clusters.
    """

    __slots__ = (
        "_end",
        "busy_ns",
        "free_at_ns",
        "page_ns",
        "pages_read",
        "pages_written",
        "reads",
        "seek_ns",
        "swap_seek_ns",
        "write_seek_ns",
        "writes",
    )

    def __init__(
        self,
        *,
        seek_ns: int = SEEK_NS,
        page_ns: int = PAGE_NS,
        swap_seek_ns: int | None = None,
        write_seek_ns: int | None = None,
    ) -> None:
        self.seek_ns = seek_ns
        self.swap_seek_ns = seek_ns if swap_seek_ns is None else swap_seek_ns
        self.write_seek_ns = write_seek_ns  # None: of what a read pays, a part
        self.page_ns = page_ns
        self.free_at_ns = self.busy_ns = 0
        self.reads = self.writes = self.pages_read = self.pages_written = 0
        self._end = -1

    def read(self, now_ns: int, position: int, pages: int) -> int:
        """Queue a read; returns the time when its pages are there."""
        self.reads += 1
        self.pages_read += pages
        cost = pages * self.page_ns
        if not 0 <= position - self._end < NEAR:
            seek_ns = self.seek_ns if position >= 0 else self.swap_seek_ns
            # With a long queue the elevator halves the way between requests.
            cost += seek_ns if self.free_at_ns - now_ns < 4 * seek_ns else seek_ns >> 1
        self._end = position + pages
        self.busy_ns += cost
        self.free_at_ns = max(self.free_at_ns, now_ns) + cost
        return self.free_at_ns

    def write(self, now_ns: int, position: int, pages: int) -> int:
        """Queue a write; returns the time when it is done (a writer seldom waits for that).

        Nobody waits, so the elevator sorts and merges: one request in WRITES_MERGED pays for a seek.
        """
        self.writes += 1
        self.pages_written += pages
        seek_ns = self.write_seek_ns
        if seek_ns is None:
            seek_ns = (self.seek_ns if position >= 0 else self.swap_seek_ns) // WRITES_MERGED
        cost = pages * self.page_ns + seek_ns
        self.busy_ns += cost
        self.free_at_ns = max(self.free_at_ns, now_ns) + cost
        return self.free_at_ns

    def write_out(self, now_ns: int, file_pages: int, swap_pages: int) -> int:
        """Queue what one round of writeback wrote, a request for the files and one for the swap area.

        Returns until when the writer has to wait: a time that is past unless much is waiting already.
        """
        if file_pages:
            self.write(now_ns, 0, file_pages)
        if swap_pages:
            self.write(now_ns, SWAP_AREA, swap_pages)
        return self.free_at_ns - BACKLOG_NS

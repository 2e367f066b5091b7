# SPDX-License-Identifier: GPL-2.0-only
"""How much CPU a guest's operations are reckoned at. Every number here is modelled time, in nanoseconds.

The hypervisor's share was measured on the unmodified C of Xen 4.3 built for user space on a 2020s server core, pages
not in the cache (docs/evaluation.md says how); the entry and the exit of a hypercall are an assumption.
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Costs:
    """The defaults are of uncompressed pages; `COMPRESSED` is the same with LZO1X."""

    __slots__ = ("fault_ns", "flush_ns", "get_hit_ns", "get_miss_ns", "hypercall_ns", "io_ns", "put_ns")

    def __init__(
        self,
        *,
        hypercall_ns: int = 200,
        put_ns: int = 1129,
        get_hit_ns: int = 760,
        get_miss_ns: int = 66,
        flush_ns: int = 168,
        fault_ns: int = 1_000,
        io_ns: int = 10_000,
    ) -> None:
        self.hypercall_ns = hypercall_ns
        self.put_ns = put_ns
        self.get_hit_ns = get_hit_ns
        self.get_miss_ns = get_miss_ns
        self.flush_ns = flush_ns
        self.fault_ns = fault_ns  # the guest's own way through a page fault
        self.io_ns = io_ns  # setting up a disk request and taking its interrupt

    def scaled(self, factor: int) -> "Costs":
        """The same where a page stands for so many."""
        return Costs(
            hypercall_ns=self.hypercall_ns * factor,
            put_ns=self.put_ns * factor,
            get_hit_ns=self.get_hit_ns * factor,
            get_miss_ns=self.get_miss_ns * factor,
            flush_ns=self.flush_ns * factor,
            fault_ns=self.fault_ns * factor,
            io_ns=self.io_ns * factor,
        )

    def tmem_ns(self, *, puts: int, hits: int, misses: int, flushes: int) -> int:
        """CPU time of so many operations."""
        return (
            puts * self.put_ns
            + hits * self.get_hit_ns
            + misses * self.get_miss_ns
            + flushes * self.flush_ns
            + (puts + hits + misses + flushes) * self.hypercall_ns
        )


PLAIN = Costs()
COMPRESSED = Costs(put_ns=1129 + 23_800, get_hit_ns=760 + 9_600)
FREE = Costs(hypercall_ns=0, put_ns=0, get_hit_ns=0, get_miss_ns=0, flush_ns=0, fault_ns=0, io_ns=0)

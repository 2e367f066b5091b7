# SPDX-License-Identifier: GPL-2.0-only
"""How much CPU a guest's operations are reckoned at. Every number here is modelled time, in nanoseconds.

The hypervisor's share was measured on the unmodified C of Xen 4.3 built for user space on a 2020s server core, pages
not in the cache (docs/evaluation.md says how); the entry and the exit of a hypercall are an assumption.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """The defaults are of uncompressed pages; `COMPRESSED` is the same with LZO1X."""

    hypercall_ns: int = 200
    put_ns: int = 1129
    get_hit_ns: int = 760
    get_miss_ns: int = 66
    flush_ns: int = 168
    fault_ns: int = 1_000  # the guest's own way through a page fault
    io_ns: int = 10_000  # setting up a disk request and taking its interrupt

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

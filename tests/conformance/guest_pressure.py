# SPDX-License-Identifier: GPL-2.0-only
"""Keeps a replay's host as short of memory as the recording shows that the real one was.

The real host's other memory is not recorded, but its effects are: a get misses a page that nobody flushed, a put is
refused. Just before such a record the ephemeral pages up to the missed one are pushed out by the control operation
FLUSH, which evicts in the model's own order, or memory is taken away until a put must fail. So the model still has
to evict the right pages in the right order, else a later get finds too much or too little.
"""

from __future__ import annotations

from typing import Final

from hypervisor_model.public import tmem, xen
from tests.conformance.guest_trace import DESTROY_POOL, FLUSH_OBJECT, FLUSH_PAGE, GET, NEW_POOL, PUT
from tests.conformance.replay import Replayer

_POOL: Final = slice(0, 4)  # of a key
_OBJECT: Final = slice(0, 28)
_PAGE_KB: Final = 4
_EVERYTHING_KB: Final = 1 << 30


class Pressure:
    """`follow` is told of every record before it is performed."""

    def __init__(self, control: Replayer) -> None:
        self.evictions = self.refusals = 0
        self._control = control
        self._hypervisor = control.hypervisor
        self._client_info_abi = self._hypervisor.release.client_info_abi
        self._operations = 0
        self._taken = 0  # host pages, to make puts fail
        self._persistent: set[int] = set()
        # Ephemeral pages by time of put; the value is not used, the order is.
        self._resident: dict[bytes, None] = {}
        self._objects: dict[bytes, set[bytes]] = {}

    @property
    def operations_counted(self) -> int:
        """How many control operations this replay added to Xen's count of tmem operations: sysctls are not in it."""
        return 0 if self._client_info_abi else self._operations

    def follow(self, op: int, pool: int, key: bytes, index: int, ret: int) -> None:
        """The next record is this, and Xen answered `ret`."""
        if op == PUT and ret < 0:
            self._make_puts_fail()
        elif op == PUT:
            self._give_back()
            if pool not in self._persistent:
                self._resident.pop(key, None)
                self._resident[key] = None
                self._objects.setdefault(key[_OBJECT], set()).add(key)
        elif op == GET and ret == -xen.EEMPTY:
            newest = next((page for page in reversed(self._resident) if page[_POOL] == key[_POOL]), None)
            if newest is not None:
                self._evict_up_to(newest)
        elif op == GET and key in self._resident:
            if ret != 1:
                self._evict_up_to(key)
            self._forget(key)
        elif op == FLUSH_PAGE:
            self._forget(key)
        elif op == FLUSH_OBJECT:
            for page in tuple(self._objects.get(key[_OBJECT], ())):
                self._forget(page)
        elif op == NEW_POOL and index & tmem.TMEM_POOL_PERSIST:
            self._persistent.add(ret)
        elif op == DESTROY_POOL:
            self._persistent.discard(pool)
            for page in [page for page in self._resident if page[_POOL] == key[_POOL]]:
                self._forget(page)

    def _forget(self, key: bytes) -> None:
        if key in self._resident:
            del self._resident[key]
            pages = self._objects[key[_OBJECT]]
            pages.discard(key)
            if not pages:
                del self._objects[key[_OBJECT]]

    def _evict_up_to(self, key: bytes) -> None:
        self._flush(0)  # tmem's free pages to the heap: each page wanted beyond them is an eviction
        for oldest in list(self._resident):
            self._flush(_PAGE_KB)
            self._forget(oldest)
            self.evictions += 1
            if oldest == key:
                break

    def _make_puts_fail(self) -> None:
        """A put is refused where no ephemeral page is left to evict and there is no memory, or less than a megabyte."""
        self.refusals += 1
        self.evictions += len(self._resident)
        self._resident.clear()
        self._objects.clear()
        self._flush(_EVERYTHING_KB)
        stat = self._control.perform({"op": "stat", "of": []})
        left = (1 << 20 - xen.PAGE_SHIFT) - 1 + stat["midsize"] if self._client_info_abi else 0
        surplus = stat["avail"] - left
        for order in reversed(range(max(surplus, 0).bit_length())):
            if surplus >> order & 1:
                self._taken += self._hypervisor.alloc_host_pages(1, order) << order

    def _give_back(self) -> None:
        if self._taken:
            self._hypervisor.free_host_pages(self._taken)
            self._taken = 0

    def _flush(self, size_kb: int) -> None:
        """FLUSH for all clients (C: tmemc_flush_mem)."""
        self._operations += 1
        name, amount = ("sysctl", "arg") if self._client_info_abi else ("ctl", "arg1")
        self._control.perform(
            {"op": name, "d": 0, "subop": tmem.TMEMC_FLUSH, "cli": xen.CLI_ID_ALL, amount: size_kb}
        )

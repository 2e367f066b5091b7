# SPDX-License-Identifier: GPL-2.0-only
"""A guest whose time in tmem is counted, for hosts that have a clock (to Xen 4.3, which compiles TMEM_PERF in).

Models    START_CYC_COUNTER and END_CYC_COUNTER_CLI of do_tmem_op.
Units     cycles of the host's clock.
Left out  the counters of copies, compression and decompression (C, c, d): pages are kept by reference here.
"""

from __future__ import annotations

from hypervisor_model.public.xen import ENODEV
from hypervisor_model.tmem.client import client_of
from hypervisor_model.tmem.guest_ops import Guest
from hypervisor_model.tmem.obj import Oid


class TimedGuest(Guest):
    """NEW_PAGE, READ and WRITE are not timed, nor is what finds no pool. Destroying a pool counts as a flush."""

    __slots__ = ()

    def _now(self) -> int:
        clock = self._tmem.cycles.clock
        return 0 if clock is None else clock()

    def _count(self, tag: str, start: int) -> None:
        client = client_of(self.domain)
        if client is not None:
            elapsed = self._now() - start
            if self._tmem.cycles.by_tag[tag].add(elapsed):
                client.total_cycles += elapsed

    def put(self, pool_id: int, oid: Oid, index: int, page: bytes | bytearray | memoryview | None) -> int:
        start = self._now()
        rc = super().put(pool_id, oid, index, page)
        if rc != -ENODEV:
            self._count("P" if rc == 1 else "p", start)
        return rc

    def get(self, pool_id: int, oid: Oid, index: int) -> tuple[int, bytes | None]:
        return self.get_to(pool_id, oid, index, True)

    def get_to(self, pool_id: int, oid: Oid, index: int, writable: bool) -> tuple[int, bytes | None]:
        start = self._now()
        found = super().get_to(pool_id, oid, index, writable)
        if found[0] != -ENODEV:
            self._count("G" if found[0] == 1 else "g", start)
        return found

    def flush_page(self, pool_id: int, oid: Oid, index: int) -> int:
        start = self._now()
        rc = super().flush_page(pool_id, oid, index)
        if rc != -ENODEV:
            self._count("F", start)
        return rc

    def flush_object(self, pool_id: int, oid: Oid) -> int:
        start = self._now()
        rc = super().flush_object(pool_id, oid)
        if rc != -ENODEV:
            self._count("O", start)
        return rc

    def destroy_pool(self, pool_id: int) -> int:
        start = self._now()
        rc = super().destroy_pool(pool_id)
        self._count("F", start)
        return rc

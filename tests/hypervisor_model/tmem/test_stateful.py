# SPDX-License-Identifier: GPL-2.0-only
"""State machines over the whole hypervisor: a dict says what may come back, check() that no counter lies.

What holds whatever happens: after a put a get never gives what was there before (put-put-get); after a miss gets go
on missing until the next put (get-get); a persistent page, once accepted, is never lost.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.xen import EEMPTY, EFROZEN, ENODEV, ENOMEM
from hypervisor_model.tmem.guest_ops import Guest
from tests.strategies import PAGES, indexes, oids, page_numbers

STEPS = 40
EXAMPLES = int(os.environ.get("XM_TMEM_EXAMPLES", "25"))


class PrivatePool(RuleBasedStateMachine):
    """A private pool with room to spare agrees with a dict, return code for return code."""

    @initialize(
        persistent=st.booleans(),
        release=st.sampled_from(["4.3", "4.12"]),
        options=st.sampled_from(
            ["", " tmem_compress=1", " tmem_dedup=1", " tmem_dedup=1 tmem_compress=1", " tmem_dedup tmem_tze"]
        ),
        exact=st.booleans(),
        quirks=st.sampled_from(["xen", "documented"]),
    )
    def boot(self, persistent: bool, release: str, options: str, exact: bool, quirks: str) -> None:
        self.hv = Hypervisor(
            release=release, frames=4096, command_line="tmem=1" + options, exact=exact, quirks=quirks
        )
        self.guest = self.hv.create_domain(1)
        self.persistent = persistent
        self.pool_id = self.guest.new_pool(persistent=persistent)
        self.frozen = False
        self.held: dict[tuple[int, int], bytes] = {}

    @rule(frozen=st.booleans())
    def freeze_or_thaw(self, frozen: bool) -> None:
        self.hv.set_frozen(1, frozen)
        self.frozen = frozen

    @rule(oid=oids, index=indexes, number=page_numbers)
    def put(self, oid: int, index: int, number: int) -> None:
        page = PAGES[number]
        taken = not self.frozen or (oid, index) in self.held  # a frozen client still takes a duplicate
        assert self.guest.put(self.pool_id, oid, index, page) == (1 if taken else -EFROZEN)
        if taken:
            self.held[oid, index] = page

    @rule(oid=oids, index=indexes)
    def get(self, oid: int, index: int) -> None:
        page = self.held.get((oid, index))
        miss = (0, None) if self.held else (-EEMPTY, None)
        assert self.guest.get(self.pool_id, oid, index) == (miss if page is None else (1, page))
        if not self.persistent:
            self.held.pop((oid, index), None)  # a private ephemeral get takes the page away

    @rule(oid=oids, index=indexes)
    def flush_page(self, oid: int, index: int) -> None:
        refused = self.frozen and self.hv.quirks == "xen"
        assert self.guest.flush_page(self.pool_id, oid, index) == (-EFROZEN if refused else 1)
        self.held.pop((oid, index), None)

    @rule(oid=oids)
    def flush_object(self, oid: int) -> None:
        refused = self.frozen and self.hv.quirks == "xen"
        assert self.guest.flush_object(self.pool_id, oid) == (-EFROZEN if refused else 1)
        self.held = {key: page for key, page in self.held.items() if key[0] != oid}

    @rule()
    def destroy_and_make_anew(self) -> None:
        assert self.guest.destroy_pool(self.pool_id) == 1
        assert self.guest.get(self.pool_id, 1, 0) == (-ENODEV, None)
        self.held.clear()
        self.pool_id = self.guest.new_pool(persistent=self.persistent)

    @invariant()
    def counters_tell_the_truth(self) -> None:
        self.hv.check()
        assert f"Pc:{len(self.held)}," in self.hv.list_text(use_long=True)


TestPrivatePool = PrivatePool.TestCase
TestPrivatePool.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)


class UnderPressure(RuleBasedStateMachine):
    """Two guests with private and shared pools on a host with hardly any memory, and an operator who meddles."""

    @initialize(
        release=st.sampled_from(["4.3", "4.12"]),
        options=st.sampled_from(
            ["", " tmem_compress", " tmem_dedup", " tmem_dedup tmem_compress", " tmem_dedup tmem_tze"]
        ),
        frames=st.integers(12, 330),
        quirks=st.sampled_from(["xen", "documented"]),
    )
    def boot(self, release: str, options: str, frames: int, quirks: str) -> None:
        self.hv = Hypervisor(release=release, frames=frames, command_line="tmem=1" + options, quirks=quirks)
        self.guests: dict[int, Guest] = {}
        self.pools: dict[tuple[int, int], bool] = {}  # (domid, pool id) -> persistent; private pools only
        self.last: dict[
            tuple[int, int, int, int], bytes | None
        ] = {}  # what a hit may give; None: nothing may
        self.kept: set[tuple[int, int, int, int]] = set()  # persistent pages accepted
        for domid in (1, 2):
            self.start(domid)

    def start(self, domid: int) -> None:
        self.guests[domid] = self.hv.create_domain(domid, max_pages=40, tot_pages=10)

    def forget(self, domid: int) -> None:
        self.pools = {key: value for key, value in self.pools.items() if key[0] != domid}
        self.last = {key: value for key, value in self.last.items() if key[0] != domid}
        self.kept = {key for key in self.kept if key[0] != domid}

    @rule(domid=st.sampled_from([1, 2]), persistent=st.booleans())
    def new_pool(self, domid: int, persistent: bool) -> None:
        if sum(key[0] == domid for key in self.pools) < 3:
            pool_id = self.guests[domid].new_pool(persistent=persistent)
            if pool_id >= 0:
                self.pools[domid, pool_id] = persistent

    @rule(domid=st.sampled_from([1, 2]), uuid=st.sampled_from([(7, 8), (9, 9)]))
    def share(self, domid: int, uuid: tuple[int, int]) -> None:
        # One join a guest and uuid: C is undefined for two (the share list is unlinked).
        client = next((client for client in self.hv.tmem.clients if client.cli_id == domid), None)
        if client is None or any(pool is not None and pool.uuid == uuid for pool in client.pools):
            return
        self.hv.tmem.global_shared_auth = True
        self.guests[domid].new_pool(shared=True, uuid=uuid)

    @rule(domid=st.sampled_from([1, 2]), slot=st.integers(0, 4), oid=oids, index=indexes, number=page_numbers)
    def put(self, domid: int, slot: int, oid: int, index: int, number: int) -> None:
        page = PAGES[number]
        key = (domid, slot, oid, index)
        rc = self.guests[domid].put(slot, oid, index, page)
        if (domid, slot) not in self.pools:
            return
        if rc == 1:
            # (With deduplication 4.3 says 1 even if no memory was left to share the content: the page is gone.)
            self.last[key] = page
            if self.pools[domid, slot]:
                self.kept.add(key)
        elif rc not in (-EFROZEN, -ENOMEM):  # a dup put that fails for want of memory answers -ENOSPC
            self.last[key] = None
            self.kept.discard(key)

    @rule(domid=st.sampled_from([1, 2]), slot=st.integers(0, 4), oid=oids, index=indexes)
    def get(self, domid: int, slot: int, oid: int, index: int) -> None:
        key = (domid, slot, oid, index)
        rc, page = self.guests[domid].get(slot, oid, index)
        if (domid, slot) not in self.pools:
            return
        if rc == 1:
            assert page == self.last.get(key), "stale data"
            if not self.pools[domid, slot]:
                self.last[key] = None
        else:
            assert key not in self.kept, "a persistent page was lost"
            self.last[key] = None

    @rule(domid=st.sampled_from([1, 2]), slot=st.integers(0, 4), oid=oids, index=indexes)
    def flush(self, domid: int, slot: int, oid: int, index: int) -> None:
        self.guests[domid].flush_page(slot, oid, index)
        self.last.pop((domid, slot, oid, index), None)
        self.kept.discard((domid, slot, oid, index))

    @rule(domid=st.sampled_from([1, 2]), slot=st.integers(0, 4))
    def destroy_pool(self, domid: int, slot: int) -> None:
        self.guests[domid].destroy_pool(slot)
        self.pools.pop((domid, slot), None)
        self.last = {key: value for key, value in self.last.items() if key[:2] != (domid, slot)}
        self.kept = {key for key in self.kept if key[:2] != (domid, slot)}

    @rule(domid=st.sampled_from([1, 2]))
    def reboot(self, domid: int) -> None:
        # A client that took over a shared pool with all pages of its former owner must not die before that one:
        # in C that corrupts the lists.
        if any(pool is not None for pool in self.hv.tmem.shared_pools):
            return
        assert self.hv.destroy_domain(domid) == 0
        self.forget(domid)
        self.start(domid)

    @rule(domid=st.sampled_from([1, 2]), frozen=st.booleans())
    def freeze(self, domid: int, frozen: bool) -> None:
        if any(client.cli_id == domid for client in self.hv.tmem.clients):
            self.hv.set_frozen(domid, frozen)

    @rule(domid=st.sampled_from([1, 2]), weight=st.sampled_from([0, 1, 100]))
    def weigh(self, domid: int, weight: int) -> None:
        if any(client.cli_id == domid for client in self.hv.tmem.clients):
            self.hv.set_weight(domid, weight)

    @rule(count=st.integers(1, 60), order=st.sampled_from([0, 0, 1, 9]))
    def host_allocates(self, count: int, order: int) -> None:
        self.hv.alloc_host_pages(count, order)

    @rule(count=st.integers(1, 60))
    def host_frees(self, count: int) -> None:
        self.hv.free_host_pages(count)

    @rule(domid=st.sampled_from([1, 2]), limit=st.sampled_from([10, 12, 40]))
    def set_limit(self, domid: int, limit: int) -> None:
        self.hv.set_max_pages(domid, limit)

    @invariant()
    def counters_tell_the_truth(self) -> None:
        self.hv.check()


TestUnderPressure = UnderPressure.TestCase
TestUnderPressure.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.long
@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_a_million_operations_under_pressure(release: str) -> None:
    """Random operations with a recount after every thousand; both releases together two million."""
    from tests.hypervisor_model.tmem.soak import soak

    soak(release, operations=1_000_000, check_every=1000)


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_twenty_thousand_operations_under_pressure(release: str) -> None:
    from tests.hypervisor_model.tmem.soak import soak

    soak(release, operations=20_000, check_every=1000)

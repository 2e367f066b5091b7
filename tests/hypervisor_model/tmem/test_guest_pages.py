# SPDX-License-Identifier: GPL-2.0-only
"""The written-out cases of put, get and flush do what `ops` does, and a batch what its operations would one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from random import Random

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.xen import EEMPTY, ENODEV, ENOMEM
from hypervisor_model.tmem import ops
from hypervisor_model.tmem.control import client_named
from hypervisor_model.tmem.guest_ops import Guest
from hypervisor_model.tmem.obj import Oid
from hypervisor_model.tmem.page import Pgp
from hypervisor_model.tmem.pool import Pool
from tests.hypervisor_model.tmem.machine import Machine, both_releases, both_ways, page
from tests.strategies import PAGES


class GeneralGuest(Guest):
    """Puts, gets and flushes by way of `ops` alone."""

    __slots__ = ()

    def _general(self, pool_id: int) -> Pool | None:
        pool = self._enter(pool_id)
        return None if isinstance(pool, int) else pool

    def put(self, pool_id: int, oid: Oid, index: int, page: bytes | bytearray | memoryview | None) -> int:
        pool = self._general(pool_id)
        if pool is None:
            return -ENODEV
        if self._tmem.heap.avail < self._tmem.scarce_below and not self._make_room():
            return self._fail(-ENOMEM)
        return self._leave(ops.put(self._tmem, pool, oid, index, None if page is None else bytes(page)))

    def get(self, pool_id: int, oid: Oid, index: int) -> tuple[int, bytes | None]:
        return self.get_to(pool_id, oid, index, True)

    def flush_page(self, pool_id: int, oid: Oid, index: int) -> int:
        pool = self._general(pool_id)
        if pool is None:
            return -ENODEV
        return self._leave(ops.flush_page(self._tmem, pool, oid, index))


def walk(hypervisor: Hypervisor) -> Iterator[tuple[object, ...]]:
    """The pages on the global list and on the clients' lists, in their order."""
    tmem = hypervisor.tmem

    def key(pgp: Pgp) -> tuple[object, ...]:
        pool = pgp.obj.pool
        return pool.client.cli_id, pool.pool_id, pgp.obj.oid, pgp.index, pgp.data, tmem.exact and pgp.units

    pgp = tmem.ephemeral_head
    while (pgp := pgp.global_next) is not tmem.ephemeral_head:
        yield key(pgp)
    for client in tmem.clients:
        pgp = client.ephemeral_head
        while (pgp := pgp.list_next) is not client.ephemeral_head:
            yield client.cli_id, *key(pgp)


class TwoWays:
    """One host whose guests use the calls, one where everything goes through `ops`; 1 MiB and a bit to put into."""

    def __init__(self, release: str, options: str, *, frames: int, exact: bool, quirks: str) -> None:
        self.hosts = [
            Hypervisor(
                release=release, frames=frames, command_line="tmem=1 " + options, exact=exact, quirks=quirks
            )
            for _ in range(2)
        ]
        self.guests: list[list[Guest]] = [[], []]
        for domid in (1, 2):
            for host, guests in zip(self.hosts, self.guests, strict=True):
                guest = host.create_domain(domid, max_pages=40, tot_pages=10)
                guests.append(guest if host is self.hosts[0] else GeneralGuest(host.tmem, guest.domain))
                assert [guests[-1].new_pool(), guests[-1].new_pool(persistent=domid == 2)] == [0, 1]

    def both(self, which: int, operation: str, *arguments: object) -> None:
        once, general = (getattr(guests[which], operation)(*arguments) for guests in self.guests)
        assert once == general, (operation, arguments)

    def step(self, random: Random) -> None:
        which = random.randrange(2)
        pool_id = random.choice([0, 0, 0, 0, 0, 1, 2])
        oid = random.randrange(3)
        index = random.choice([0, 0, 0, 3, 60, 1 << 20]) + random.randrange(5)
        act = random.random()
        if act < 0.5:
            contents = random.choice(PAGES)
            for at in range(index, index + random.choice([1, 2, 3, 8])):
                frame = random.choice(
                    [contents, bytearray(contents), page(at), None if act < 0.01 else contents]
                )
                self.both(which, "put", pool_id, oid, at, frame)
        elif act < 0.7:
            self.both(which, "get", pool_id, oid, index)
        elif act < 0.9:
            self.both(which, "flush_page", pool_id, oid, index)
        elif act < 0.95:
            self.both(which, "flush_object", pool_id, oid)
        elif act < 0.96:
            self.both(which, "destroy_pool", 0)
            self.both(which, "new_pool")
        else:
            for host in self.hosts:
                client = client_named(host.tmem, which + 1)
                assert client is not None
                if act < 0.975:
                    client.frozen = act < 0.9625
                elif act < 0.985:
                    client.compress = act < 0.9775
                else:
                    host.set_weight(which + 1, int(act * 1e6) % 4)

    def compare(self) -> None:
        once, general = self.hosts
        assert once.list_text(use_long=True) == general.list_text(use_long=True)
        assert list(walk(once)) == list(walk(general))
        assert once.tmem.mempool.used_units == general.tmem.mempool.used_units
        assert once.tmem.heap.avail == general.tmem.heap.avail
        once.check()


@both_releases
@both_ways
@pytest.mark.parametrize("options", ["", "tmem_compress", "tmem_dedup", "tmem_dedup tmem_tze"])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("frames", [12, 300, 4096])
def test_the_commonest_cases_are_the_general_ones(
    release: str, quirks: str, options: str, exact: bool, frames: int
) -> None:
    hosts = TwoWays(release, options, frames=frames, exact=exact, quirks=quirks)
    random = Random(frames)
    for number in range(300):
        hosts.step(random)
        if number % 10 == 0:
            hosts.compare()
    hosts.compare()


@both_releases
@both_ways
@pytest.mark.parametrize("options", ["", "tmem_dedup"])
@pytest.mark.parametrize("weights", [True, False])
def test_an_object_that_fills_the_host_is_not_evicted_for_its_own_next_page(
    release: str, quirks: str, options: str, weights: bool
) -> None:
    # Below 1 MiB memory is short, but what is below the reserve for larger allocations passes for plenty: there it is
    # the put itself that evicts, for its data or, now and then, for its descriptor or its content's.
    for stored in range(100, 145):
        hosts = TwoWays(release, options, frames=600, exact=True, quirks=quirks)
        hosts.both(1, "put", 0, 2, 0, bytes(4096))
        for number in range(stored):
            hosts.both(0, "put", 0, 1, number, number.to_bytes(4, "little") * 1024)
        for host in hosts.hosts:
            host.tmem.heap.avail = 3  # others have the rest
            host.tmem.heap.data_limit += stored % 2  # a page on tmem's own list
            if weights:
                host.set_weight(1, 1)
                host.set_weight(2, 2)
        for number in range(stored, stored + 3):
            hosts.both(0, "put", 0, 1, number, number.to_bytes(4, "little") * 1024)
        hosts.compare()


@pytest.mark.parametrize("operation", ["get", "flush_page"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_tree_loses_its_nodes_with_its_items_in_any_order(operation: str, exact: bool) -> None:
    indexes = (0, 1, 63, 64)
    for count in range(1, 5):
        for chosen in combinations(indexes, count):
            hosts = TwoWays("4.12", "", frames=4096, exact=exact, quirks="xen")
            for order in permutations(chosen):
                for index in chosen:
                    hosts.both(0, "put", 0, 1, index, page(index))
                for index in order:
                    hosts.both(0, operation, 0, 1, index)
                    hosts.compare()


@both_releases
def test_a_batch_answers_and_counts_as_its_operations_do_one_by_one(release: str) -> None:
    one_by_one, batch = Machine(release, frames=300), Machine(release, frames=300)
    keys = [(number * 7 % 5, number * 11 % 90) for number in range(400)]
    puts = [(oid, index, page(index) if index % 3 else bytearray(page(index))) for oid, index in keys]
    first = one_by_one.guest()
    first.new_pool()
    second = batch.guest()
    second.new_pool()
    assert second.put_many(0, puts) == [first.put(0, *each) for each in puts]
    found = second.get_many(0, keys)
    assert found == [first.get(0, *key) for key in keys]
    assert {rc for rc, _ in found} == {1, 0, -EEMPTY}
    assert second.get_many(3, keys[:2]) == [first.get(3, *key) for key in keys[:2]] == [(-ENODEV, None)] * 2
    assert one_by_one.hv.list_text(use_long=True) == batch.hv.list_text(use_long=True)


@both_releases
def test_a_batch_ends_with_the_page_that_no_struct_could_carry(release: str) -> None:
    machine = Machine(release)
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 2, 0, page(9))
    with pytest.raises(ValueError, match="4096 bytes, not 5"):
        guest.put_many(0, [(1, 0, page(0)), (1, 1, b"short"), (1, 2, page(2))])
    assert guest.get_many(0, [(1, 0), (1, 1), (1, 2)]) == [(1, page(0)), (0, None), (0, None)]


def test_a_batch_takes_any_iterable() -> None:
    guest = Machine().guest()
    guest.new_pool(persistent=True)
    assert guest.put_many(0, ((1, index, page(index)) for index in range(3))) == [1, 1, 1]
    assert guest.get_many(0, ((1, index) for index in (2, 0))) == [(1, page(2)), (1, page(0))]
    assert guest.put_many(0, []) == []

# SPDX-License-Identifier: GPL-2.0-only
"""Two backends asked the same things in any order answer the same: Xen's releases differ in spelling, not in this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.hosts import host
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import ClientInfo, PoolInfo, SavedPage
from xm_tmem.errors import TmemError
from xm_tmem.ids import DomainId, PoolId, SharedUuid

DOMAINS = tuple(DomainId(number) for number in (0, 1, 77))
domains = st.sampled_from(DOMAINS)
clients_or_all = st.sampled_from((*DOMAINS, None))
pools = st.sampled_from([PoolId(number) for number in (0, 1, 2, 15)])
uuids = st.sampled_from([SharedUuid(1, 2), SharedUuid(3, 0)])
indexes = st.sampled_from((0, 1, 63, 64))
MACHINE = settings(max_examples=30, stateful_step_count=25, deadline=None)


class Agreement(RuleBasedStateMachine):
    """Left out: what the releases do differently (caps, switching authorisation for all, pages not compressed)."""

    HOSTS: ClassVar[Sequence[str]]

    @initialize()
    def boot(self) -> None:
        self.stack = ExitStack()
        self.backends = [self.stack.enter_context(host(name)) for name in self.HOSTS]
        self.saving: DomainId | None = None
        self.clients = {DomainId(1)}

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def both(self, act: Callable[[HypercallBackend], object]) -> object:
        """What `act` gives on both: a value, or the class of an error."""
        outcomes = [self.outcome(backend, act) for backend in self.backends]
        assert outcomes[0] == outcomes[1], outcomes
        return outcomes[0]

    @staticmethod
    def outcome(backend: HypercallBackend, act: Callable[[HypercallBackend], object]) -> object:
        try:
            return act(backend)
        except TmemError as error:
            return type(error)

    @rule(domain=domains)
    def restore_begin(self, domain: DomainId) -> None:
        if self.both(lambda backend: backend.restore_begin(domain)) is None:
            self.clients.add(domain)

    @rule(domain=domains, pool=pools, persistent=st.booleans(), uuid=st.none() | uuids)
    def restore_pool(self, domain: DomainId, pool: PoolId, persistent: bool, uuid: SharedUuid | None) -> None:
        if domain not in self.clients:  # from 4.9 on, to make a pool makes the client
            return
        shared = uuid is not None and not persistent
        if shared and uuid is not None:  # closed unless authorised from 4.9 on, open before
            self.both(lambda backend: backend.shared_auth(domain, uuid, allow=True))
        made = PoolInfo(
            pool, persistent, shared, 0, uuid if shared and uuid is not None else SharedUuid(0, 0)
        )
        self.both(lambda backend: backend.restore_pool(domain, made))

    @precondition(lambda self: self.saving is None)
    @rule(
        domain=domains,
        pool=pools,
        oid=st.sampled_from((1, 1 << 191)),
        index=indexes,
        byte=st.integers(0, 255),
    )
    def restore_page(self, domain: DomainId, pool: PoolId, oid: int, index: int, byte: int) -> None:
        page = SavedPage(pool, oid, index, bytes([byte]) * 4096)
        self.both(lambda backend: backend.restore_page(domain, page))

    @rule(client=clients_or_all)
    def freeze(self, client: DomainId | None) -> None:
        self.both(lambda backend: backend.freeze(client))

    @rule(client=clients_or_all)
    def thaw(self, client: DomainId | None) -> None:
        self.both(lambda backend: backend.thaw(client))

    @rule(domain=domains, weight=st.integers(0, 1000))
    def set_weight(self, domain: DomainId, weight: int) -> None:
        self.both(lambda backend: backend.set_weight(domain, weight))

    @rule(size_kb=st.integers(0, 64))
    def flush(self, size_kb: int) -> None:
        self.both(lambda backend: backend.flush(size_kb))

    @precondition(lambda self: self.saving is None)
    @rule(domain=domains)
    def save_begin(self, domain: DomainId) -> None:
        if self.both(lambda backend: backend.save_begin(domain, live=False)) is None:
            self.saving = domain

    @precondition(lambda self: self.saving is not None)
    @rule(pool=pools)
    def save_pages(self, pool: PoolId) -> None:
        assert self.saving is not None
        domain = self.saving
        self.both(lambda backend: list(backend.save_pages(domain, pool)))

    @precondition(lambda self: self.saving is not None)
    @rule()
    def save_end(self) -> None:
        assert self.saving is not None
        domain = self.saving
        self.both(lambda backend: backend.save_end(domain))
        self.saving = None

    @invariant()
    def what_is_there_agrees(self) -> None:
        for domain in DOMAINS:
            self.both(lambda backend, domain=domain: self.settings_of(backend, domain))  # type: ignore[misc]
            self.both(lambda backend, domain=domain: backend.pools(domain))  # type: ignore[misc]
        self.both(lambda backend: backend.freeable_mb())

    @staticmethod
    def settings_of(backend: HypercallBackend, domain: DomainId) -> ClientInfo:
        return backend.client_info(domain)._replace(cap=None, migrating=False)


class AcrossReleases(Agreement):
    """The last release with all of tmem against the last one with any."""

    HOSTS = ("inprocess-4.3", "inprocess-4.12")


class AcrossAbis(Agreement):
    """The first ABI against the second."""

    HOSTS = ("xen-4.0", "xen-4.7")


TestAcrossReleases = AcrossReleases.TestCase
TestAcrossReleases.settings = MACHINE
TestAcrossAbis = AcrossAbis.TestCase
TestAcrossAbis.settings = MACHINE

# SPDX-License-Identifier: GPL-2.0-only
"""What every Backend does, whatever is behind it: one class, run on each host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.contract.hosts import host, host_names
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import (
    Capability,
    ClientInfo,
    Invalidation,
    PoolInfo,
    SavedPage,
    TmemState,
    require,
)
from xm_tmem.errors import BadInput, Failed, NoClient, NoSuchDomain, NoSuchPool, TmemError, Unsupported
from xm_tmem.ids import DomainId, PoolId, SharedUuid

DOM0, WEB, NOBODY = DomainId(0), DomainId(1), DomainId(77)
EPHEMERAL, PERSISTENT, SHARED = PoolId(0), PoolId(1), PoolId(2)
UUID = SharedUuid(0x1122334455667788, 0x99AABBCCDDEEFF00)
OID = 1 | 2 << 64 | 3 << 128


@pytest.fixture(params=host_names())
def backend(request: pytest.FixtureRequest) -> Iterator[HypercallBackend]:
    with host(request.param) as made:
        yield made


def page_of(pool: PoolId, index: int) -> SavedPage:
    """A page that compresses."""
    return SavedPage(pool, OID, index, bytes([(index + 1) % 256]) * 4096)


def fill(backend: HypercallBackend, count: int = 4) -> None:
    for pool in (EPHEMERAL, PERSISTENT):
        for index in range(count):
            backend.restore_page(WEB, page_of(pool, index))


def on_one_domain(backend: HypercallBackend, domain: DomainId) -> dict[str, Callable[[], object]]:
    """Every verb that takes a domain which must be a client."""
    return {
        "list": lambda: backend.list_text(domain, use_long=True),
        "client_info": lambda: backend.client_info(domain),
        "pools": lambda: backend.pools(domain),
        "freeze": lambda: backend.freeze(domain),
        "thaw": lambda: backend.thaw(domain),
        "destroy": lambda: backend.destroy(domain),
        "set_weight": lambda: backend.set_weight(domain, 5),
        "set_compress": lambda: backend.set_compress(domain, True),
        "save_begin": lambda: backend.save_begin(domain, live=False),
        "save_pages": lambda: list(backend.save_pages(domain, PERSISTENT)),
        "save_end": lambda: backend.save_end(domain),
        "restore_page": lambda: backend.restore_page(domain, page_of(PERSISTENT, 0)),
    }


def freeable_pages_listed(backend: HypercallBackend) -> int:
    """Idle frames and ephemeral pages, as the listing has them."""
    client = re.search(rb"^C=CI:1,.*,Ec:(\d+)", backend.list_text(WEB, use_long=True))
    idle = re.search(rb"^G=.*,Ta:(\d+)", backend.list_text(None, use_long=False))  # 4.5 cannot say
    assert client is not None
    return int(client[1]) + (int(idle[1]) if idle else 0)


class TestContract:
    def test_a_host_says_what_it_is(self, backend: HypercallBackend) -> None:
        info = backend.host()
        assert info.tmem is TmemState.ON
        assert info.xen_version.startswith(info.release)
        assert info.options == {"tmem": "1", "tmem_compress": "1"}
        assert info.abi in ("tmemc", "sysctl", "client_info")

    def test_its_domains_are_those_of_the_hypervisor(self, backend: HypercallBackend) -> None:
        domains = backend.domains()
        assert [domain.domain_id for domain in domains] == [DOM0, WEB]
        assert domains[0].name == "Domain-0"
        assert domains[1].vcpus == 1
        assert domains[1].state == "r-----"
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", domains[1].uuid or "")

    @pytest.mark.parametrize("verb", on_one_domain(None, NOBODY))  # type: ignore[arg-type]
    def test_no_such_domain_is_told_from_no_client(self, backend: HypercallBackend, verb: str) -> None:
        before = backend.client_info(WEB)
        with pytest.raises(NoSuchDomain) as nobody:
            on_one_domain(backend, NOBODY)[verb]()
        assert type(nobody.value) is NoSuchDomain
        with pytest.raises(NoClient):
            on_one_domain(backend, DOM0)[verb]()
        assert backend.client_info(WEB) == before

    def test_the_listing_of_all_holds_that_of_each(self, backend: HypercallBackend) -> None:
        fill(backend)
        for use_long in (False, True):
            whole = backend.list_text(None, use_long=use_long)
            own = backend.list_text(WEB, use_long=use_long)
            assert own.startswith(b"C=CI:1,")
            assert own.count(b"P=CI:1,") == 2
            assert own in whole
            assert whole.endswith(b"\n")
            assert whole.startswith(b"G=") or backend.host().release == "4.5"

    def test_freeze_and_thaw_of_one(self, backend: HypercallBackend) -> None:
        backend.freeze(WEB)
        assert backend.client_info(WEB).frozen
        assert b",fr:1," in backend.list_text(WEB, use_long=False)
        backend.thaw(WEB)
        assert not backend.client_info(WEB).frozen

    def test_freeze_and_thaw_of_all(self, backend: HypercallBackend) -> None:
        backend.freeze(None)
        assert backend.client_info(WEB).frozen
        backend.thaw(None)
        assert not backend.client_info(WEB).frozen

    def test_destroy_only_thaws(self, backend: HypercallBackend) -> None:
        fill(backend)
        backend.freeze(WEB)
        backend.destroy(WEB)
        assert not backend.client_info(WEB).frozen
        assert [pool.n_pages for pool in backend.pools(WEB)] == [4, 4]

    def test_a_frozen_client_refuses_a_new_page(self, backend: HypercallBackend) -> None:
        backend.freeze(WEB)
        with pytest.raises(Failed, match="frozen"):
            backend.restore_page(WEB, page_of(PERSISTENT, 9))

    def test_one_setting_leaves_the_others_alone(self, backend: HypercallBackend) -> None:
        before = backend.client_info(WEB)
        assert before.compress
        backend.freeze(WEB)
        backend.set_weight(WEB, 300)
        assert backend.client_info(WEB) == before._replace(weight=300, frozen=True)
        backend.set_compress(WEB, False)
        assert backend.client_info(WEB) == before._replace(weight=300, compress=False, frozen=True)
        backend.set_compress(WEB, True)
        assert backend.client_info(WEB) == before._replace(weight=300, frozen=True)

    def test_a_cap_where_there_are_caps(self, backend: HypercallBackend) -> None:
        if Capability.SET_CAP in backend.capabilities:
            backend.set_cap(WEB, 1000)
            assert backend.client_info(WEB).cap == 1000
        else:
            assert backend.client_info(WEB).cap is None
            with pytest.raises(Unsupported, match=r"4\.8"):
                require(backend, Capability.SET_CAP)
            with pytest.raises(Unsupported, match=r"4\.8"):
                backend.set_cap(WEB, 1000)

    @pytest.mark.parametrize("number", [-1, 1 << 31, 1 << 40])
    def test_absurd_numbers_are_refused_and_change_nothing(
        self, backend: HypercallBackend, number: int
    ) -> None:
        before = backend.client_info(WEB)
        for act in (backend.set_weight, backend.set_cap):
            with pytest.raises((BadInput, Unsupported)):
                act(WEB, number)
        with pytest.raises(BadInput):
            backend.flush(-1 if number < 0 else number << 1)
        assert backend.client_info(WEB) == before

    def test_pools_are_told_with_their_own_ids(self, backend: HypercallBackend) -> None:
        fill(backend)
        backend.shared_auth(WEB, UUID, allow=True)
        backend.restore_pool(WEB, PoolInfo(PoolId(7), False, True, 0, UUID))
        nothing = SharedUuid(0, 0)
        assert backend.pools(WEB) == [
            PoolInfo(EPHEMERAL, False, False, 4, nothing),
            PoolInfo(PERSISTENT, True, False, 4, nothing),
            PoolInfo(PoolId(7), False, True, 0, UUID),
        ]

    def test_a_sharer_that_is_not_the_owner_has_its_own_id(self, backend: HypercallBackend) -> None:
        """Its line in the listing shows the owner's."""
        backend.restore_begin(DOM0)
        for domain, pool in ((WEB, PoolId(5)), (DOM0, PoolId(3))):
            backend.shared_auth(domain, UUID, allow=True)
            backend.restore_pool(domain, PoolInfo(pool, False, True, 0, UUID))
        assert b"PI:5" in backend.list_text(DOM0, use_long=False)
        assert backend.pools(DOM0) == [PoolInfo(PoolId(3), False, True, 0, UUID)]

    def test_a_pool_id_cannot_be_taken_twice(self, backend: HypercallBackend) -> None:
        with pytest.raises(Failed):
            backend.restore_pool(WEB, PoolInfo(PERSISTENT, True, False, 0, SharedUuid(0, 0)))
        assert len(backend.pools(WEB)) == 2

    def test_no_such_pool(self, backend: HypercallBackend) -> None:
        with pytest.raises(NoSuchPool):
            backend.restore_page(WEB, page_of(PoolId(9), 0))
        for pool in (PoolId(9), EPHEMERAL):
            with pytest.raises(NoSuchPool):
                list(backend.save_pages(WEB, pool))

    def test_flush_frees_ephemeral_pages_and_no_others(self, backend: HypercallBackend) -> None:
        fill(backend, 64)
        freed_kb = backend.flush(1024)
        assert freed_kb > 0
        left = {pool.pool_id: pool.n_pages for pool in backend.pools(WEB)}
        assert left == {EPHEMERAL: 0, PERSISTENT: 64}

    def test_freeable_agrees_with_the_listing(self, backend: HypercallBackend) -> None:
        """Whole frames: a compressed page, which shares one, is in the listing's count and not in this."""
        fill(backend, 300)
        assert backend.freeable_mb() <= freeable_pages_listed(backend) // 256 == 1
        backend.set_compress(WEB, False)
        try:
            for index in range(300, 600):
                backend.restore_page(WEB, page_of(EPHEMERAL, index))
        except Failed:
            assert backend.host().abi == "client_info"  # which cannot take such pages back
        else:
            assert backend.freeable_mb() == 1

    def test_shared_authorisation(self, backend: HypercallBackend) -> None:
        backend.shared_auth(WEB, UUID, allow=True)
        backend.shared_auth(WEB, UUID, allow=False)
        with pytest.raises(NoSuchDomain):
            backend.shared_auth(NOBODY, UUID, allow=True)
        if Capability.SHARED_AUTH_ALL in backend.capabilities:
            backend.shared_auth(None, UUID, allow=True)
        else:
            with pytest.raises(Unsupported, match=r"4\.9"):
                backend.shared_auth(None, UUID, allow=True)

    def test_the_seventeenth_authorisation_does_not_fit(self, backend: HypercallBackend) -> None:
        for number in range(16):
            backend.shared_auth(WEB, SharedUuid(number + 1, 0), allow=True)
        with pytest.raises(Failed, match="full"):
            backend.shared_auth(WEB, SharedUuid(99, 0), allow=True)

    def test_saved_pages_are_those_restored_but_the_first(self, backend: HypercallBackend) -> None:
        fill(backend)
        backend.save_begin(WEB, live=False)
        assert backend.client_info(WEB).frozen
        pages = list(backend.save_pages(WEB, PERSISTENT))
        backend.save_end(WEB)
        assert pages == [page_of(PERSISTENT, index) for index in (1, 2, 3)]
        assert not backend.client_info(WEB).frozen

    def test_a_single_page_is_saved_in_spite_of_a_false_start(self, backend: HypercallBackend) -> None:
        backend.restore_page(WEB, page_of(PERSISTENT, 0))
        backend.save_begin(WEB, live=False)
        assert list(backend.save_pages(WEB, PERSISTENT)) == [page_of(PERSISTENT, 0)]
        backend.save_end(WEB)

    def test_a_live_save_reports_what_is_flushed_meanwhile(self, backend: HypercallBackend) -> None:
        fill(backend)
        backend.save_begin(WEB, live=True)
        assert len(list(backend.save_pages(WEB, PERSISTENT))) == 3
        assert not list(backend.save_invalidations(WEB))
        flushed = Invalidation(PERSISTENT, OID, 1)
        with pytest.raises(Failed, match="frozen"):  # it says so, and does it
            backend.restore_invalidation(WEB, flushed)
        assert list(backend.save_invalidations(WEB)) == [flushed]
        backend.save_end(WEB)
        assert [pool.n_pages for pool in backend.pools(WEB)] == [4, 3]

    def test_a_client_without_pools_has_nothing_to_save(self, backend: HypercallBackend) -> None:
        backend.restore_begin(DOM0)
        with pytest.raises(NoSuchPool, match="nothing to save"):
            backend.save_begin(DOM0, live=False)
        assert not backend.client_info(DOM0).frozen

    def test_a_domain_is_restored_once(self, backend: HypercallBackend) -> None:
        backend.restore_begin(DOM0)
        assert backend.client_info(DOM0) == ClientInfo(
            weight=0, compress=True, frozen=False, cap=backend.client_info(WEB).cap, nr_pools=0
        )
        with pytest.raises(Failed, match="already"):
            backend.restore_begin(DOM0)
        with pytest.raises(TmemError):
            backend.restore_begin(NOBODY)

    def test_a_restored_page_comes_back_as_it_was(self, backend: HypercallBackend) -> None:
        backend.restore_begin(DOM0)
        backend.restore_pool(DOM0, PoolInfo(PoolId(4), True, False, 0, SharedUuid(0, 0)))
        pages = [
            SavedPage(PoolId(4), (1 << 192) - 1 - n, 0xFFFFFFFF - n, bytes([n]) * 4096) for n in range(3)
        ]
        for page in pages:
            backend.restore_page(DOM0, page)
        backend.save_begin(DOM0, live=False)
        assert list(backend.save_pages(DOM0, PoolId(4))) == pages[1:]
        backend.save_end(DOM0)

    def test_a_page_of_another_size_is_refused(self, backend: HypercallBackend) -> None:
        with pytest.raises(BadInput):
            backend.restore_page(WEB, SavedPage(PERSISTENT, 1, 1, b"short"))

    def test_closing_twice_is_harmless(self, backend: HypercallBackend) -> None:
        backend.close()
        backend.close()

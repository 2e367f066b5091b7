# SPDX-License-Identifier: GPL-2.0-only
"""What a restore refuses, notices and takes back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hypervisor_model.tmem.guest_ops import Guest
from tests.xm_tmem.operations.models import DOMAIN, Host
from tests.xm_tmem.streams.samples import END, head_a, page_of, page_record, pool_a, saved_client, write_all
from xm_tmem.backends.interface import ClientInfo, HostInfo, Invalidation, PoolInfo, SavedPage, TmemState
from xm_tmem.errors import BadInput, Failed, NoSuchDomain, TmemError, Unsupported
from xm_tmem.ids import DomainId, PoolId, SharedUuid
from xm_tmem.operations.handles import HandleLog, packed
from xm_tmem.operations.restoring import RestoreOptions
from xm_tmem.operations.save_defects import defects_of
from xm_tmem.streams.items import End, Head, Item, StreamFormat

INTO_EXISTING = RestoreOptions(into_existing=True)


def raw_of(*items: Item, weight: int = 0) -> bytes:
    head = Head(StreamFormat.CONTAINER, ClientInfo(weight, True, False))
    return write_all(
        [head, *items, End(sum(isinstance(item, SavedPage) for item in items))], StreamFormat.CONTAINER
    )


def test_an_existing_client_is_taken_only_where_nothing_is_in_the_way() -> None:
    source, target = Host(), Host("4.12")
    contents = source.fill(3, 2)
    raw = source.save()
    assert target.guest.new_pool(persistent=True) == 0
    assert target.guest.put(0, 5, 5, bytes(4096)) == 1
    with pytest.raises(Failed, match="has 1 pages in pool 0 already"):
        target.restore(raw, INTO_EXISTING)
    target.guest.flush_page(0, 5, 5)
    target.hv.set_frozen(1, True)
    assert target.restore(raw, INTO_EXISTING).pages == 5
    assert target.found(contents) == contents
    assert not target.frozen()  # as the source was


@pytest.mark.parametrize(
    ("pool", "what"),
    [
        (PoolInfo(PoolId(0), False, False, 0, SharedUuid(0, 0)), "of another kind"),
        (PoolInfo(PoolId(1), False, True, 0, SharedUuid(8, 8)), "shares another pool"),
    ],
)
def test_pools_of_another_kind_are_in_the_way(pool: PoolInfo, what: str) -> None:
    target = Host("4.3")
    target.guest.new_pool(persistent=True)
    target.guest.new_pool(shared=True, uuid=(1, 1))
    with pytest.raises(Failed, match=what):
        target.restore(raw_of(pool), INTO_EXISTING)


def test_what_no_xen_can_hold_is_refused_before_anything_changes() -> None:
    target = Host()
    both = PoolInfo(PoolId(0), True, True, 0, SharedUuid(1, 1))
    with pytest.raises(Unsupported, match="shared and persistent"):
        target.restore(raw_of(both))
    with pytest.raises(BadInput, match="weight 4294967295"):
        target.restore(raw_of(weight=0xFFFFFFFF))
    target.hv.destroy_domain(1)
    with pytest.raises(NoSuchDomain, match="has no domain 1 to restore into"):
        target.restore(raw_of())
    assert "CI:" not in target.hv.list_text()


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_a_handle_that_comes_twice_is_noticed_and_undone(release: str) -> None:
    page = page_record(1, 1, page_of("once"))
    target = Host(release)
    with pytest.raises(Failed, match=r"pool 0 has 1 pages instead of 2\. Every page was taken back"):
        target.restore(head_a() + pool_a(0, 2) + page + page + END)
    assert target.count() == 0


def test_a_guest_that_flushes_during_a_restore_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Host()
    real = target.backend.restore_pages

    def put_and_flush(client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        errors = real(client, pages)
        guest: Guest = target.guest
        for page in pages:
            guest.flush_page(page.pool_id, page.oid, page.index)
        return errors

    monkeypatch.setattr(target.backend, "restore_pages", put_and_flush)
    with pytest.raises(Failed, match="0 pages instead of 3"):
        target.restore(write_all(saved_client(3), StreamFormat.A))


def test_an_interrupt_right_after_a_put_is_undone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Host()
    real = target.backend.restore_pages

    def put_and_die(client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        real(client, pages)
        raise KeyboardInterrupt

    monkeypatch.setattr(target.backend, "restore_pages", put_and_die)
    with pytest.raises(KeyboardInterrupt):
        target.restore(write_all(saved_client(3), StreamFormat.A))
    assert target.count() == 0


def test_the_settings_of_an_existing_client_come_back_with_an_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Host("4.3", compress=False)
    target.guest.new_pool()
    target.backend.set_weight(DOMAIN, 9)
    target.hv.set_frozen(1, True)
    before = target.backend.client_info(DOMAIN)

    def refuse(client: DomainId, pages: Sequence[SavedPage]) -> list[TmemError | None]:
        return [Failed("out of memory")] * len(pages)

    monkeypatch.setattr(target.backend, "restore_pages", refuse)
    pool = PoolInfo(PoolId(1), True, False, 1, SharedUuid(0, 0))
    with pytest.raises(Failed, match="out of memory"):
        target.restore(raw_of(pool, SavedPage(PoolId(1), 1, 1, bytes(4096)), weight=5), INTO_EXISTING)
    assert target.backend.client_info(DOMAIN) == before._replace(nr_pools=2)


def test_a_cap_goes_where_there_are_caps() -> None:
    items = list(saved_client(1))
    head = items[0]
    assert isinstance(head, Head)
    raw = write_all([Head(head.format, head.client._replace(cap=50)), *items[1:]], StreamFormat.CONTAINER)
    old, new = Host("4.3"), Host("4.12")
    assert old.restore(raw).notes == ()
    assert old.backend.client_info(DOMAIN).cap == 50
    assert new.restore(raw).notes == ("the cap 50 is dropped: this release has none",)


@pytest.mark.parametrize("memory_bytes", [1 << 20, 100])
def test_a_log_of_handles_counts_each_once_on_disk_too(
    monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    monkeypatch.setattr("xm_tmem.operations.handles.MEMORY_BYTES", memory_bytes)
    handles = [Invalidation(PoolId(n % 2), n << 100, n) for n in range(20)]
    with HandleLog() as log:
        for handle in [*handles, handles[3]]:
            log.add(handle)
        wanted = {packed(handle) for handle in [*handles[:5], Invalidation(PoolId(0), 1, 1)]}
        assert log.count_of_each_pool(wanted) == {0: 3, 1: 2}
        assert [handle for batch in log.batches() for handle in batch] == [*handles, handles[3]]
        log.add(handles[0])
        assert log.count == 22
        assert [handle for batch in log.batches() for handle in batch][-1] == handles[0]


def info(version: str, **details: str) -> HostInfo:
    return HostInfo("x", version, "", "", TmemState.ON, "", details=details)


@pytest.mark.parametrize(
    ("version", "forbidden", "compressed_only"),
    [
        ("4.0.4", True, False),
        ("4.1.3", True, False),
        ("4.1.4", False, False),
        ("4.1.6.1", False, False),
        ("4.2.0", True, False),
        ("4.2", True, False),
        ("4.2.1", False, False),
        ("4.3.4", False, False),
        ("4.4.0", False, True),
        ("4.12.4-pre", False, True),
        ("unreadable", True, False),
    ],
)
def test_defects_by_version(version: str, forbidden: bool, compressed_only: bool) -> None:
    defects = defects_of(info(version))
    assert (defects.forbids is not None, defects.copies_compressed_only) == (forbidden, compressed_only)
    assert defects.skips_first_page
    assert not any(defects_of(info(version, quirks="documented")))


def test_a_release_that_may_crash_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Host("4.3", "xen")
    source.fill(1)
    raw = source.save()
    for host in (source, Host()):
        monkeypatch.setattr(host.backend, "host", lambda: info("4.1.3"))
        with pytest.raises(Unsupported, match="could crash the host"):
            (host.save if host is source else lambda: host.restore(raw))()  # noqa: B023 - called at once

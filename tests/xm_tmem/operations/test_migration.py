# SPDX-License-Identifier: GPL-2.0-only
"""Every persistent page arrives, and only where all can: from file to file and from host to host."""

from __future__ import annotations

import io
import random

import pytest

from tests.xm_tmem.operations.models import DOMAIN, QUIRKS_AND_RELEASES, Contents, Host, throwing
from xm_tmem.errors import BadInput, Failed, NoClient, Unsupported
from xm_tmem.ids import DomainId, SharedUuid
from xm_tmem.operations.migration import Pace, Throttle, migrate, restore, save
from xm_tmem.operations.restoring import RestoreOptions
from xm_tmem.operations.saving import SaveOptions
from xm_tmem.streams.inspection import summarise
from xm_tmem.streams.items import StreamFormat

WAYS = [("4.3", "4.3"), ("4.3", "4.12"), ("4.12", "4.3"), ("4.12", "4.12")]
SIZES: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (3, 0, 17)]
ROUND_TRIPS = [(*way, sizes) for way in WAYS for sizes in SIZES]
LARGE: list[tuple[str, str, tuple[int, ...]]] = [
    ("4.3", "4.3", (10_000,)),
    ("4.3", "4.12", (10_000,)),
    ("4.12", "4.3", (10_000,)),
]


@pytest.mark.parametrize(("start", "goal", "sizes"), ROUND_TRIPS + LARGE, ids=str)
def test_a_file_carries_every_page_and_setting(start: str, goal: str, sizes: tuple[int, ...]) -> None:
    small = sum(sizes) < 1000  # compression is most of what many pages cost
    source, target = Host(start, compress=small), Host(goal, compress=small)
    contents = source.fill(*sizes)
    if not sizes:
        source.guest.destroy_pool(source.guest.new_pool(persistent=True))
    source.backend.set_weight(DOMAIN, 77)
    source.backend.set_compress(DOMAIN, len(sizes) % 2 == 1)
    source.hv.set_frozen(1, len(sizes) == 3)
    before = source.backend.client_info(DOMAIN)
    result = target.restore(source.save())
    assert (result.pools, result.pages, result.notes) == (len(sizes), len(contents), ())
    assert target.found(contents) == contents
    assert target.count() == len(contents)
    assert source.backend.client_info(DOMAIN) == before
    assert target.backend.client_info(DOMAIN)._replace(cap=None) == before._replace(cap=None)
    source.hv.check()
    target.hv.check()


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_with_xens_quirks_pools_of_no_or_one_page_are_saved_whole(release: str) -> None:
    source, target = Host(release, "xen"), Host(release, "xen")
    contents = source.fill(0, 1)
    target.restore(source.save())
    assert target.found(contents) == contents
    assert not source.frozen()


@pytest.mark.parametrize("release", ["4.3", "4.12"])
@pytest.mark.parametrize("pages", [2, 10_000])
def test_with_xens_quirks_a_larger_pool_is_refused_and_its_reason_given(release: str, pages: int) -> None:
    source = Host(release, "xen")
    contents = source.fill(1, pages)
    with pytest.raises(Unsupported, match=r"1 of pool 1 \(Xen skips the first page") as caught:
        source.save()
    assert "pool 0" not in str(caught.value)
    assert not source.frozen()
    # Nothing was changed: the cursor has not moved, so that all that ever can be had still can.
    file = io.BytesIO()
    saved = save(source.backend, DOMAIN, file, options=SaveOptions(partial=True))
    assert (saved.end.pages, saved.end.missing) == (pages, {1: 1})
    target = Host(release)
    with pytest.raises(Failed, match="lacks pages"):
        target.restore(file.getvalue())
    target.restore(file.getvalue(), RestoreOptions(partial=True))
    first = next(handle for handle in contents if handle[0] == 1)
    assert target.found(contents) == {h: page for h, page in contents.items() if h != first}


def test_with_xens_quirks_a_second_save_is_told_from_a_whole_one() -> None:
    source = Host("4.3", "xen")
    source.fill(1)
    source.save()
    with pytest.raises(Failed, match="hands out each page once"):
        source.save()
    assert not source.frozen()


def test_with_xens_quirks_a_still_save_only_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    # SAVE_END reads freed memory if an earlier live save has left invalidations.
    source = Host("4.3", "xen")
    source.fill(1)
    for verb in ("save_begin", "save_end"):
        monkeypatch.setattr(source.backend, verb, throwing(AssertionError(verb)))
    source.save()


def test_a_page_that_comes_before_the_freeze_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Host("4.3", "xen")
    source.fill(1)
    freeze = source.backend.freeze

    def too_late(client: DomainId) -> None:
        assert source.guest.put(0, 99, 0, bytes(4096)) == 1
        freeze(client)

    monkeypatch.setattr(source.backend, "freeze", too_late)
    with pytest.raises(Unsupported, match="skips the first page"):
        source.save()
    assert not source.frozen()


def test_without_quirks_a_second_save_is_the_same() -> None:
    source = Host()
    source.fill(5)
    assert source.save() == source.save()


def test_uncompressed_pages_of_4_12_are_refused_beforehand() -> None:
    source = Host("4.12", "xen", compress=False)
    source.fill(1)
    with pytest.raises(Unsupported, match=r"up to 1 \(Xen does not give pages that it stores uncompressed"):
        source.save()
    saved = save(source.backend, DOMAIN, io.BytesIO(), options=SaveOptions(partial=True))
    assert saved.end.missing == {0: 1}
    assert not source.frozen()


def test_partial_goes_on_behind_a_page_that_4_12_does_not_give() -> None:
    source = Host("4.12", "xen")
    contents = source.fill(3)
    noise = random.Random(1).randbytes(4096)
    assert source.guest.put(0, 99, 0, noise) == 1
    more = {(0, 100, n): bytes([n]) * 4096 for n in range(3)}
    assert [source.guest.put(*handle, page) for handle, page in more.items()] == [1, 1, 1]
    file = io.BytesIO()
    saved = save(source.backend, DOMAIN, file, options=SaveOptions(partial=True))
    assert saved.end.missing == {0: 2}  # the first, and the incompressible one
    file.seek(0)
    summary = summarise(file, "file")
    assert [(page.oid, page.index) for page in summary.lost] == [(99, 0)]
    target = Host()
    target.restore(file.getvalue(), RestoreOptions(partial=True))
    assert target.found(more) == more
    assert len(target.found(contents)) == 2


def test_4_12_takes_pages_of_a_client_without_compression_and_switches_it_off_again() -> None:
    source, target = Host("4.3", compress=False), Host("4.12", "xen", compress=False)
    contents = source.fill(40)
    target.restore(source.save())
    assert target.found(contents) == contents
    assert not target.backend.client_info(DOMAIN).compress


def test_what_4_12_does_not_take_is_undone() -> None:
    source, target = Host("4.3"), Host("4.12", "xen")
    contents = source.fill(20)
    assert source.guest.put(0, 99, 0, random.Random(1).randbytes(4096)) == 1
    raw = source.save()
    with pytest.raises(
        Failed, match=r"not taken.*Every page was taken back; a client with 1 empty pools stays"
    ):
        target.restore(raw)
    assert target.count() == 0
    target.hv.check()
    with pytest.raises(Failed, match="uses tmem already"):
        target.restore(raw)
    result = target.restore(raw, RestoreOptions(into_existing=True, partial=True))
    assert (result.pages, result.refused) == (20, 1)
    assert target.found(contents) == contents


def test_formats_a_and_b_carry_the_pages_too() -> None:
    for fmt in (StreamFormat.A, StreamFormat.B):
        source, target = Host(), Host("4.12")
        contents = source.fill(3, 1)
        file = io.BytesIO()
        save(source.backend, DOMAIN, file, fmt=fmt)
        target.restore(file.getvalue())
        assert target.found(contents) == contents


def test_ephemeral_pages_stay_and_shared_pools_say_when_they_are_not_shared() -> None:
    source, target = Host("4.3"), Host("4.12")
    assert source.guest.new_pool() == 0
    assert source.guest.put(0, 1, 1, bytes(4096)) == 1
    assert source.guest.new_pool(shared=True, uuid=(5, 6)) == 1
    source.fill(2)
    raw = source.save()
    result = target.restore(raw)
    assert target.guest.get(0, 1, 1)[1] is None
    assert [pool.persistent for pool in target.backend.pools(DOMAIN)] == [False, False, True]
    assert [note for note in result.notes if "pool 1 is private now" in note]
    allowed = Host("4.12")
    allowed.backend.shared_auth(DOMAIN, SharedUuid(5, 6), allow=True)
    assert allowed.restore(raw, RestoreOptions(into_existing=True)).notes == ()


def test_a_guest_that_changes_pages_during_a_still_save_is_noticed() -> None:
    source = Host()
    contents = list(source.fill(300).items())

    def change(done: int, total: int) -> None:
        (handle, _) = contents.pop()
        source.guest.flush_page(*handle)

    with pytest.raises(Failed, match="changed its pages while they were read"):
        save(source.backend, DOMAIN, io.BytesIO(), pace=Pace(progress=change))
    assert not source.frozen()


class BusyGuest:
    """A guest that gets, flushes and overwrites its pages, and tries to put new ones."""

    def __init__(self, host: Host, contents: Contents, seed: int) -> None:
        self.host, self.left, self.choose = host, dict(contents), random.Random(seed)
        self.handles = list(contents)
        self.operations = 0

    def run(self, operations: int) -> None:
        guest, choose = self.host.guest, self.choose
        for _ in range(operations):
            handle = choose.choice(self.handles)
            action = choose.random()
            if action < 0.9:
                assert guest.get(*handle)[1] == self.left.get(handle)
            elif action < 0.94:
                guest.flush_page(*handle)
                self.left.pop(handle, None)
            elif action < 0.98:
                # A migrating client's page is dropped rather than replaced, and a new one is not taken.
                assert guest.put(*handle, bytes(4096)) < 0
                self.left.pop(handle, None)
            else:
                assert guest.put(handle[0], 1 << 100, self.operations, bytes(4096)) < 0
        self.operations += operations


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_with_xens_quirks_a_live_copy_lacks_the_first_page_at_most(release: str) -> None:
    source, target = Host(release, "xen"), Host(release)
    busy = BusyGuest(source, source.fill(2000), seed=6)
    first = busy.handles[0]
    options = SaveOptions(live=True, partial=True, risk_host=True, switch=lambda: busy.run(500))
    progress = Pace(progress=lambda done, total: busy.run(100))
    _, end = migrate(source.backend, DOMAIN, target.backend, DOMAIN, options=options, pace=progress)
    assert end.missing == ({0: 1} if first in busy.left else {})
    busy.left.pop(first, None)
    assert target.found(dict.fromkeys(busy.handles, b"")) == busy.left
    assert not source.frozen()


@pytest.mark.parametrize(("start", "goal"), WAYS)
def test_live_migration_with_a_guest_at_work(start: str, goal: str) -> None:
    source, target = Host(start), Host(goal)
    busy = BusyGuest(source, source.fill(3000, 1000), seed=4)
    options = SaveOptions(live=True, switch=lambda: busy.run(60_000))
    progress = Pace(progress=lambda done, total: busy.run(1500))
    result, end = migrate(source.backend, DOMAIN, target.backend, DOMAIN, options=options, pace=progress)
    assert busy.operations > 100_000
    assert result.invalidations > 1000
    assert end.complete
    assert target.found(dict.fromkeys(busy.handles, b"")) == busy.left
    assert target.count() == source.count() == len(busy.left)
    assert not source.frozen()
    assert source.guest.put(0, 1 << 101, 0, bytes(4096)) == 1
    source.hv.check()
    target.hv.check()


def test_a_live_save_keeps_invalidated_pages_out_of_the_restored_client() -> None:
    source, target = Host(), Host("4.12")
    busy = BusyGuest(source, source.fill(500), seed=5)
    raw = source.save(SaveOptions(live=True, switch=lambda: busy.run(5000)))
    target.restore(raw)
    assert target.found(dict.fromkeys(busy.handles, b"")) == busy.left
    assert len(busy.left) < 500


def test_a_live_save_can_crash_a_host_with_xens_quirks_and_is_refused() -> None:
    source = Host("4.3", "xen")
    source.fill(1)
    with pytest.raises(Unsupported, match=r"can crash Xen 4\.3\.4"):
        source.save(SaveOptions(live=True))
    source.save(SaveOptions(live=True, risk_host=True))
    assert not source.frozen()


def test_a_guest_that_never_stops_changing_pages_ends_a_live_save() -> None:
    source = Host()
    handles = list(source.fill(300))

    class Restless(type(source.backend)):  # type: ignore[misc]
        def pools(self, client: DomainId) -> object:
            if len(handles) < 300:
                source.guest.flush_page(*handles.pop())
            return super().pools(client)

    def flush_one() -> None:
        source.guest.flush_page(*handles.pop())

    source.backend.__class__ = Restless
    with pytest.raises(Failed, match="goes on changing pages"):
        source.save(SaveOptions(live=True, switch=flush_one))
    assert not source.frozen()


@pytest.mark.parametrize(("quirks", "release"), QUIRKS_AND_RELEASES)
def test_a_frozen_client_is_saved_and_restored_frozen(quirks: str, release: str) -> None:
    source, target = Host(release, quirks), Host(release, quirks)
    contents = source.fill(1)
    source.hv.set_frozen(1, True)
    target.restore(source.save())
    assert source.frozen()
    assert target.frozen()
    assert target.found(contents) == contents


def test_who_has_no_tmem_has_nothing_to_save() -> None:
    with pytest.raises(NoClient):
        Host().save()


def test_a_broken_file_changes_nothing() -> None:
    source, target = Host(), Host()
    source.fill(300)
    raw = bytearray(source.save())
    raw[len(raw) // 2] ^= 1
    with pytest.raises(BadInput, match="checksum"):
        restore(target.backend, DOMAIN, io.BytesIO(bytes(raw)), "file")
    with pytest.raises(NoClient):
        target.backend.client_info(DOMAIN)


def test_a_throttle_keeps_the_mean_rate() -> None:
    now, slept = 10.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    throttle = Throttle(1000, clock=lambda: now, sleep=sleep)
    for _ in range(50):
        now += 0.05
        throttle.spend(100)
    assert now - 10 == pytest.approx(5, abs=0.2)
    assert min(slept) > 0.01

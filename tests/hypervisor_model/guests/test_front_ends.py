# SPDX-License-Identifier: GPL-2.0-only
"""Cleancache and frontswap call for call, against a back end that logs."""

import pytest

from hypervisor_model.guests.cleancache import (
    MAX_FILE_SYSTEMS,
    NO_POOL,
    Cleancache,
    file_handle_oid,
    uuid_words,
)
from hypervisor_model.guests.frontswap import Frontswap, iswiz, oswiz
from tests.hypervisor_model.guests.standin import StandIn

PAGE, OTHER = b"one", b"two"


def test_a_file_handle_of_six_words_is_an_object_id_and_a_longer_one_is_not_cached() -> None:
    assert file_handle_oid((5,)) == 5
    assert file_handle_oid((1, 2, 3, 4, 5, 6)) == int.from_bytes(
        b"".join(word.to_bytes(4, "little") for word in range(1, 7)), "little"
    )
    assert file_handle_oid((0,) * 7) is None


def test_each_file_system_has_its_pool_and_a_cluster_file_system_a_shared_one() -> None:
    tmem = StandIn(10)
    cleancache = Cleancache(tmem)
    assert (cleancache.init_fs(), cleancache.init_shared_fs((7, 8))) == (0, 1)
    assert tmem.calls == [("new_pool", False, False, (0, 0)), ("new_pool", False, True, (7, 8))]


def test_a_get_takes_the_page_away_and_is_counted() -> None:
    cleancache = Cleancache(StandIn(10))
    mount = cleancache.init_fs()
    assert cleancache.put_page(mount, 3, 4, PAGE)
    assert cleancache.get_page(mount, 3, 4) == PAGE
    assert cleancache.get_page(mount, 3, 4) is None
    assert (cleancache.puts, cleancache.succ_gets, cleancache.failed_gets) == (1, 1, 1)


def test_before_a_back_end_registers_calls_are_counted_and_do_nothing() -> None:
    cleancache = Cleancache()
    mount, shared = cleancache.init_fs(), cleancache.init_shared_fs((1, 2))
    assert not cleancache.put_page(mount, 3, 4, PAGE)
    assert cleancache.get_page(mount, 3, 4) is None
    cleancache.invalidate_page(mount, 3, 4)
    assert (cleancache.puts, cleancache.failed_gets, cleancache.invalidates) == (1, 1, 0)
    assert cleancache.pool_id(mount) == NO_POOL
    tmem = StandIn(10)
    cleancache.register_ops(tmem)
    assert (cleancache.pool_id(mount), cleancache.pool_id(shared)) == (0, 1)
    assert tmem.calls[-1] == ("new_pool", False, True, (1, 2))
    assert cleancache.put_page(mount, 3, 4, PAGE)


def test_the_33rd_file_system_of_a_kind_gets_no_pool() -> None:
    cleancache = Cleancache(StandIn(10))
    mounts = [cleancache.init_fs() for _ in range(MAX_FILE_SYSTEMS + 1)]
    assert cleancache.pool_id(mounts[-2]) == MAX_FILE_SYSTEMS - 1
    assert cleancache.pool_id(mounts[-1]) == NO_POOL
    assert cleancache.pool_id(cleancache.init_shared_fs((1, 1))) == MAX_FILE_SYSTEMS
    cleancache.invalidate_fs(mounts[0])
    assert cleancache.pool_id(cleancache.init_fs()) >= 0


def test_an_offset_beyond_32_bits_is_skipped() -> None:
    tmem = StandIn(10)
    cleancache = Cleancache(tmem)
    mount = cleancache.init_fs()
    assert not cleancache.put_page(mount, 3, 1 << 32, PAGE)
    assert cleancache.get_page(mount, 3, 1 << 32) is None
    cleancache.invalidate_page(mount, 3, 1 << 32)
    assert [call[0] for call in tmem.calls] == ["new_pool"]


def test_flush_rules_of_cleancache() -> None:
    tmem = StandIn(10)
    cleancache = Cleancache(tmem)
    mount = cleancache.init_fs()
    cleancache.invalidate_page(mount, 3, 4)
    cleancache.invalidate_inode(mount, 3)
    cleancache.invalidate_fs(mount)
    cleancache.invalidate_inode(mount, 3)
    assert tmem.calls[1:] == [("flush_page", 0, 3, 4), ("flush_object", 0, 3), ("destroy_pool", 0)]
    assert cleancache.invalidates == 1


def test_a_slot_is_spread_over_sixteen_objects() -> None:
    assert (oswiz(2, 0x1234), iswiz(0x1234)) == (0x24, 0x123)
    tmem = StandIn(0)
    frontswap = Frontswap(tmem)
    assert [frontswap.init(64), frontswap.init(64)] == [0, 1]
    frontswap.store(1, 35, PAGE)
    assert tmem.calls == [("new_pool", True, False, (0, 0)), ("put", 0, 0x13, 2)]


def test_loads_leave_the_page_and_invalidates_take_it() -> None:
    tmem = StandIn(0)
    frontswap = Frontswap(tmem)
    frontswap.init(64)
    assert frontswap.store(0, 5, PAGE)
    assert [frontswap.load(0, 5), frontswap.load(0, 5), frontswap.load(0, 6)] == [PAGE, PAGE, None]
    frontswap.invalidate_page(0, 5)
    frontswap.invalidate_page(0, 5)
    assert (frontswap.loads, frontswap.invalidates, frontswap.curr_pages) == (2, 1, 0)
    assert not tmem.persistent


def test_a_duplicate_store_overwrites_and_a_refused_one_clears_the_slot() -> None:
    tmem = StandIn(0, room=1)
    frontswap = Frontswap(tmem)
    frontswap.init(64)
    assert frontswap.store(0, 5, PAGE)
    assert frontswap.store(0, 5, OTHER)
    assert (frontswap.load(0, 5), frontswap.curr_pages) == (OTHER, 1)
    assert not frontswap.store(0, 6, PAGE)
    tmem.put = lambda *args: -12  # type: ignore[method-assign]
    assert not frontswap.store(0, 5, PAGE)
    assert (frontswap.curr_pages, frontswap.load(0, 5), frontswap.failed_stores) == (0, None, 2)


def test_writethrough_keeps_the_page_and_sends_it_to_the_disk_too() -> None:
    frontswap = Frontswap(StandIn(0), writethrough=True)
    frontswap.init(64)
    assert not frontswap.store(0, 5, PAGE)
    assert (frontswap.load(0, 5), frontswap.succ_stores, frontswap.curr_pages) == (PAGE, 1, 1)


def test_an_exclusive_get_clears_the_bit_and_asks_for_nothing_more() -> None:
    tmem = StandIn(0)
    frontswap = Frontswap(tmem, exclusive_gets=True)
    frontswap.init(64)
    frontswap.store(0, 5, PAGE)
    assert frontswap.load(0, 5) == PAGE
    assert not frontswap.holds(0, 5)
    assert frontswap.load(0, 5) is None
    frontswap.invalidate_page(0, 5)
    assert (frontswap.loads, frontswap.invalidates, frontswap.curr_pages) == (1, 0, 0)
    assert [call[0] for call in tmem.calls] == ["new_pool", "put", "get"]


def test_quirk_frontswap_load_leaves_the_copy_of_an_exclusive_get_to_a_back_end_that_keeps_it() -> None:
    tmem = StandIn(0)
    frontswap = Frontswap(tmem, exclusive_gets=True)
    frontswap.init(64)
    for slot in (5, 6):
        frontswap.store(0, slot, PAGE)
        frontswap.load(0, slot)
    assert (frontswap.curr_pages, len(tmem.persistent)) == (0, 2)
    assert frontswap.store(0, 5, OTHER)
    assert frontswap.load(0, 5) == OTHER
    assert len(tmem.persistent) == 2
    frontswap.invalidate_area(0)
    assert not tmem.persistent


def test_a_lost_persistent_page_is_no_quiet_matter() -> None:
    tmem = StandIn(0)
    frontswap = Frontswap(tmem)
    frontswap.init(64)
    frontswap.store(0, 5, PAGE)
    tmem.persistent.clear()
    with pytest.raises(AssertionError, match="slot 5 lost"):
        frontswap.load(0, 5)


def test_swapoff_flushes_sixteen_objects() -> None:
    tmem = StandIn(0)
    frontswap = Frontswap(tmem)
    frontswap.init(64)
    for slot in range(40):
        frontswap.store(0, slot, PAGE)
    frontswap.invalidate_area(0)
    assert [call[0] for call in tmem.calls].count("flush_object") == 16
    assert (frontswap.curr_pages, len(tmem.persistent)) == (0, 0)


def test_shrink_asks_for_the_surplus_of_the_first_device_with_room() -> None:
    frontswap = Frontswap(StandIn(0))
    for device in range(2):
        frontswap.init(64)
        for slot in range(30):
            frontswap.store(device, slot, PAGE)
    asked: list[tuple[int, int]] = []

    def unuse(device: int, pages: int) -> int:
        asked.append((device, pages))
        return pages

    assert frontswap.shrink(60, unuse) == 0
    assert frontswap.shrink(40, unuse) == 20
    assert frontswap.shrink(40, unuse, may_commit=lambda pages: len(asked) > 1) == 0
    assert frontswap.shrink(0, unuse, last_pages_stay=False) == 30
    assert asked == [(0, 20), (0, 30)]


def test_quirk_frontswap_shrink_never_takes_the_last_pages_of_a_device() -> None:
    frontswap = Frontswap(StandIn(0))
    frontswap.init(64)
    for slot in range(15):
        frontswap.store(0, slot, PAGE)
    assert frontswap.shrink(0, lambda device, pages: pytest.fail("shrinks")) == 0
    assert frontswap.shrink(0, lambda device, pages: pages, last_pages_stay=False) == 15


def test_uuids_are_taken_apart_as_linux_does() -> None:
    assert uuid_words("01020304-0506-0708-090a-0b0c0d0e0f10") == (0x0807060504030201, 0x100F0E0D0C0B0A09)

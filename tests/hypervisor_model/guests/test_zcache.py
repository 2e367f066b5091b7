# SPDX-License-Identifier: GPL-2.0-only
"""Back ends in the guest's own memory: what a stored page costs, and what is refused."""

from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import COMPRESSIBLE, RANDOM, TEXT, Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.kswapd import Kswapd
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.zcache import Zcache
from hypervisor_model.public.xen import ENOMEM


def token(kind: int, number: int = 1) -> bytes:
    return bytes([kind]) + number.to_bytes(8, "big")


def memory_of(pages: int, zcache: Zcache) -> GuestMemory:
    memory = GuestMemory(pages, disk=Disk(), contents=Contents(1))
    zcache.attach(memory)
    return memory


def test_two_pages_share_a_frame_of_the_guest() -> None:
    zcache = Zcache(persistent_percent=20, ephemeral_percent=20)
    memory = memory_of(100, zcache)
    pool = zcache.new_pool(persistent=True)
    frames = []
    for index, kind in enumerate((TEXT, TEXT, COMPRESSIBLE, RANDOM)):
        assert zcache.put(pool, 1, index, token(kind)) == 1
        frames.append(memory.reserved)
    assert frames == [1, 1, 2, 3]
    assert zcache.get(pool, 1, 1) == (1, token(TEXT))
    for index in range(4):
        zcache.flush_page(pool, 1, index)
    assert zcache.frames == memory.reserved == 0


def test_a_full_pool_refuses_swap_pages_and_drops_the_oldest_file_pages() -> None:
    zcache = Zcache(persistent_percent=2, ephemeral_percent=2)
    memory_of(100, zcache)
    swap, files = zcache.new_pool(persistent=True), zcache.new_pool()
    assert [zcache.put(swap, 1, index, token(TEXT)) for index in range(5)] == [1, 1, 1, 1, -ENOMEM]
    assert [zcache.put(files, 1, index, token(TEXT)) for index in range(5)] == [1] * 5
    assert zcache.evicted == 1
    assert zcache.get(files, 1, 0) == (0, None)
    assert zcache.get(files, 1, 4) == (1, token(TEXT))
    assert zcache.get(files, 1, 4) == (0, None)


def test_packed_swap_pages_take_what_they_have_after_compression() -> None:
    zcache = Zcache(persistent_percent=50, ephemeral_percent=0, packed=True)
    memory = memory_of(20, zcache)
    pool = zcache.new_pool(persistent=True)
    frames = []
    for index in range(9):
        assert zcache.put(pool, 1, index, token(COMPRESSIBLE)) == 1  # 1,024 bytes and a header
        frames.append(memory.reserved)
    assert frames == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert zcache.put(pool, 1, 9, token(RANDOM)) == -ENOMEM
    assert zcache.get(pool, 1, 8) == (1, token(COMPRESSIBLE))
    assert zcache.flush_object(pool, 1) == 1
    assert zcache.frames == memory.reserved == 0


def test_packed_swap_pages_are_as_many_as_a_share_of_the_frames() -> None:
    zcache = Zcache(persistent_percent=50, ephemeral_percent=0, packed=True)
    memory_of(10, zcache)
    pool = zcache.new_pool(persistent=True)
    assert [zcache.put(pool, 1, index, token(COMPRESSIBLE)) for index in range(6)] == [1] * 5 + [-ENOMEM]
    assert zcache.put(pool, 1, 4, token(TEXT)) == 1  # instead of what was there
    zcache.flush_page(pool, 1, 0)
    assert zcache.put(pool, 1, 5, token(TEXT)) == 1


def test_what_is_handed_on_is_the_oldest_and_is_had_back_from_the_peer() -> None:
    zcache = Zcache(persistent_percent=4, ephemeral_percent=4, remote_frames=10)
    memory = memory_of(100, zcache)
    swap, files = zcache.new_pool(persistent=True), zcache.new_pool()
    for index in range(4):
        assert zcache.put(swap, 1, index, token(TEXT)) == zcache.put(files, 1, index, token(TEXT)) == 1
    assert memory.reserved == 4
    zcache.remotify(2, 4)
    assert (zcache.remote_puts, memory.reserved) == (6, 1)
    assert zcache.get(swap, 1, 3) == zcache.get(swap, 1, 3) == (1, token(TEXT))
    assert zcache.get(files, 1, 1) == (1, token(TEXT))
    assert zcache.get(files, 1, 1) == (0, None)
    assert zcache.remote_gets == 3
    assert zcache.get(files, 1, 2) == (1, token(TEXT))
    assert zcache.remote_gets == 3


def test_a_peer_takes_no_more_than_it_has_room_for() -> None:
    zcache = Zcache(remote_frames=1)
    memory_of(100, zcache)
    pool = zcache.new_pool(persistent=True)
    for index in range(4):
        zcache.put(pool, 1, index, token(TEXT))
    zcache.remotify(0, 4)
    assert zcache.remote_puts == 2
    zcache.flush_page(pool, 1, 0)  # the peer's
    zcache.remotify(0, 4)
    assert zcache.remote_puts == 3
    assert [zcache.get(pool, 1, index)[0] for index in range(4)] == [0, 1, 1, 1]


def test_reclaim_shrinks_file_pages_twice_as_hard_as_the_guests_own() -> None:
    zcache = Zcache(persistent_percent=50, ephemeral_percent=50)
    memory_of(100, zcache)
    swap, files = zcache.new_pool(persistent=True), zcache.new_pool()
    for index in range(40):
        zcache.put(swap, 1, index, token(TEXT))
        zcache.put(files, 1, index, token(TEXT))
    zcache.shrink(looked=10, resident=100)
    assert zcache.evicted == 8
    assert [zcache.get(files, 1, index)[0] for index in (7, 8)] == [0, 1]
    for _ in range(64):  # parts of a page add up
        zcache.shrink(looked=1, resident=1_000)
    assert zcache.evicted == 11
    assert zcache.get(swap, 1, 0)[0] == 1
    zcache.shrink(looked=1_000, resident=1)
    assert zcache.evicted == 39
    zcache.shrink(looked=1_000, resident=0)


def test_no_put_finds_a_frame_while_memory_is_short() -> None:
    zcache = Zcache(persistent_percent=50, ephemeral_percent=50)
    memory = GuestMemory(100, disk=Disk(), contents=Contents(1), kswapd=Kswapd(min_free=10, queue_pages=32))
    zcache.attach(memory)
    swap = zcache.new_pool(persistent=True)
    memory.reserved = 89
    assert zcache.put(swap, 1, 0, token(TEXT)) == 1
    assert memory.free == 10
    assert zcache.put(swap, 1, 1, token(TEXT)) == -ENOMEM
    assert zcache.put(swap, 1, 0, token(TEXT)) == -ENOMEM  # and what was there is gone
    assert zcache.get(swap, 1, 0) == (0, None)
    assert zcache.failed_allocs == 2


def reading(zcache: Zcache, min_free: int) -> GuestMemory:
    """100 frames that kswapd looks after, and files that go to zcache when they are evicted."""
    memory = GuestMemory(
        100,
        disk=Disk(),
        contents=Contents(1),
        cleancache=Cleancache(zcache),
        kswapd=Kswapd(min_free=min_free, queue_pages=32),
        readahead=1,
        reclaim_batch=4,
    )
    memory.cleancache.init_fs()
    zcache.attach(memory)
    return memory


def test_no_put_of_a_batch_of_direct_reclaim_finds_a_frame() -> None:
    zcache = Zcache(ephemeral_percent=50)
    memory = reading(zcache, min_free=10)
    for page in range(91):  # at once: kswapd has time for one page
        assert zcache.failed_allocs == 0
        puts = memory.cleancache.puts
        memory.fault(file_key(0, 1) + page, False, 0, 0)
    assert (zcache.failed_allocs, memory.cleancache.puts) == (4, puts + 4)
    assert memory.may_allocate


def test_reclaim_in_the_background_reaches_the_file_pages() -> None:
    zcache = Zcache(ephemeral_percent=100)
    memory = reading(zcache, min_free=8)
    for page in range(300):
        memory.fault(file_key(0, 1) + page, False, 0, page * 1_000_000)
    assert 0 < zcache.frames < 50
    assert zcache.evicted > 100

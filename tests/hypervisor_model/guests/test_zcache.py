# SPDX-License-Identifier: GPL-2.0-only
"""Back ends in the guest's own memory: what a stored page costs, and what is refused."""

from hypervisor_model.guests.contents import COMPRESSIBLE, RANDOM, TEXT, Contents
from hypervisor_model.guests.disk import Disk
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
    assert frames == [1, 1, 1, 2, 2, 2, 2, 3, 3]
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


def test_what_is_refused_goes_to_the_peer() -> None:
    zcache = Zcache(persistent_percent=1, remote_frames=1)
    memory = memory_of(100, zcache)
    pool = zcache.new_pool(persistent=True)
    assert [zcache.put(pool, 1, index, token(TEXT)) for index in range(5)] == [1, 1, 1, 1, -ENOMEM]
    assert (zcache.remote_puts, memory.reserved) == (2, 1)
    assert zcache.get(pool, 1, 3) == (1, token(TEXT))
    assert zcache.remote_gets == 1

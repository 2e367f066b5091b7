# SPDX-License-Identifier: GPL-2.0-only
"""A guest's memory: faults, reclaim, swap, and what each of them asks of tmem."""

import random

import pytest

from hypervisor_model.evaluation.exact_lru import lru_hits
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap, iswiz, oswiz
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import EXECUTABLE, anon_key, file_key
from hypervisor_model.guests.lru import ONLY_COPY, OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.work import Action, Open, Release, Remove, Touch
from tests.hypervisor_model.guests.standin import StandIn


class Script:
    """A workload of one unit."""

    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)

    def unit(self) -> list[Action]:
        actions, self.actions = self.actions, []
        return actions


def memory_over(tmem: StandIn, pages: int, *, swap: int = 0, **options: object) -> GuestMemory:
    cleancache = Cleancache(tmem)
    cleancache.init_fs()
    defaults: dict[str, object] = {"readahead": 1, "swap_readahead": 1, "reclaim_batch": 1}
    return GuestMemory(
        pages,
        disk=Disk(),
        contents=Contents(1),
        cleancache=cleancache,
        frontswap=Frontswap(tmem) if swap else None,
        swap=SwapDevice(swap),
        **{**defaults, **options},  # type: ignore[arg-type]
    )


def run(memory: GuestMemory, *actions: Action) -> Guest:
    guest = Guest(memory, [Script(*actions)])
    guest.run(1 << 62)
    assert guest.finished
    memory.check()
    return guest


@pytest.mark.parametrize(("get_first", "lost"), [(True, 0), (False, 1)])
def test_guest_and_pool_together_are_one_lru(get_first: bool, lost: int) -> None:
    numbers = random.Random(5).choices(range(300), weights=range(300, 0, -1), k=5000)
    keys = [file_key(0, 7) + number for number in numbers]
    memory = memory_over(StandIn(60), 40, get_first=get_first)
    run(memory, Touch(keys))
    assert len(keys) - memory.file_reads == lru_hits(keys, 40 + 60 - lost)
    assert memory.disk.pages_read == memory.file_reads == memory.cleancache.failed_gets


def test_readahead_asks_tmem_for_each_page_and_the_disk_once() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 64, readahead=8)
    first = file_key(0, 3)
    run(memory, Touch(range(first, first + 16), end=first + 16))
    assert [call[0] for call in tmem.calls].count("get") == 16
    assert (memory.disk.reads, memory.disk.pages_read, memory.major_faults) == (2, 16, 2)


def test_an_executable_is_read_around_the_page_that_is_run() -> None:
    memory = memory_over(StandIn(0), 64, readahead=8)
    text = file_key(0, 3) | EXECUTABLE
    for page, come in ((20, range(16, 24)), (1, range(8)), (30, range(26, 32)), (31, range(0))):
        before = set(memory.pages)
        run(memory, Touch([text + page], end=text + 32))
        assert set(memory.pages) - before == set(range(text + come.start, text + come.stop))
    assert (memory.disk.reads, memory.disk.pages_read, memory.major_faults) == (3, 22, 3)


def test_a_page_of_an_executable_that_tmem_had_is_not_waited_for_although_its_neighbours_are_read() -> None:
    tmem = StandIn(100)
    memory = memory_over(tmem, 64, readahead=8)
    text = file_key(0, 3) | EXECUTABLE
    tmem.ephemeral[0, 3, 20] = bytes(4096)
    guest = run(memory, Touch([text + 20], end=text + 32))
    assert memory.disk.pages_read == 7
    assert memory.major_faults == 0
    assert guest.time_ns < memory.disk.free_at_ns


def test_a_back_end_for_active_pages_is_offered_none_that_was_used_once() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 40, lists=TwoLists(), put_active_only=True)
    hot, cold = file_key(0, 3), file_key(0, 4)
    run(memory, *[Touch(range(hot, hot + 30))] * 3, Touch(range(cold, cold + 200)))
    offered = [call[2:4] for call in tmem.calls if call[0] == "put"]
    assert offered
    assert {oid for oid, _ in offered} == {3}
    # What came from there is offered again, although it was used once since.
    index = offered[0][1]
    assert isinstance(index, int)
    run(memory, Touch([hot + index]), Touch(range(cold, cold + 200)))
    assert memory.cleancache.succ_gets == 1
    assert [call[2:4] for call in tmem.calls if call[0] == "put"].count((3, index)) == 2


def test_a_pruned_inode_offers_its_active_pages_only_to_such_a_back_end() -> None:
    for active_only, offered in ((False, 6), (True, 2)):
        tmem = StandIn(1000)
        memory = memory_over(
            tmem, 100, lists=TwoLists(), put_active_only=active_only, inode_limit=1, readahead=1
        )
        first, second = file_key(0, 3), file_key(0, 4)
        run(
            memory,
            Open(first, 6),
            Touch(range(first, first + 6), end=first + 6),
            *[Touch([first, first + 1])] * 2,
            Open(second, 1),
        )
        assert [call[0] for call in tmem.calls].count("put") == offered


def test_written_pages_go_to_the_disk_and_are_flushed_not_put() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 10)
    first = file_key(0, 3)
    run(memory, Touch(range(first, first + 20), write=True))
    assert memory.written_back == memory.disk.pages_written == 10
    assert [call[0] for call in tmem.calls] == ["new_pool"] + ["flush_page"] * 10


def test_a_page_read_and_then_changed_is_put_with_its_new_content() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 2)
    first = file_key(0, 3)
    run(memory, Touch([first]), Touch([first], write=True), Touch(range(first + 1, first + 4)))
    assert (
        tmem.ephemeral[0, 3, 0] == memory.contents.file_page(first, 1) != memory.contents.file_page(first, 0)
    )


def test_removing_a_file_flushes_its_resident_pages_and_then_its_object() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 4)
    first = file_key(0, 3)
    run(memory, Touch(range(first, first + 6)), Remove(first, 6))
    assert [call[0] for call in tmem.calls[-5:]] == ["flush_page"] * 4 + ["flush_object"]
    assert not tmem.ephemeral
    assert not memory.pages


def test_a_pruned_inode_takes_its_pages_along() -> None:
    tmem = StandIn(1000)
    memory = memory_over(tmem, 100, inode_limit=1)
    one, two = file_key(0, 3), file_key(0, 4)
    run(memory, Open(one, 5), Touch(range(one, one + 5)), Open(two, 5), Touch(range(two, two + 5)))
    assert [call[0] for call in tmem.calls[6:12]] == ["put"] * 5 + ["flush_object"]
    assert set(memory.pages) == set(range(two, two + 5))


def test_anonymous_pages_go_to_frontswap_and_their_slot_lives_until_they_are_written() -> None:
    tmem = StandIn(0)
    memory = memory_over(tmem, 4, swap=16)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 8), write=True))
    assert memory.frontswap is not None
    assert (memory.frontswap.succ_stores, memory.swap_outs) == (4, 0)
    run(memory, Touch([heap]))  # read: the slot stays
    assert heap in memory.swap.slot_of
    run(memory, Touch([heap], write=True))
    assert heap not in memory.swap.slot_of
    assert memory.frontswap.invalidates == 1
    assert memory.frontswap.loads == 1


def test_what_frontswap_refuses_goes_to_the_disk_and_comes_back_from_it() -> None:
    memory = memory_over(StandIn(0, room=3), 4, swap=16)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 12), write=True), Touch(range(heap, heap + 8)))
    assert memory.frontswap is not None
    assert memory.frontswap.loads == 3
    assert memory.frontswap.failed_stores >= 5
    assert memory.swap_ins == 5


def test_swap_readahead_brings_the_neighbours() -> None:
    memory = memory_over(StandIn(0), 16, swap=64, swap_readahead=8)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 32), write=True), Touch([heap]))
    assert memory.frontswap is not None
    assert memory.frontswap.loads == 8


@pytest.mark.parametrize("number", [0, 3, 7])
def test_a_cluster_is_read_from_swap_in_one_sweep_whichever_of_its_pages_is_asked_for(number: int) -> None:
    memory = memory_over(StandIn(0, room=0), 16, swap=64, swap_readahead=8)
    heap, disk = anon_key(1), memory.disk
    run(memory, Touch(range(heap, heap + 32), write=True))
    before_ns = disk.busy_ns
    writes = disk.writes
    run(memory, Touch([heap + number]))
    assert memory.swap_ins == 8
    written_ns = (disk.writes - writes) * (disk.page_ns + disk.seek_ns // 8)
    assert disk.busy_ns - before_ns - written_ns == disk.seek_ns + 8 * disk.page_ns


def test_without_swap_anonymous_pages_stay_until_there_is_nothing_else() -> None:
    memory = memory_over(StandIn(0), 8)
    heap, first = anon_key(1), file_key(0, 3)
    run(memory, Touch(range(heap, heap + 6), write=True), Touch(range(first, first + 50)))
    assert sum(key >= heap for key in memory.pages) == 6
    assert not memory.out_of_memory


def test_out_of_memory_is_counted() -> None:
    memory = memory_over(StandIn(0), 8)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 9), write=True))
    assert memory.out_of_memory == 1


def test_released_memory_frees_its_slots() -> None:
    memory = memory_over(StandIn(0), 4, swap=16)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 10), write=True), Release(heap, 10))
    assert not memory.pages
    assert not memory.swap.used
    assert memory.frontswap is not None
    assert memory.frontswap.curr_pages == 0


def test_unuse_swaps_in_what_frontswap_holds() -> None:
    memory = memory_over(StandIn(0), 8, swap=16)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 12), write=True))
    assert memory.frontswap is not None
    memory.totalram = 12
    assert memory.frontswap.shrink(1, memory.unuse) == 3
    assert memory.frontswap.curr_pages == 1
    memory.check()


def test_shrinking_the_guest_evicts_and_stops_at_what_cannot_go() -> None:
    memory = memory_over(StandIn(100), 20)
    first, heap = file_key(0, 3), anon_key(1)
    run(memory, Touch(range(heap, heap + 5), write=True), Touch(range(first, first + 10)))
    assert memory.set_totalram(12) == -8
    assert len(memory.pages) == 12
    assert memory.set_totalram(2) == -7
    assert memory.totalram == 5


class CountingList(OneList):
    """Counts the victims it is asked for."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def pop_victim(self) -> tuple[int, int]:
        self.asked += 1
        return super().pop_victim()


def test_a_guest_out_of_memory_does_not_look_at_every_page_again_and_again() -> None:
    lists = CountingList()
    memory = memory_over(StandIn(0, room=0), 50, lists=lists)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 1_000), write=True))
    assert memory.out_of_memory == 950
    assert lists.asked < 1_000 * 40


def test_what_can_go_is_found_although_memory_ran_out_before() -> None:
    memory = memory_over(StandIn(1_000, room=0), 50)
    first, heap = file_key(0, 3), anon_key(1)
    run(memory, Touch(range(heap, heap + 60), write=True))
    assert memory.out_of_memory
    run(memory, Release(heap + 30, 30), Touch(range(first, first + 100)))
    assert memory.free >= 0
    assert memory.cleancache.puts == 80


def test_two_lists_keep_what_is_used_twice() -> None:
    memory = memory_over(StandIn(0), 20, lists=TwoLists())
    hot, cold = file_key(0, 3), file_key(0, 4)
    run(memory, *[Touch(range(hot, hot + 5))] * 3, Touch(range(cold, cold + 500)), Touch(range(hot, hot + 5)))
    assert memory.file_reads == 505


def test_a_page_read_from_swap_is_written_although_reading_around_it_evicts() -> None:
    memory = memory_over(StandIn(0, room=0), 6, swap=64, lists=TwoLists(), swap_readahead=8, reclaim_batch=4)
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 30), write=True), Touch(range(heap, heap + 30)))
    slots = memory.swap.used
    run(memory, *[Touch([heap + number], write=True) for number in (3, 17, 9, 25, 1, 30)])
    assert memory.swap.used < slots + 6  # the written ones gave theirs up, whether they are still here or not


def test_what_an_exclusive_get_did_not_find_is_as_clean_as_the_disk() -> None:
    for room, flags in ((64, ONLY_COPY), (0, 0)):
        memory = memory_over(StandIn(0, room=room), 8, swap=64)
        assert memory.frontswap is not None
        memory.frontswap.exclusive_gets = True
        heap = anon_key(1)
        run(memory, Touch(range(heap, heap + 12), write=True), Touch([heap]))
        assert memory.pages[heap] == flags
        assert heap in memory.swap.slot_of


def test_a_page_out_of_an_exclusive_get_keeps_its_slot_until_it_is_changed() -> None:
    tmem = StandIn(0)
    memory = memory_over(tmem, 8, swap=64)
    assert memory.frontswap is not None
    memory.frontswap.exclusive_gets = True
    heap = anon_key(1)
    run(memory, Touch(range(heap, heap + 12), write=True), Touch([heap, heap + 1]))
    slots = [memory.swap.slot_of[heap + number] for number in range(2)]
    run(memory, Touch([heap], write=True))
    assert heap not in memory.swap.slot_of
    tmem.calls.clear()
    run(memory, Touch(range(heap + 2, heap + 12)))
    assert heap + 1 not in memory.pages
    assert memory.swap.slot_of[heap + 1] == slots[1]
    assert ("put", 1, oswiz(0, slots[1]), iswiz(slots[1])) in tmem.calls, "stored to the slot that it had"


@pytest.mark.parametrize("lists", ["one", "two"])
def test_books_agree_under_random_work(lists: str) -> None:
    rng = random.Random(11)
    tmem = StandIn(50, room=40)
    memory = memory_over(
        tmem,
        60,
        swap=100,
        lists=TwoLists() if lists == "two" else None,
        readahead=4,
        swap_readahead=4,
        reclaim_batch=8,
        inode_limit=5,
    )
    for _ in range(300):
        inode, region = rng.randrange(8), rng.randrange(4)
        first, heap = file_key(0, inode), anon_key(region)
        start = rng.randrange(30)
        action: Action = rng.choice(
            [
                Open(first, 40),
                Touch(range(first + start, first + start + 10), end=first + 40, write=rng.random() < 0.3),
                Touch(range(heap + start, heap + start + 10), write=rng.random() < 0.6),
                Remove(first, 40) if rng.random() < 0.2 else Open(first, 40),
                Release(heap, 40) if rng.random() < 0.2 else Touch([heap + start]),
            ]
        )
        run(memory, action)
        memory.set_totalram(rng.randrange(50, 70))
        assert memory.frontswap is not None
        assert memory.frontswap.curr_pages == len(tmem.persistent) <= memory.swap.used

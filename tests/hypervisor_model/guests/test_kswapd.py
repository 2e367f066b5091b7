# SPDX-License-Identifier: GPL-2.0-only
"""kswapd: when it wakes and sleeps, what it waits for, and who reclaims where it cannot follow."""

from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import anon_key, file_key
from hypervisor_model.guests.kswapd import Kswapd
from hypervisor_model.guests.lru import TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.reclaim import Frames
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.work import Action, Touch

FRAMES, MIN_FREE, LOW, HIGH, QUEUE = 100, 8, 10, 12, 4
FILE, HEAP = file_key(0, 7), anon_key(1)
MS = 1_000_000
NEVER = 1 << 60


class Once:
    """Work that touches ten pages."""

    def __init__(self, first: int) -> None:
        self._left = [[Touch(range(first, first + 10), 100, write=True)]]

    def unit(self) -> list[Action]:
        return list(self._left.pop()) if self._left else []


def memory(slots: int = 1_000, queue_pages: int = QUEUE, lists: TwoLists | None = None) -> GuestMemory:
    made = GuestMemory(
        FRAMES,
        disk=Disk(),
        contents=Contents(1),
        swap=SwapDevice(slots),
        lists=lists,
        readahead=1,
        swap_readahead=1,
        reclaim_batch=1,
        kswapd=Kswapd(min_free=MIN_FREE, queue_pages=queue_pages),
    )
    made.cleancache.init_fs()
    return made


def read(guest: GuestMemory, pages: range, now_ns: int = 0, step_ns: int = 0) -> list[int]:
    """Read pages of a file, one every `step_ns`; returns how many frames were free after each."""
    free = []
    for page in pages:
        guest.fault(FILE + page, False, 0, now_ns)
        free.append(guest.free)
        now_ns += step_ns
    return free


def grow(guest: GuestMemory, pages: range, now_ns: int = 0) -> int:
    """New anonymous pages, all at once; returns until when the last one has to wait."""
    guest.wait_until_ns = 0
    for page in pages:
        guest.fault(HEAP + page, True, 0, now_ns)
    return guest.wait_until_ns


def test_kswapd_wakes_below_low_and_goes_on_to_high() -> None:
    guest = memory()
    assert read(guest, range(90), step_ns=MS)[-1] == LOW
    # It wakes and evicts one; has a millisecond, which is enough; and this page is taken from what it left.
    assert read(guest, range(90, 94), now_ns=100 * MS, step_ns=MS) == [LOW, HIGH - 1, HIGH - 2, HIGH - 2]
    assert guest.out_of_memory == 0


def test_clean_pages_are_free_at_once_and_others_when_the_disk_has_them() -> None:
    guest = memory()
    assert grow(guest, range(91)) == 0
    assert (guest.free, guest.reserved, guest.swap_outs) == (LOW - 1, 1, 1)
    landed_ns = guest.disk.free_at_ns
    grow(guest, range(91, 92), landed_ns - 1)  # before the first page is there
    assert guest.reserved == QUEUE + 1
    grow(guest, range(92, 93), NEVER)
    assert guest.reserved == 0
    assert guest.free >= LOW - 1


def test_kswapd_stops_where_the_queue_is_full() -> None:
    for queue_pages in (2, 4):
        guest = memory(queue_pages=queue_pages)
        grow(guest, range(91))
        grow(guest, range(91, 92), MS // 2)  # before the first page is there
        assert guest.swap_outs == guest.reserved == queue_pages + 1


def test_whoever_finds_too_few_frames_reclaims_for_himself_and_waits() -> None:
    guest = memory()
    assert grow(guest, range(FRAMES - MIN_FREE)) == 0
    assert guest.swap_outs == 1  # kswapd's, which had no time for more
    waits_ns = grow(guest, range(FRAMES, FRAMES + 1))
    assert guest.swap_outs == 2
    assert 0 < waits_ns < guest.disk.free_at_ns  # for the first page that frees its frame


def test_whoever_adds_to_a_full_queue_waits_until_it_is_shorter() -> None:
    guest = memory()
    waits_ns = grow(guest, range(FRAMES))
    assert guest.reserved > QUEUE
    assert waits_ns > MS
    later_ns = grow(guest, range(FRAMES, FRAMES + 1))
    assert later_ns > waits_ns


def test_clean_pages_spare_the_wait() -> None:
    guest = memory()
    read(guest, range(91))
    guest.wait_until_ns = 0
    assert grow(guest, range(9)) == 0
    assert guest.free == MIN_FREE


def test_the_reserve_is_lent_but_never_more_than_there_is() -> None:
    guest = memory(queue_pages=1)
    for page in range(4 * FRAMES):
        grow(guest, range(page, page + 1))
        assert guest.free >= 0
    guest.check()


def test_kswapd_has_to_share_the_processors() -> None:
    evicted = []
    for crowding in (1.0, 8.0):
        guest = memory()
        assert guest.kswapd is not None
        guest.kswapd.crowding = crowding
        read(guest, range(91))
        before = len(guest.pages)
        read(guest, range(91, 92), now_ns=1_500)
        evicted.append(before + 1 - len(guest.pages))
    assert evicted == [1, 0]


def test_threads_that_want_to_run_crowd_kswapd() -> None:
    seen = []

    class Noted(Kswapd):
        def make_room(self, frames: Frames, wanted: int, now_ns: int) -> int:
            seen.append(self.crowding)
            return super().make_room(frames, wanted, now_ns)

    for threads in (1, 7):
        kswapd = Noted(min_free=MIN_FREE, queue_pages=QUEUE)
        guest_memory = GuestMemory(FRAMES, disk=Disk(), contents=Contents(1), kswapd=kswapd)
        works = [Once(anon_key(1 + number)) for number in range(threads)]
        Guest(guest_memory, works, vcpus=2).run(NEVER)
    assert seen[0] == 1  # itself and one thread, on two processors
    assert max(seen) == 7 / 2  # the first is done when the last begins


def test_every_page_that_is_looked_at_takes_its_time() -> None:
    looks = []
    for used in (0, 10):
        guest = memory(lists=TwoLists())
        grow(guest, range(FRAMES - MIN_FREE))
        for page in range(1, used + 1):  # page 0 went first, kswapd's
            guest.lists.touch(HEAP + page)
        before, fault_ns = guest.lists.looked, guest.costs.fault_ns
        spent_ns = guest.fault(HEAP + FRAMES, True, 0, 0)
        looks.append(guest.lists.looked - before)
        assert spent_ns == fault_ns * (1 + looks[-1])
    assert looks[0] == 1 < looks[1]


def test_with_nowhere_to_go_it_is_counted_and_the_work_goes_on() -> None:
    guest = memory(slots=0)
    grow(guest, range(FRAMES))
    assert guest.out_of_memory > 0
    assert len(guest.pages) == FRAMES


def test_allocations_that_may_not_wait_fail_while_memory_is_short() -> None:
    guest = memory()
    seen = []
    for page in range(FRAMES - MIN_FREE + 1):
        seen.append(guest.may_allocate)
        guest.fault(FILE + page, False, 0, 0)
    assert all(seen)
    assert not guest.may_allocate
    guest.release_anon(HEAP, 1)
    guest.lists.discard(next(iter(guest.pages)))
    assert guest.may_allocate


def test_a_shrinker_is_told_of_every_page_that_goes() -> None:
    guest = memory()
    told: list[tuple[int, int]] = []
    assert guest.kswapd is not None
    guest.kswapd.shrink = lambda looked, resident: told.append((looked, resident))
    read(guest, range(95), step_ns=MS)
    assert len(told) == 95 - len(guest.pages)
    assert all(looked == 1 and resident <= 91 for looked, resident in told)


@given(
    work=st.lists(
        st.tuples(st.sampled_from(("read", "grow", "drop")), st.integers(0, 300), st.integers(0, 30 * MS)),
        max_size=300,
    )
)
def test_frames_are_neither_lost_nor_found(work: list[tuple[str, int, int]]) -> None:
    guest = memory()
    now_ns = 0
    for what, page, step_ns in work:
        now_ns += step_ns
        if what == "drop":
            guest.release_anon(HEAP + page, 10)
            continue
        key = (FILE if what == "read" else HEAP) + page
        if key not in guest.pages:
            guest.fault(key, what == "grow", 0, now_ns)
        assert guest.free >= 0
        assert guest.free + len(guest.pages) + guest.reserved == FRAMES
    guest.fault(FILE + 1_000, False, 0, NEVER)
    assert guest.reserved == 0
    guest.check()

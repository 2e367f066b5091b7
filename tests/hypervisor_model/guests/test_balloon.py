# SPDX-License-Identifier: GPL-2.0-only
"""The balloon: guest, domain and host agree on who has how many frames."""

from hypervisor_model.guests.balloon import Balloon
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.hypervisor import Hypervisor


def ballooned(frames: int = 2048) -> tuple[Hypervisor, Balloon]:
    hypervisor = Hypervisor(frames=frames, exact=False)
    hypervisor.create_domain(1, max_pages=1000, tot_pages=1000)
    memory = GuestMemory(1000, reserved=100, disk=Disk(), contents=Contents(1))
    return hypervisor, Balloon(hypervisor, 1, Guest(memory, []))


def test_frames_go_to_the_host_and_come_back() -> None:
    hypervisor, balloon = ballooned()
    assert balloon.set_target(600, 0) == 600
    assert hypervisor.heap.avail == 2448
    assert hypervisor.domain(1).domain.tot_pages == 600
    assert balloon.set_target(900, 0) == 900
    assert hypervisor.heap.avail == 2148
    assert (balloon.low, balloon.high, balloon.refused) == (600, 1000, 0)


def test_a_guest_never_grows_beyond_what_it_booted_with() -> None:
    _, balloon = ballooned()
    assert balloon.set_target(5000, 0) == 1000
    assert balloon.refused == 0


def test_a_guest_gives_no_frames_that_it_cannot_free() -> None:
    hypervisor, balloon = ballooned()
    memory = balloon.guest.memory
    memory.fault(1 << 59, True, 0, 0)  # an anonymous page, and no swap to put it on
    assert balloon.set_target(50, 0) == memory.totalram == 101
    assert hypervisor.domain(1).domain.tot_pages == 101


def test_what_the_host_has_not_got_is_counted_as_refused() -> None:
    hypervisor, balloon = ballooned(frames=64)
    balloon.set_target(600, 0)
    hypervisor.alloc_host_pages(400)
    assert balloon.set_target(1000, 0) == 664
    assert balloon.refused == 336
    assert hypervisor.domain(1).domain.tot_pages == 664

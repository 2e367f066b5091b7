# SPDX-License-Identifier: GPL-2.0-only
"""The disk's queue: what a round of writeback costs, and who waits for it."""

from hypervisor_model.guests.disk import BACKLOG_NS, SWAP_AREA, Disk

SEEK_NS, PAGE_NS = 8_000_000, 40_000


def test_a_round_is_a_request_for_files_and_one_for_swap() -> None:
    disk = Disk(swap_seek_ns=0)
    disk.write_out(0, 3, 0)
    assert (disk.writes, disk.pages_written, disk.free_at_ns) == (1, 3, 3 * PAGE_NS + SEEK_NS // 8)
    disk.write_out(0, 0, 2)
    assert (disk.writes, disk.pages_written, disk.free_at_ns) == (2, 5, 5 * PAGE_NS + SEEK_NS // 8)
    disk.write_out(0, 0, 0)
    assert disk.writes == 2


def test_what_a_write_pays_for_its_seek_may_be_stated() -> None:
    disk = Disk(write_seek_ns=70)
    disk.write_out(0, 3, 0)
    disk.write_out(0, 0, 2)
    assert disk.free_at_ns == 5 * PAGE_NS + 2 * 70
    assert disk.read(disk.free_at_ns, 100, 1) == 6 * PAGE_NS + 2 * 70 + SEEK_NS


def test_a_writer_waits_until_no_more_than_the_backlog_is_left() -> None:
    disk = Disk()
    now_ns = 1_000
    assert disk.write_out(now_ns, 10, 10) <= now_ns
    pages = BACKLOG_NS // PAGE_NS
    wait_until_ns = disk.write_out(now_ns, pages, 0)
    assert wait_until_ns == disk.free_at_ns - BACKLOG_NS > now_ns


def test_a_read_that_goes_on_where_the_last_ended_needs_no_seek() -> None:
    disk = Disk()
    assert disk.read(0, 100, 4) == SEEK_NS + 4 * PAGE_NS
    assert disk.read(disk.free_at_ns, 104, 4) == SEEK_NS + 8 * PAGE_NS
    assert disk.read(disk.free_at_ns, SWAP_AREA, 1) == 2 * SEEK_NS + 9 * PAGE_NS

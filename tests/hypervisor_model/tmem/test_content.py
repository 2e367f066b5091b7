# SPDX-License-Identifier: GPL-2.0-only
"""What pages hold decides how they are kept: compressed, shared with equal ones, without the zeros at their end."""

from __future__ import annotations

import pytest

from hypervisor_model.public.xen import PAGE_SIZE
from tests.hypervisor_model.tmem.machine import Machine, both_releases, page, soft_page


@both_releases
def test_what_is_counted_of_compressed_pages(release: str) -> None:
    machine = Machine(release, options="tmem_compress=1")
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 1, 0, soft_page(1))
    guest.put(0, 1, 1, page(2))  # does not get smaller
    size = len(machine.hv.codec.compress(soft_page(1)))
    assert {tag: machine.counter(tag, "C=CI:1") for tag in ("cp", "cb", "cn", "cm")} == {
        "cp": 1, "cb": size, "cn": 1, "cm": 0,
    }  # fmt: skip
    assert machine.counter("Fc") == 1
    assert guest.get(0, 1, 0) == (1, soft_page(1))
    assert guest.get(0, 1, 1) == (1, page(2))
    assert machine.counter("cp", "C=CI:1") == machine.counter("cb", "C=CI:1") == 0


@both_releases
def test_compression_is_each_clients_own_setting(release: str) -> None:
    machine = Machine(release)
    first, second = machine.guest(1), machine.guest(2)
    for guest in (first, second):
        guest.new_pool()
    machine.client(1).compress = True
    for guest in (first, second):
        guest.put(0, 1, 0, soft_page(1))
    assert [machine.counter("cp", f"C=CI:{domid}") for domid in (1, 2)] == [1, 0]


def test_equal_pages_share_one_frame() -> None:
    machine = Machine(options="tmem_dedup=1")
    guests = [machine.guest(1), machine.guest(2)]
    for guest in guests:
        guest.new_pool()
        guest.put(0, 1, 0, page(1))
        guest.put(0, 1, 1, page(1))
    counted = {tag: machine.counter(tag) for tag in ("Pc", "Fc", "Sc", "Sm", "Gd")}
    assert counted == {"Pc": 4, "Fc": 1, "Sc": 1, "Sm": 1, "Gd": 3}
    guests[0].put(0, 1, 0, page(2))
    assert machine.counter("Sc") == 2
    assert guests[1].get(0, 1, 0) == (1, page(1))
    guests[0].flush_object(0, 1)
    guests[1].flush_object(0, 1)
    assert {tag: machine.counter(tag) for tag in ("Pc", "Fc", "Sc")} == {"Pc": 0, "Fc": 0, "Sc": 0}
    machine.hv.check()


def test_persistent_pages_are_never_shared() -> None:
    machine = Machine(options="tmem_dedup=1")
    guest = machine.guest()
    guest.new_pool(persistent=True)
    for index in range(2):
        guest.put(0, 1, index, page(1))
    assert (machine.counter("Fc"), machine.counter("Sc")) == (2, 0)


def test_equal_compressed_pages_share_their_bytes() -> None:
    machine = Machine(options="tmem_dedup=1 tmem_compress=1")
    guest = machine.guest()
    guest.new_pool()
    size = len(machine.hv.codec.compress(soft_page(1)))
    for index in range(3):
        guest.put(0, 1, index, soft_page(1))
    assert (machine.counter("Sc"), machine.counter("Gd"), machine.counter("Gz")) == (1, 2, size)
    assert machine.counter("cb", "C=CI:1") == 3 * size
    guest.flush_object(0, 1)
    assert (machine.counter("Sc"), machine.counter("Gz")) == (0, 0)


def test_zeros_at_the_end_of_a_page_take_no_room() -> None:
    machine = Machine(options="tmem_dedup=1 tmem_tze=1")
    guest = machine.guest()
    guest.new_pool()
    trimmed = page(1)[:100] + bytes(PAGE_SIZE - 100)
    guest.put(0, 1, 0, trimmed)
    guest.put(0, 1, 1, page(2))
    assert machine.counter("Zt") == 104 + 4096  # in words of 8 bytes
    assert machine.counter("Fc") == 1
    assert guest.get(0, 1, 0) == (1, trimmed)
    guest.flush_page(0, 1, 1)
    assert (machine.counter("Zt"), machine.counter("Fc")) == (0, 0)


def test_trailing_zeros_are_left_alone_where_pages_are_compressed() -> None:
    machine = Machine(options="tmem_dedup=1 tmem_tze=1 tmem_compress=1")
    assert not machine.hv.options.tze


def test_tokens_stand_for_pages() -> None:
    """With contents="tokens" nobody looks inside; sizes of compressed pages are drawn."""
    machine = Machine(options="tmem_dedup=1 tmem_compress=1", contents="tokens")
    guest = machine.guest()
    guest.new_pool()
    text, noise = b"\x01one", b"\x03two"
    for index in range(2):
        assert guest.put(0, 1, index, text) == 1
    assert guest.put(0, 1, 2, noise) == 1
    assert (machine.counter("Sc"), machine.counter("Gd"), machine.counter("cn", "C=CI:1")) == (2, 1, 1)
    assert guest.get(0, 1, 1) == (1, text)
    assert guest.get(0, 1, 2) == (1, noise)
    machine.hv.check()


@pytest.mark.parametrize(("length", "trimmed"), [(4024, True), (4032, True), (4040, False)])
def test_a_page_is_trimmed_only_if_that_saves_a_64th(length: int, trimmed: bool) -> None:
    machine = Machine(options="tmem_dedup=1 tmem_tze=1")
    guest = machine.guest()
    guest.new_pool()
    guest.put(0, 1, 0, page(1)[:length] + bytes(PAGE_SIZE - length))
    assert (machine.counter("Zt"), machine.counter("Fc")) == ((length, 0) if trimmed else (4096, 1))

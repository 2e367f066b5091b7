# SPDX-License-Identifier: GPL-2.0-only
"""The cycles that 4.3 lists: by kind of operation, and in all by client."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, count, pairwise

from hypervisor_model.public.tmem import TMEM_FLUSH_PAGE, TMEM_OP_GEN
from hypervisor_model.public.xen import EEMPTY, ENODEV, HYPERCALL_TMEM_OP
from tests.hypervisor_model.tmem.machine import Machine, page


def clock_of(*durations: int) -> Callable[[], int]:
    """A clock on which one operation after the other takes so long."""
    readings = list(accumulate(durations, initial=0))
    times = iter([time for before, after in pairwise(readings) for time in (before, after)])
    return lambda: next(times, readings[-1])


def test_each_kind_of_operation_is_counted() -> None:
    machine = Machine(clock=clock_of(5, 7, 100, 3, 11, 13, 17, 19))
    guest = machine.guest()
    guest.new_pool()
    assert guest.put(0, 1, 0, page(1)) == 1  # 5
    assert guest.put(0, 1, 1, page(1)) == 1  # 7
    assert guest.put(0, 1, 2, None) < 0  # 100
    assert guest.get(0, 1, 0)[0] == 1  # 3
    assert guest.get(0, 1, 0)[0] == 0  # 11
    assert guest.flush_page(0, 1, 1) == 1  # 13
    assert guest.flush_object(0, 1) == 1  # 17
    assert guest.destroy_pool(0) == 1  # 19
    times = machine.listing().splitlines()[-1]
    counted = {tag: times[times.index(f"{tag}n:") :].split(",")[:4] for tag in "GPgpFO"}
    assert counted == {
        "G": ["Gn:1", "Gt:3", "Gx:3", "Gm:3"],
        "P": ["Pn:2", "Pt:12", "Px:7", "Pm:5"],
        "g": ["gn:1", "gt:11", "gx:11", "gm:11"],
        "p": ["pn:1", "pt:100", "px:100", "pm:100"],
        "F": ["Fn:2", "Ft:32", "Fx:19", "Fm:13"],
        "O": ["On:1", "Ot:17", "Ox:17", "Om:17"],
    }
    assert machine.counter("Tc", "C=CI:1") == 5 + 7 + 100 + 3 + 11 + 13 + 17 + 19


def test_what_takes_no_time_or_too_much_is_left_out() -> None:
    machine = Machine(clock=clock_of(0, 1_000_000_000, 999_999_999))
    guest = machine.guest()
    guest.new_pool()
    for index in range(3):
        guest.put(0, 1, index, page(1))
    assert "Pn:1,Pt:999999999," in machine.listing()


def test_the_binary_door_is_timed_too_and_what_finds_no_pool_is_not() -> None:
    machine = Machine(clock=count(step=8).__next__)
    guest = machine.guest()
    assert guest.get(3, 1, 0) == (-ENODEV, None)
    guest.new_pool()
    machine.hv.hypercall(1, HYPERCALL_TMEM_OP, TMEM_OP_GEN.pack(TMEM_FLUSH_PAGE, 0, bytes(24), 0, 0, 0, 0, 0))
    assert "Fn:1,Ft:8," in machine.listing()
    assert "gn:0," in machine.listing()


def test_4_12_measures_nothing() -> None:
    machine = Machine("4.12", clock=clock_of(5))
    guest = machine.guest()
    guest.new_pool()
    assert guest.get(0, 1, 0) == (-EEMPTY, None)
    assert machine.counter("Tc", "C=CI:1") == 0

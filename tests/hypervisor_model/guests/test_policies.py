# SPDX-License-Identifier: GPL-2.0-only
"""Dom0's policies: who gets how much memory, and how much tmem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.guests.balancer import POLICIES, Member, equal_ratio, proportional, squeeze
from hypervisor_model.guests.tmem_policy import Manager, Metered
from tests.hypervisor_model.guests.standin import StandIn

WEB = Member("web", 100, 400, 150)
DB = Member("db", 100, 1000, 600, weight=512)


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    return [
        Member(
            f"g{number}",
            low,
            low + draw(st.integers(0, 500)),
            draw(st.integers(0, 900)),
            draw(st.integers(0, 9)),
        )
        for number, low in enumerate(draw(st.lists(st.integers(0, 300), min_size=1, max_size=5)))
    ]


@given(members(), st.integers(0, 4000))
def test_no_policy_leaves_the_bounds_or_gives_what_is_not_there(guests: list[Member], available: int) -> None:
    for policy in POLICIES.values():
        targets = policy(guests, available)
        assert all(member.minimum <= targets[member.name] <= member.maximum for member in guests)
        assert sum(targets.values()) <= max(available, sum(member.minimum for member in guests))


def test_proportional_goes_by_weight_and_hands_on_what_one_cannot_use() -> None:
    assert proportional([WEB, DB], 500) == {"web": 200, "db": 300}
    assert proportional([WEB, DB], 1300) == {"web": 400, "db": 900}


def test_equal_ratio_moves_all_alike() -> None:
    assert equal_ratio([WEB, DB], 800) == {"web": 250, "db": 550}


def test_squeeze_gives_need_and_margin_while_there_is_room() -> None:
    assert squeeze([WEB, DB], 2000) == {"web": 180, "db": 720}
    assert squeeze([WEB, DB], 550) == {"web": 180 - 40, "db": 720 - 310}


def metered(count: int, room: int) -> list[Metered]:
    tmem = StandIn(10, room)
    guests = [Metered(tmem) for _ in range(count)]
    for guest in guests:
        guest.new_pool(persistent=True)
    return guests


def fill(guest: Metered, number: int, pages: int) -> int:
    return sum(guest.put(number, 0, index, b"page") == 1 for index in range(pages))


def test_greedy_lets_the_first_take_all() -> None:
    guests = metered(2, 100)
    Manager("greedy", guests, 100).run()
    assert [fill(guest, number, 100) for number, guest in enumerate(guests)] == [100, 0]


def test_static_halves_and_reconf_static_counts_only_users() -> None:
    guests = metered(2, 100)
    Manager("static", guests, 100)
    assert [fill(guest, number, 100) for number, guest in enumerate(guests)] == [50, 50]
    guests = metered(2, 100)
    manager = Manager("reconf-static", guests, 100)
    fill(guests[0], 0, 1)
    manager.run()
    assert (fill(guests[0], 0, 100), guests[1].target) == (100, 1 << 60)


def test_smart_moves_memory_to_who_is_refused() -> None:
    guests = metered(2, 100)
    manager = Manager("smart", guests, 100, step_percent=10)
    for _ in range(20):
        fill(guests[0], 0, 90)
        manager.run()
    assert guests[0].target > 80
    assert guests[0].target + guests[1].target <= 100
    assert guests[1].used == 0


def test_freed_pages_make_room_under_a_target() -> None:
    [guest] = metered(1, 100)
    guest.target = 5
    assert fill(guest, 0, 10) == 5
    guest.flush_page(0, 0, 0)
    assert (guest.used, guest.put(0, 0, 7, b"page")) == (4, 1)
    guest.flush_object(0, 0)
    assert guest.used == 0


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="greedy"):
        Manager("best", [], 1)

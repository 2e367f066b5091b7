# SPDX-License-Identifier: GPL-2.0-only
"""The drivers' integers: values computed by hand from the formulas of the C and of the shell script."""

import pytest

from hypervisor_model.evaluation.exact_drivers import BALLOON, MINIMA, SHRINK
from hypervisor_model.guests.selfballoon import (
    GENERATIONS,
    Generation,
    SelfShrink,
    Settings,
    floor_pages,
    mb,
    selfballoon_target,
)
from hypervisor_model.guests.xenballoond import Config, Xenballoond, minimum_mb

FLOORS = {
    64: 11264,
    128: 14848,
    256: 18944,
    384: 23040,
    512: 27136,
    1024: 34728,
    2048: 42920,
    4096: 59304,
    8192: 92072,
}


@pytest.mark.parametrize(("ram_mb", "pages"), FLOORS.items())
def test_floor_is_piecewise(ram_mb: int, pages: int) -> None:
    assert floor_pages(mb(ram_mb), 2048) == pages


def test_a_tiny_guest_is_left_alone_and_a_configured_floor_wins() -> None:
    assert floor_pages(mb(16), 2048) == mb(16)
    assert floor_pages(mb(1024), 2048, min_usable_mb=50) == 2048 + mb(50)


@pytest.mark.parametrize("generation", BALLOON)
def test_balloon_goes_down_by_an_eighth_of_the_surplus(generation: Generation) -> None:
    settings = Settings(generation=generation)
    totalram = mb(384)
    trace = [totalram]
    for _ in BALLOON[generation][1:]:
        totalram = selfballoon_target(
            settings,
            totalram=totalram,
            max_pfn=mb(384),
            committed=mb(100),
            totalreserve=2048,
            frontswap_pages=0,
        )
        trace.append(totalram)
    assert trace == BALLOON[generation]


def test_balloon_comes_up_at_once() -> None:
    target = selfballoon_target(
        Settings(generation="3.1"),
        totalram=30000,
        max_pfn=mb(384),
        committed=50000,
        totalreserve=2048,
        frontswap_pages=7,
    )
    assert target == 50000 + 2048 + 7


def test_the_later_generation_adds_a_tenth_of_memory_to_the_goal() -> None:
    arguments = {
        "totalram": 30000,
        "max_pfn": mb(380),
        "committed": 50000,
        "totalreserve": 2048,
        "frontswap_pages": 7,
    }
    assert selfballoon_target(Settings(), **arguments) == 50000 + 2048 + 7 + mb(38)
    assert selfballoon_target(Settings(reserved_mb=0, selfshrinking=False), **arguments) == 52048


@pytest.mark.parametrize("generation", GENERATIONS)
def test_selfshrink_waits_and_then_takes_a_twentieth(generation: Generation) -> None:
    driver = SelfShrink(Settings(generation=generation))
    sizes = [1000]
    driver.run(1000, lambda target: pytest.fail("shrinks at once"))
    while len(sizes) < len(SHRINK[generation]):
        asked: list[int] = []
        driver.run(sizes[-1], asked.append)
        sizes.append(asked[0] if asked else sizes[-1])
    assert sizes == SHRINK[generation]


def test_selfshrink_asks_for_nothing_to_be_left_of_the_last_pages_and_rests_after_growth() -> None:
    driver = SelfShrink(Settings(generation="3.1", frontswap_inertia=1))
    asked: list[int] = []
    for pages in (20, 20, 0, 30, 31, 31):
        driver.run(pages, asked.append)
    assert asked == [0, 30]


@pytest.mark.parametrize(
    "wrong", [{"interval_s": 0}, {"down_hysteresis": 0}, {"generation": "5"}, {"min_usable_mb": -1}]
)
def test_settings_refuse_what_sysfs_refuses(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Settings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ram_mb", "minimum"), MINIMA.items())
def test_xenballoond_keeps_a_minimum(ram_mb: int, minimum: int) -> None:
    assert minimum_mb(ram_mb * 1024) == minimum


def test_xenballoond_goes_down_by_a_tenth_and_up_at_once() -> None:
    daemon = Xenballoond()
    assert daemon.balloon_target_kb(393216, 200000) == 393216 - (393216 - 200000) // 10
    assert daemon.balloon_target_kb(250000, 300000) == 300000
    assert (
        daemon.balloon_target_kb(200000, 1000) == 200000 - (200000 - 136 * 1024) // 10
    )  # the mark stays at 384 MiB


def test_xenballoond_follows_dom0_when_it_is_not_on_its_own() -> None:
    daemon = Xenballoond(Config(selfballoon=False))
    assert daemon.balloon_target_kb(100000, 5, None) == 100000
    assert daemon.balloon_target_kb(100000, 5, 50000) == 95000
    assert daemon.selftarget_kb == 95000


def test_xenballoond_shrinks_preswap_only_while_it_does_not_change() -> None:
    daemon = Xenballoond(Config(preswap_shrink=True, preswap_inertia=2))
    assert [daemon.preswap_target(pages) for pages in (100, 100, 90, 90, 90, 90)] == [
        None,
        None,
        None,
        None,
        86,
        None,
    ]
    assert Xenballoond().preswap_target(100) is None

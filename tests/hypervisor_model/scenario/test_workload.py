# SPDX-License-Identifier: GPL-2.0-only
"""Access patterns have the shape they are named for, and pages the contents of their class."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import pytest

from hypervisor_model.scenario.content import CLASSES, PageMaker
from hypervisor_model.scenario.workload import Random, Scan, Zipf, _power


def test_zipf_falls_as_the_power_of_the_rank() -> None:
    pattern = Zipf(100, 1.0, random.Random(1))
    counts = [count for _, count in Counter(pattern.next_page() for _ in range(50_000)).most_common()]
    assert len(counts) == 100
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.2)
    assert counts[0] / 50_000 == pytest.approx(1 / sum(1 / rank for rank in range(1, 101)), rel=0.05)


@pytest.mark.parametrize("skew", [0, 0.5, 0.984375, 1, 2.25])
def test_powers_without_the_c_library(skew: float) -> None:
    for base in (1.0, 2.0, 7.0, 1000.0):
        assert _power(base, round(skew * 64)) == pytest.approx(base**skew, rel=1e-12)


@pytest.mark.parametrize("working_set", [1, 2, 3, 10, 97, 100])
def test_every_page_of_a_working_set_is_touched_and_no_other(working_set: int) -> None:
    rng = random.Random(2)
    for pattern in (Zipf(working_set, 0.5, rng), Random(working_set, rng), Scan(working_set)):
        seen = {pattern.next_page() for _ in range(working_set * 100)}
        assert seen == set(range(working_set))


def test_a_scan_goes_round() -> None:
    pattern = Scan(3)
    assert [pattern.next_page() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("content", CLASSES)
def test_pages_are_pages(content: str) -> None:
    maker = PageMaker(content, "seed")
    pages = {maker.page(number, rewrites) for number in range(4) for rewrites in range(3)}
    assert {len(page) for page in pages} == {4096}
    assert len(pages) == {"zero": 1, "shared": 4}.get(content, 12)
    assert maker.page(1, 1) == PageMaker(content, "seed").page(1, 1)
    assert (maker.page(1, 1) == PageMaker(content, "other").page(1, 1)) == (content in ("zero", "shared"))


def test_classes_compress_as_they_say() -> None:
    sizes = {name: len(zlib.compress(PageMaker(name, "seed").page(1, 1))) for name in CLASSES}
    assert sizes["random"] > 4000 > sizes["compressible"] > 1500
    assert sizes["zero"] < 50
    assert PageMaker("sparse", "seed").page(1, 1).rstrip(b"\0")[1100:] == b""


@pytest.mark.parametrize("content", CLASSES)
def test_tokens_are_as_distinct_as_the_pages_they_stand_for(content: str) -> None:
    makers = [PageMaker(content, seed, tokens=tokens) for tokens in (False, True) for seed in "ab"]
    pages, tokens = (
        {maker.page(number, rewrites) for maker in pair for number in range(20) for rewrites in range(3)}
        for pair in (makers[:2], makers[2:])
    )
    assert len(pages) == len(tokens)
    assert {len(token) for token in tokens} == {9}

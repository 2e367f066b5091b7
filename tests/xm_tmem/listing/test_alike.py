# SPDX-License-Identifier: GPL-2.0-only
"""Lines read together become what they become one by one, whatever is between them and in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xm_tmem.listing import texts
from xm_tmem.listing import alike as alike_module
from xm_tmem.listing import compat, parse
from xm_tmem.listing.alike import alike

POOL = "P=CI:{},PI:{},PT:{},U0:{},U1:0,Pc:{},ps:{},pt:9,gs:{},gt:7"
CLIENT = "C=CI:{},ww:{},co:{},fr:{},Ec:{},cp:{},cb:{}"
NUMBERS = (
    "0",
    "1",
    "7",
    "007",
    "10",
    "99999",
    f"{2**63}",
    f"{2**64 - 1}",
    f"{2**64}",
    "9" * 30,
    "0" * 70 + "5",
)
ODD = ("-1", "+1", "1_0", " 1", "", "x", "EP", "PP", "ES", "ff", "1:2", "1,gt:3", "\0", "\r", "é", "٣")
VALUES = st.sampled_from((*NUMBERS, *ODD))


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Some dozen lines, most of them ordinary."""
    made = []
    for number in range(draw(st.integers(8, 24))):
        template, kinds = draw(st.sampled_from([(POOL, 7), (POOL, 7), (CLIENT, 7), ("P=CI:{},PI:{}", 2)]))
        values: list[int | str] = [number, number, "EP", *[1] * 4] if template is POOL else [number] * kinds
        if not draw(st.integers(0, 3)):
            values[draw(st.integers(0, kinds - 1))] = draw(VALUES)
        line = template.format(*values)
        if not draw(st.integers(0, 9)):
            at = draw(st.integers(0, len(line)))
            line = line[:at] + draw(VALUES) + line[at:]
        made.append(line)
    return "\n".join([*made, *draw(st.sampled_from([[], [""]]))]).encode()


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    """Also of few lines the shapes are looked for, and in several portions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike_module, "_FEW", 2)
        patch.setattr(alike_module, "_PORTION", 15)
        yield


def one_by_one(patch: pytest.MonkeyPatch) -> None:
    for module in (parse, compat):
        patch.setattr(module, "alike", lambda lines, value: iter(()))


@settings(max_examples=600)
@given(lines() | texts.mutilated())
def test_together_is_as_one_by_one(text: bytes) -> None:
    def read() -> tuple[Any, bytes]:
        listing = parse.parse_listing(text)
        return {name: getattr(listing, name) for name in type(listing).__slots__}, compat.reformat(text)

    together = read()
    with pytest.MonkeyPatch.context() as patch:
        one_by_one(patch)
        assert together == read()


def test_the_shapes_of_a_recorded_listing_are_found() -> None:
    some = [
        line for line in texts.recorded("4.12-shared").decode().split("\n") if line.startswith(("P=", "C="))
    ] * 3
    found = list(alike(some, lambda key: "[0-9A-Za-z]*"))
    assert sorted(number for _, numbers, _ in found for number in numbers) == list(range(len(some)))
    for keys, numbers, rows in found:
        for number, row in zip(numbers, rows, strict=True):
            said = ",".join(f"{key}:{text}" for key, text in zip(keys, row, strict=True))
            assert some[number][2:] == said


@pytest.mark.parametrize(
    "odd", ["P=", "P=CI:1", "P=CI:1,CI:2", "P=C.:1,PI:2", "P=CI", "P=XX:1,PI:2", "P=CI:x,PI:1"]
)
def test_what_has_no_shape_is_left_out_and_hides_no_other(odd: str) -> None:
    some = [odd, *["P=CI:1,PI:2"] * 9, odd]
    ((keys, numbers, rows),) = alike(some, lambda key: None if key == "XX" else "[0-9]")
    assert (keys, list(numbers), rows) == (["CI", "PI"], list(range(1, 10)), [("1", "2")] * 9)


def test_a_portion_of_many_shapes_is_not_searched_for_ever() -> None:
    some = [f"P=CI:1,{first}{second}:1" for first in "abc" for second in "abcde"]
    assert len(list(alike(some, lambda key: "[0-9]"))) == 4

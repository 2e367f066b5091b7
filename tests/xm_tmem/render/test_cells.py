# SPDX-License-Identifier: GPL-2.0-only
"""Values as the text of cells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xm_tmem.render.cells import cell_text, human_size, visible


@pytest.mark.parametrize(
    ("value", "unit", "units", "text"),
    [
        (None, "pages", "auto", "-"),
        (0, "pages", "auto", "0"),
        (3, "pages", "auto", "12KiB"),
        (3, "pages", "pages", "3"),
        (3, "pages", "bytes", "12288"),
        (3, "pages", "KiB", "12"),
        (3, "pages", "MiB", "0.01"),
        (512, "frames", "MiB", "2"),
        (6144, "bytes", "pages", "1.50"),
        (6144, "bytes", "bytes", "6144"),
        (6144, "bytes", "KiB", "6"),
        (123456, "calls", "KiB", "123456"),
        (1, "flag", "auto", "yes"),
        (0, "flag", "auto", "no"),
        (0.12345, "ratio", "auto", "12.3%"),
        (0xABC, "hex", "auto", "abc"),
        ((1, 2), "ids", "auto", "1,2"),
        ((), "ids", "auto", "-"),
        ("a\tb", "text", "auto", "a\\tb"),
    ],
)
def test_a_value_is_written_by_its_unit(value: Any, unit: str, units: str, text: str) -> None:
    assert cell_text(value, unit, units) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (1536, "1.5KiB"),
        (10 * 1024, "10KiB"),
        (5 << 30, "5GiB"),
        (1 << 62, "4096PiB"),
        (-4096, "-4KiB"),
    ],
)
def test_a_size_takes_the_largest_unit_that_fits(size: int, text: str) -> None:
    assert human_size(size) == text


@given(st.integers(0, 2**70))
def test_a_human_size_is_close_and_short(size: int) -> None:
    text = human_size(size)
    number = text.rstrip("KMGTPiB") or "0"
    factor = 1024 ** ("BKMGTP".index(text[len(number)]) if text != "0" else 0)
    assert abs(float(number) * factor - size) <= 0.06 * size


@given(st.text(max_size=30))
def test_visible_text_has_nothing_that_moves_a_cursor(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")  # no lone surrogates
    if text.isprintable():
        assert shown == text

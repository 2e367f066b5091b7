# SPDX-License-Identifier: GPL-2.0-only
"""Charts in a terminal: they fit, and their bars are as high as their values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xm_tmem.render.chart import ROWS, chart, resampled
from xm_tmem.render.sparkline import ASCII, BLOCKS


def test_a_column_for_each_value_and_a_bar_for_its_height() -> None:
    lines = chart(
        [0.0, 1.0, 2.0, 3.0], [0.0, 8.0, 16.0, None], width=14, text=lambda value: f"{value:g}", rows=2
    )
    assert lines[:2] == ["      16 |  \u2588", "       0 | \u2588\u2588"]
    assert lines[2].endswith("  " + lines[2].split()[-1])


def test_where_there_are_fewer_values_than_columns_one_reaches_to_the_next() -> None:
    assert resampled([0.0, 10.0], [1.0, 2.0], 4) == [1.0, 1.0, 1.0, 2.0]
    assert resampled([0.0, 6.0, 10.0], [1.0, None, 3.0], 5) == [1.0, 1.0, 1.0, None, 3.0]


def test_where_there_are_more_a_column_is_their_mean() -> None:
    assert resampled([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, None], 2) == [2.0, 5.0]


def test_a_chart_of_nothing_is_empty_and_no_error() -> None:
    lines = chart([0.0, 0.0], [None, 0.0], width=30, text=str, ramp=ASCII)
    assert len(lines) == ROWS + 1
    assert all(line.endswith("|") for line in lines[:-1])


@given(
    st.lists(st.none() | st.floats(0, 1e15), min_size=2, max_size=50),
    st.integers(1, 100),
    st.sampled_from([ASCII, BLOCKS]),
)
def test_a_chart_is_never_wider_than_the_terminal(values: list[float | None], width: int, ramp: str) -> None:
    times = [1767225600.0 + n for n in range(len(values))]
    lines = chart(times, values, width=width, text=lambda value: f"{value:.0f}", ramp=ramp)
    assert len(lines) == ROWS + 1
    assert all(len(line) <= max(width, 11) for line in lines)
    largest = max((value or 0.0 for value in values), default=0.0)
    if largest and len(values) <= width - 10:
        assert ramp[-1] in lines[0]

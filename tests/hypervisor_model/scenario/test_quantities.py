# SPDX-License-Identifier: GPL-2.0-only
"""Sizes become pages and times microseconds, rounded up; whatever lacks a unit is refused."""

from __future__ import annotations

import pytest

from hypervisor_model.scenario.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("4KiB", 1),
        ("5 KiB", 2),
        ("1MiB", 256),
        ("1MB", 256),
        ("1.5M", 384),
        ("2GiB", 524288),
        ("1T", 1 << 28),
        ("20 pages", 20),
        ("1page", 1),
        ("0.1 pages", 1),
        ("0MiB", 0),
    ],
)
def test_sizes(text: str, pages: int) -> None:
    assert parse_quantity(text, "pages") == pages


@pytest.mark.parametrize(
    ("text", "us"),
    [("7us", 7), ("250 ms", 250_000), ("1.5min", 90_000_000), ("2h", 7_200_000_000), ("0.1us", 1)],
)
def test_times(text: str, us: int) -> None:
    assert parse_quantity(text, "time") == us


@pytest.mark.parametrize(
    "text", ["", "5", "MiB", "-1MiB", "1e3MiB", "1 PiB", "5 s", "1MiB 2", "٣MiB", "1MiB\n", "9" * 40 + "MiB"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write 64MiB, 2GiB or 20 pages"):
        parse_quantity(text, "pages")

# SPDX-License-Identifier: GPL-2.0-only
"""Trailing zeros are counted in words of eight bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.host.tze import tze_size


def page(head: bytes) -> bytes:
    return head.ljust(4096, b"\0")


def test_zero_page_leaves_nothing() -> None:
    assert tze_size(bytes(4096)) == 0


def test_one_byte_keeps_its_word_and_all_before_it() -> None:
    for last in range(4096):
        assert tze_size(page(bytes(last) + b"\x80")) == last // 8 * 8 + 8


@given(head=st.binary(max_size=4096))
def test_the_rest_is_zero_and_the_last_word_is_not(head: bytes) -> None:
    whole = page(head)
    size = tze_size(whole)
    assert size % 8 == 0
    assert not any(whole[size:])
    assert size == 0 or any(whole[size - 8 : size])

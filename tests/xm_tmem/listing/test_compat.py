# SPDX-License-Identifier: GPL-2.0-only
"""Byte for byte what xen-tmem-list-parse printed, for every recorded text and for what it makes of odd ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import recordings
from tests.xm_tmem.listing import texts
from xm_tmem.listing.compat import reformat

RECORDED = recordings.files("listings/*.txt")


@pytest.mark.skipif(not RECORDED, reason=recordings.ABSENT)
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_every_recorded_text_becomes_what_the_real_tool_printed(file: Path) -> None:
    assert reformat(file.read_bytes()) == file.with_suffix(".parsed").read_bytes()


def _pool(fields: bytes) -> str:
    return reformat(b"P=" + fields).decode("latin-1")


def _shared(fields: bytes) -> str:
    return reformat(b"S=" + fields).decode("latin-1").partition(": pgp")[0]


def test_shared_pools_are_not_repeated_under_their_clients() -> None:
    assert _pool(b"CI:1,PI:2,PT:ES\n") == ""
    assert _pool(b"CI:1,PI:2,PT:EP\n").startswith("domid1,id2[EP]:pgp=0(max=0)")


def test_every_shared_pool_is_number_0() -> None:
    """QUIRK parse_shared_pool"""
    assert _shared(b"SI:7,PT:ES,U0:a,U1:b,SC:1\n").startswith("poolid=0[ES]")


def test_the_letters_may_stand_anywhere_and_count_when_a_colon_follows() -> None:
    """QUIRK parse"""
    assert "gets=0/5(0%)" in _pool(b"CI:1,xxgt:5,gt:6\n")
    assert "gets=0/0(0%)" in _pool(b"CI:1,gt,gt:6\n")


def test_a_line_longer_than_the_buffer_is_taken_for_several() -> None:
    """QUIRK main"""
    filler = b"x" * (4095 - len(b"P=CI:1,"))
    assert reformat(b"P=CI:1," + filler + b"P=CI:2\n").count(b"domid") == 2
    assert reformat(b"P=CI:1," + filler[:-1] + b"P=CI:2\n").count(b"domid") == 1


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (b"-1", 2**64 - 1),
        (b"99999999999999999999999", 2**64 - 1),
        (b" \t7", 7),
        (b"+7x", 7),
        (b"x", 0),
        (b"", 0),
    ],
)
def test_numbers_are_read_as_scanf_reads_them(number: bytes, read: int) -> None:
    assert f"pgp={read}(" in _pool(b"Pc:" + number + b"\n")


@pytest.mark.parametrize(("number", "read"), [(b"0xAb", "ab"), (b"0x", "0"), (b"-1", "f" * 16), (b"1g", "1")])
def test_uuid_words_are_read_as_scanf_reads_them(number: bytes, read: str) -> None:
    assert f"uuid={read}.0," in _shared(b"U0:" + number + b",U1\n")


def test_products_wrap_at_64_bits() -> None:
    huge = b"%d" % (2**58)
    assert f"gets={2**58}/{2**58}({2**58 * 100 % 2**64 // 2**58}%)" in _pool(
        b"gs:" + huge + b",gt:" + huge + b"\n"
    )
    ratio = 2**58 * 100 % 2**64 // 4096
    assert b"compression ratio=%d%% (" % ratio in reformat(b"C=CI:1,cb:" + huge + b",cp:1\n")
    assert b"compression ratio=0% (samples=4503599627370496," in reformat(b"C=CI:1,cb:7,cp:%d\n" % 2**52)


def test_deduplication_and_savings_are_told_only_where_there_are_any() -> None:
    plain = reformat(b"G=Ec:4,Ep:8,Gd:2,Sc:3,Zt:99999,Gz:99999\n")
    assert b"pcds" not in plain
    assert b"savings" not in plain
    told = reformat(b"G=Ec:4,Ep:8,Gd:2,Sc:3,Sm:3,Zt:6144,Gz:3072\n")
    assert (
        b"pcds=3 (max=3) deduped: avg=25.00% (curr=25.00%) tze savings=50.00% compression savings=75.00% \n"
        in told
    )


@settings(max_examples=150)
@given(st.binary(max_size=200) | texts.mutilated())
def test_no_bytes_are_too_hostile(text: bytes) -> None:
    lines = reformat(text).splitlines()
    assert len(lines) <= text.count(b"=") * len(b"GPgpFOCcd")

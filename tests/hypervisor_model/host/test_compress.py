# SPDX-License-Identifier: GPL-2.0-only
"""Every codec keeps a page's contents and measures what it makes; the size model draws what its classes promise."""

from __future__ import annotations

import statistics
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.host.compress import Codec, SizeModel, codec_for
from tests.conformance.pages import page_from_spec

needs_lz4 = pytest.mark.skipif(find_spec("lz4") is None, reason="package lz4 is not installed")
CONTENTS = [
    pytest.param(("4.3", "lzo1x"), id="lzo1x-4.3"),
    pytest.param(("4.12", "lzo1x"), id="lzo1x-4.12"),
    pytest.param(("4.12", "lz4"), id="lz4", marks=needs_lz4),
]
SPECS = ["z", "r:1", "t:2:600", "t:3:4090", "c:4:1", "c:5:77"]


def token(kind: int, number: int) -> bytes:
    return (bytes((kind,)) + number.to_bytes(8, "little")).ljust(4096, b"\0")


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("spec", SPECS)
def test_contents_survive_and_are_measured(name: tuple[str, str], spec: str) -> None:
    codec, page = codec_for(*name), page_from_spec(spec)
    data = codec.compress(page)
    assert codec.measure(page) == (len(data), data[0])
    assert codec.decompress(data) == page
    assert codec.name == name[1]


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("damage", [b"", b"\0", b"\xff" * 40])
def test_damaged_data_is_refused(name: tuple[str, str], damage: bytes) -> None:
    with pytest.raises(ValueError):
        codec_for(*name).decompress(damage)


@needs_lz4
def test_lz4_data_for_less_than_a_page_is_refused() -> None:
    block = pytest.importorskip("lz4.block")
    with pytest.raises(ValueError, match="9 bytes, not 4096"):
        codec_for("4.3", "lz4").decompress(block.compress(b"too short", store_size=False))


def test_each_release_has_its_own_lzo() -> None:
    sizes = {release: codec_for(release).measure(page_from_spec("z"))[0] for release in ("4.3", "4.12")}
    assert sizes == {"4.3": 28, "4.12": 44}


def test_a_page_seen_before_is_not_compressed_again() -> None:
    codec: Codec = codec_for("4.3")
    assert codec.compress(page_from_spec("c:1:9")) is codec.compress(page_from_spec("c:1:9"))


def test_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no codec 'zip': there are lzo1x, lz4, model"):
        codec_for("4.3", "zip")


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    with pytest.raises(ValueError, match=r"pip install 'xm-tmem\[lz4\]'"):
        codec_for("4.3", "lz4")


@pytest.mark.parametrize("kind", range(5))
def test_drawn_sizes_scatter_by_an_eighth_around_the_share(kind: int) -> None:
    wanted = 4096 * SizeModel.SHARES[kind] // 256
    sizes = [SizeModel().measure(token(kind, number))[0] for number in range(2000)]
    assert min(sizes) >= wanted - wanted // 8
    assert max(sizes) <= min(4096, wanted + wanted // 8)
    assert statistics.mean(sizes) == pytest.approx(wanted if wanted < 4096 else 4096 - 4096 / 8 / 4, rel=0.01)


def test_page_of_no_class_cannot_be_compressed() -> None:
    assert SizeModel().measure(token(5, 1))[0] == SizeModel().measure(token(255, 1))[0] == 4096


@pytest.mark.parametrize("shares", [(0,), (257,), (1, -1)])
def test_impossible_shares_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        SizeModel(shares)


@given(kind=st.integers(0, 255), number=st.integers(0, 2**64 - 1))
def test_tokens_survive_the_size_model(kind: int, number: int) -> None:
    codec, page = codec_for("4.12", "model"), token(kind, number)
    data = codec.compress(page)
    assert codec.measure(page) == (len(data), data[0])
    assert codec.decompress(data) == page
    with pytest.raises(ValueError, match="not the compressed form"):
        codec.decompress(data + b"\0")


@given(number=st.integers(0, 2**64 - 1))
def test_a_bare_token_is_measured_as_the_page_it_stands_for(number: int) -> None:
    page = token(1, number)
    assert SizeModel().measure(page[:9]) == SizeModel().measure(page)

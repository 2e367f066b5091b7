# SPDX-License-Identifier: GPL-2.0-only
"""How a host compresses pages (C: tmh_compress_from_client, tmh_decompress_to_client).

Three codecs:
  lzo1x   Xen's own, byte for byte that of the release. For anything compared with Xen.
  lz4     about a hundred times as fast, and other sizes (package lz4). For large runs.
  model   sizes drawn, not computed, for runs whose pages carry a token instead of contents: see `SizeModel`.

Units     bytes.
Left out  the per-CPU buffers; a host without them, where C silently stores pages uncompressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from hypervisor_model.lib import lzo1x
from hypervisor_model.public.xen import PAGE_SIZE

CODECS: Final = ("lzo1x", "lz4", "model")
REMEMBERED_PAGES: Final = 1024  # about 6 MB


class Codec(Protocol):
    """Compresses pages of 4096 bytes; equal pages give equal data."""

    name: str

    def measure(self, page: bytes) -> tuple[int, int]:
        """The size of the compressed page and its first byte: all that a host that keeps `page` need know."""

    def compress(self, page: bytes) -> bytes:
        """The compressed page; it may be longer than the page."""

    def decompress(self, data: bytes) -> bytes:
        """The page again. Raises ValueError for data that `compress` did not make."""


@mypyc_attr(allow_interpreted_subclasses=True)
class PageCodec:
    """A codec that works on contents. It remembers the latest pages, because equal pages recur."""

    __slots__ = ("_decompress", "_remembered", "name")

    def __init__(
        self, name: str, compress: Callable[[bytes], bytes], decompress: Callable[[bytes], bytes]
    ) -> None:
        self.name = name
        self._remembered = lru_cache(REMEMBERED_PAGES)(compress)
        self._decompress = decompress

    def measure(self, page: bytes) -> tuple[int, int]:
        data = self._remembered(page)
        return len(data), data[0]

    def compress(self, page: bytes) -> bytes:
        return self._remembered(page)

    def decompress(self, data: bytes) -> bytes:
        return self._decompress(data)


@mypyc_attr(allow_interpreted_subclasses=True)
class SizeModel:
    """Sizes for pages that are only a token: byte 0 the class of the content, bytes 1 to 8 its number, then zeros.

    A page of class c leaves `shares[c]` 256ths of itself, give or take an eighth of that as its number decides; a
    page whose first byte is no class cannot be compressed. The first byte of the data is drawn from the number too.
    """

    __slots__ = ("_shares", "name")

    # Zero, text, compressible, random, sparse.
    SHARES: Final = (1, 128, 64, 256, 32)
    TOKEN_BYTES: Final = 9

    def __init__(self, shares: Sequence[int] = SHARES) -> None:
        if not all(0 < share <= 256 for share in shares):
            raise ValueError("the share of a page that compression leaves is 1 to 256 parts of 256")
        self.name = "model"
        self._shares = tuple(shares)

    def measure(self, page: bytes) -> tuple[int, int]:
        kind = page[0]
        drawn = int.from_bytes(page[1:9], "little") * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        if kind >= len(self._shares):
            return PAGE_SIZE, drawn >> 56
        size = PAGE_SIZE * self._shares[kind] >> 8
        spread = size >> 3
        size += (drawn >> 32 & 0xFFFF) * (2 * spread + 1) // 0x10000 - spread
        return min(size, PAGE_SIZE), drawn >> 56

    def compress(self, page: bytes) -> bytes:
        size, first = self.measure(page)
        return bytes((first,)) + page[: self.TOKEN_BYTES].ljust(size - 1, b"\0")

    def decompress(self, data: bytes) -> bytes:
        page = data[1 : 1 + self.TOKEN_BYTES].ljust(PAGE_SIZE, b"\0")
        if self.measure(page) != (len(data), data[0]):
            raise ValueError("not the compressed form of a page token")
        return page


def codec_for(release: str, name: str = "lzo1x") -> Codec:
    """The codec `name` of a host of `release`. Raises ValueError where there is none, or its package is missing."""
    if name == "lzo1x":
        return PageCodec(
            name, lzo1x.compress_43 if release == "4.3" else lzo1x.compress_412, lzo1x.decompress
        )
    if name == "lz4":
        return _lz4()
    if name == "model":
        return SizeModel()
    raise ValueError(f"no codec {name!r}: there are {', '.join(CODECS)}")


def _lz4() -> PageCodec:
    try:
        block = import_module("lz4.block")
    except ImportError:
        raise ValueError("the codec lz4 needs the package lz4: pip install 'xm-tmem[lz4]'") from None

    def compress(page: bytes) -> bytes:
        data: bytes = block.compress(page, store_size=False)
        return data

    def decompress(data: bytes) -> bytes:
        try:
            page: bytes = block.decompress(data, uncompressed_size=PAGE_SIZE)
        except block.LZ4BlockError as error:
            raise ValueError(f"LZ4 data is damaged: {error}") from None
        if len(page) != PAGE_SIZE:
            raise ValueError(f"LZ4 data stands for {len(page)} bytes, not {PAGE_SIZE}")
        return page

    return PageCodec("lz4", compress, decompress)

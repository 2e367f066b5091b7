# SPDX-License-Identifier: GPL-2.0-only
"""What the pages of a simple workload hold, by class, so that dedup, tze and compression have something to do.

A page depends on the class, the guest's seed, its number in the working set and how often it was rewritten, and
on nothing else. The class `shared` leaves the guest out: clones of one image hold the same pages.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from typing import Final

from hypervisor_model.guests.contents import COMPRESSIBLE, RANDOM, SPARSE, TEXT, ZERO
from hypervisor_model.public.xen import PAGE_SIZE

CLASSES: Final[Mapping[str, str]] = {
    "random": "no two pages alike, and nothing to compress",
    "compressible": "half noise, half repetition",
    "text": "words",
    "sparse": "a quarter of noise, then zeros to the end",
    "zero": "nothing but zeros",
    "shared": "text that every guest with this class has at the same page number",
}

_TOKEN_CLASSES: Final = {
    "random": RANDOM,
    "compressible": COMPRESSIBLE,
    "text": TEXT,
    "sparse": SPARSE,
    "zero": ZERO,
    "shared": TEXT,
}
_TOKEN: Final = struct.Struct("<BQ")  # class, number
_SPREAD: Final = 0x9E3779B97F4A7C15
_SPREAD_2: Final = 0xC2B2AE3D27D4EB4F
_WORD: Final = (1 << 64) - 1
_STAMP: Final = struct.Struct("<QQ")  # page number, rewrites
_SHARED_SEED: Final = "shared by all"
_WORDS: Final = (
    b"the domain keeps a page of memory for every file it has read and may be asked to give back".split()
)


class PageMaker:
    """Makes the pages of one guest: 4096 bytes each or, with `tokens`, the nine that stand for them."""

    __slots__ = ("_body", "_per_guest", "_salt", "_token_class", "content")

    def __init__(self, content: str, seed: str, *, tokens: bool = False) -> None:
        self.content = content
        self._per_guest = content != "shared"
        rng = random.Random(f"{seed if self._per_guest else _SHARED_SEED} pages")
        self._salt = rng.getrandbits(64)
        self._token_class = _TOKEN_CLASSES[content] if tokens else None
        self._body = _body(content, rng)

    def page(self, number: int, rewrites: int) -> bytes:
        """Page `number` of the working set after so many rewrites."""
        if not self._per_guest:
            rewrites = 0
        if self._token_class is not None:
            if self.content == "zero":
                return _TOKEN.pack(ZERO, 0)
            return _TOKEN.pack(
                self._token_class, self._salt + number * _SPREAD + rewrites * _SPREAD_2 & _WORD
            )
        if self.content == "zero":
            return self._body
        return _STAMP.pack(number, rewrites) + self._body


def _body(content: str, rng: random.Random) -> bytes:
    """What follows the stamp."""
    if content == "zero":
        return bytes(PAGE_SIZE)
    room = PAGE_SIZE - _STAMP.size
    if content == "random":
        return rng.randbytes(room)
    if content == "compressible":
        return (rng.randbytes(room // 2) + b"tmem" * room)[:room]
    if content == "sparse":
        return rng.randbytes(room // 4).ljust(room, b"\0")
    count = len(_WORDS)
    words = b" ".join(_WORDS[int(rng.random() * count)] for _ in range(room))
    return words[:room]

# SPDX-License-Identifier: GPL-2.0-only
"""What is in a guest's pages: small tokens that stand for 4096 bytes, or the bytes themselves.

A token is nine bytes, a class and a number: equal tokens mean equal pages, so deduplication sees what it would see.
The class says how a page behaves under compression and trailing-zero elimination; `expand` makes a real page of it.
Units     a mix gives shares of 256 pages.
Left out  any likeness to real text beyond its compressed size.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from hypervisor_model.guests.handle import FS_SHIFT
from hypervisor_model.public.xen import PAGE_SIZE

ZERO, TEXT, COMPRESSIBLE, RANDOM, SPARSE = range(5)
CLASSES: Final = ("zero", "text", "compressible", "random", "sparse")
ZERO_TOKEN: Final = bytes(9)
SHARED: Final = 1 << 63  # in a token's number: the page is of an image that several guests were cloned from
CLUSTER: Final = 1 << 62  # and is of a file system that several guests have mounted at once

# Share of a page that is left after LZO, in 256ths: text 1/2, compressible 1/4, random none, sparse 1/8.
COMPRESSED_256THS: Final = (1, 128, 64, 256, 32)

FILE_MIX: Final = {"text": 0.55, "compressible": 0.20, "random": 0.15, "sparse": 0.05, "zero": 0.05}
ANON_MIX: Final = {"text": 0.30, "compressible": 0.45, "random": 0.10, "zero": 0.15}  # zero: 10-20 % of swap

_SPREAD: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1
_ANY_FS: Final = (1 << FS_SHIFT) - 1


def class_table(mix: dict[str, float]) -> bytes:
    """256 classes in the proportions of `mix`; raises ValueError for a name or a share that makes no sense."""
    unknown = set(mix) - set(CLASSES)
    if unknown:
        raise ValueError(
            f"no such content class: {', '.join(sorted(unknown))}; there are {', '.join(CLASSES)}"
        )
    total = sum(mix.values())
    if total <= 0 or min(mix.values()) < 0:
        raise ValueError("the shares of a content mix are positive numbers")
    table = bytearray()
    reached = 0.0
    for name, share in mix.items():
        reached += share / total * 256
        table += bytes([CLASSES.index(name)]) * (round(reached) - len(table))
    return bytes(table)


@mypyc_attr(allow_interpreted_subclasses=True)
class Contents:
    """The pages of one guest. File pages are told by key and version, anonymous ones by a running number.

    `image`: guests with the same image number find equal bytes in files they have not written to.
    `cluster`: the same for the files of mount 0 alone, a cluster's file system; up to 22 bits.
    """

    __slots__ = ("_anon", "_file", "_first", "_image", "_private", "_repeat", "_serial")

    def __init__(
        self,
        guest: int,
        *,
        image: int | None = None,
        cluster: int | None = None,
        file_mix: dict[str, float] = FILE_MIX,
        anon_mix: dict[str, float] = ANON_MIX,
        anon_repeat: int = 0,
    ) -> None:
        self._private = (guest & 0x7FFF) << 40
        self._image = self._private if image is None else SHARED | (image & 0x7FFF) << 40
        self._first = self._image if cluster is None else SHARED | CLUSTER | (cluster & 0x3FFFFF) << 40
        self._file = class_table(file_mix)
        self._anon = class_table(anon_mix)
        self._repeat = anon_repeat  # in 256ths: anonymous pages that repeat one of 16 common contents
        self._serial = 0

    def file_page(self, key: int, version: int = 0) -> bytes:
        """The token of a file's page; `version` counts the times it was written."""
        image = self._image if key > _ANY_FS else self._first
        if self._image is not self._private:
            key &= _ANY_FS  # files of an image are the same wherever they are mounted
        mixed = ((key + version) * _SPREAD) & _WORD
        kind = self._file[mixed >> 56]
        if not kind:
            return ZERO_TOKEN
        owner = self._private if version else image
        # Forty bits of the spread key tell pages of one owner apart (two in a million pages may coincide).
        return (kind << 64 | mixed >> 24 ^ owner).to_bytes(9, "big")

    def anon_page(self) -> bytes:
        """The token of an anonymous page that was written since it last left memory."""
        self._serial += 1
        mixed = (self._serial * _SPREAD) & _WORD
        kind = self._anon[mixed >> 56]
        if not kind:
            return ZERO_TOKEN
        number = self._serial if mixed >> 48 & 255 >= self._repeat else mixed >> 44 & 15
        return (kind << 64 | self._private | number).to_bytes(9, "big")


@mypyc_attr(allow_interpreted_subclasses=True)
class ExpandedContents(Contents):
    """The same pages as bytes, for a host that looks inside them."""

    __slots__ = ()

    def file_page(self, key: int, version: int = 0) -> bytes:
        return expand(super().file_page(key, version))

    def anon_page(self) -> bytes:
        return expand(super().anon_page())


def compressed_bytes(token: bytes) -> int:
    """The size model: what LZO would leave of the page."""
    return PAGE_SIZE * COMPRESSED_256THS[token[0]] >> 8


def expand(token: bytes) -> bytes:
    """A page of 4096 bytes that compresses about as the token's class says; equal tokens, equal pages."""
    import random

    kind = token[0]
    if kind == ZERO:
        return bytes(PAGE_SIZE)
    unlike = PAGE_SIZE * COMPRESSED_256THS[kind] >> 8
    head = random.Random(token).randbytes(unlike)
    if kind == SPARSE:
        return head + bytes(PAGE_SIZE - unlike)
    return (head * (PAGE_SIZE // unlike + 1))[:PAGE_SIZE]

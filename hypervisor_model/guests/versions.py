# SPDX-License-Identifier: GPL-2.0-only
"""How often each page of a guest's files was written: which content it has on the disk.

Every page ever written has a count, long after it left memory. So they are kept in blocks of 64 pages that lie side by
side in a file, some 7 bytes for each page where a dict takes 40.
"""

from array import array
from typing import Final

from mypy_extensions import mypyc_attr

BLOCK_SHIFT: Final = 6
IN_BLOCK: Final = (1 << BLOCK_SHIFT) - 1
_UNWRITTEN: Final = array("I", bytes(4 << BLOCK_SHIFT))


@mypyc_attr(allow_interpreted_subclasses=True)
class Versions:
    """By a page's key; 0: as it was at first."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}

    def of(self, key: int) -> int:
        block = self._blocks.get(key >> BLOCK_SHIFT)
        return 0 if block is None else block[key & IN_BLOCK]

    def wrote(self, key: int) -> None:
        """The page has a new content from now on."""
        block = self._blocks.get(key >> BLOCK_SHIFT)
        if block is None:
            block = self._blocks[key >> BLOCK_SHIFT] = _UNWRITTEN[:]
        block[key & IN_BLOCK] += 1

    def forget(self, first: int, length: int) -> None:
        """The pages are gone; should there be others in their place, those are new."""
        for number in range(first >> BLOCK_SHIFT, (first + length - 1 >> BLOCK_SHIFT) + 1):
            block = self._blocks.get(number)
            if block is None:
                continue
            start, stop = number << BLOCK_SHIFT, (number + 1) << BLOCK_SHIFT
            for key in range(max(first, start), min(first + length, stop)):
                block[key & IN_BLOCK] = 0
            if block == _UNWRITTEN:
                del self._blocks[number]

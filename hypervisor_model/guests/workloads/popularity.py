# SPDX-License-Identifier: GPL-2.0-only
"""Pages of a file by popularity: Zipf's law over a shuffled file.

Draws the same pages from the same random numbers as random.choices, but finds each in constant time by a guide table
(Chen and Asau 1974) where choices halves the whole file.
"""

import random
from array import array
from itertools import accumulate

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Popularity:
    """The page of rank r is drawn in proportion to 1 / (r + 1)**skew; ranks are spread over the file's `pages`.

    `image_seed`: those who give the same one prefer the same pages; None: `rng` says which, too.
    """

    __slots__ = ("_guide", "_keys", "_rng", "_scale", "_total", "_weights")

    def __init__(
        self, rng: random.Random, first: int, pages: int, skew: float, image_seed: str | None = None
    ) -> None:
        self._rng = rng
        self._keys = [first + number for number in range(pages)]
        (rng if image_seed is None else random.Random(image_seed)).shuffle(self._keys)
        self._weights = array("d", accumulate(round((rank + 1) ** -skew, 9) for rank in range(pages)))
        self._total: float = self._weights[-1]
        self._scale: float = pages / self._total
        # By stretch of the sum of all weights, as many as pages: the first rank that ends in it or beyond. What a
        # number in the stretch stands for is that rank or one soon after it.
        self._guide = array("I")
        rank = 0
        for stretch in range(pages + 1):
            while rank < pages - 1 and int(self._weights[rank] * self._scale) < stretch:
                rank += 1
            self._guide.append(rank)

    def draw(self, count: int) -> list[int]:
        """Keys of so many pages."""
        uniform, weights, guide, keys = self._rng.random, self._weights, self._guide, self._keys
        total, scale = self._total, self._scale
        drawn = []
        for _ in range(count):
            number = uniform() * total
            rank = guide[int(number * scale)]
            while weights[rank] <= number:
                rank += 1
            drawn.append(keys[rank])
        return drawn

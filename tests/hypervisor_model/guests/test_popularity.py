# SPDX-License-Identifier: GPL-2.0-only
"""Drawing by popularity, against random.choices."""

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.guests.workloads.popularity import Popularity


@given(
    seed=st.integers(0, 1000),
    pages=st.integers(1, 300),
    skew=st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.5, 8.0]),
)
def test_the_draws_are_those_of_random_choices(seed: int, pages: int, skew: float) -> None:
    other = random.Random(seed)
    keys = [700 + number for number in range(pages)]
    other.shuffle(keys)
    weights = list(accumulate(round((rank + 1) ** -skew, 9) for rank in range(pages)))
    popularity = Popularity(random.Random(seed), 700, pages, skew)
    for count in (1, 40, 200):
        assert popularity.draw(count) == other.choices(keys, cum_weights=weights, k=count)


class Fixed(random.Random):
    """Always the same number, but in shuffling."""

    number = 0.5

    def random(self) -> float:
        return self.number

    def getrandbits(self, k: int, /) -> int:
        return super().getrandbits(k)


@pytest.mark.parametrize(("number", "rank"), [(0.0, 0), (1 - 2**-53, -1)])
@pytest.mark.parametrize("pages", [1, 2, 7, 1000])
def test_the_ends_of_the_interval_are_the_first_and_the_last_rank(
    pages: int, number: float, rank: int
) -> None:
    dice = Fixed(1)
    dice.number = number
    popularity = Popularity(dice, 0, pages, 1.0)
    ranked = list(range(pages))
    random.Random(1).shuffle(ranked)
    assert popularity.draw(1) == [ranked[rank]]


@pytest.mark.parametrize(("number", "rank"), [(0.25, 1), (0.5, 2), (0.75, 3), (0.74999, 2)])
def test_a_number_on_the_border_of_two_ranks_is_the_later_ones(number: float, rank: int) -> None:
    dice = Fixed(1)
    dice.number = number
    ranked = list(range(4))
    random.Random(1).shuffle(ranked)
    assert Popularity(dice, 0, 4, skew=0.0).draw(1) == [ranked[rank]]

# SPDX-License-Identifier: GPL-2.0-only
"""Our NamedTuple does what that of `typing` does, as far as records need it."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import pytest

from xm_tmem import named_tuple


class Theirs(typing.NamedTuple):
    first: int
    index: int  # type: ignore[assignment]
    last: str = "x"

    @property
    def both(self) -> int:
        return self.first + self.index


class Ours(named_tuple.NamedTuple):
    first: int
    index: int  # type: ignore[assignment]
    last: str = "x"

    @property
    def both(self) -> int:
        return self.first + self.index


GOOD: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1, 2), {}),
    ((1, 2, "z"), {}),
    ((1,), {"index": 3}),
    ((), {"last": "y", "index": 3, "first": 1}),
]
BAD: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((1, 2, "z", 4), {}),
    ((1, 2), {"first": 3}),
    ((1, 2), {"nonsense": 3}),
    ((1,), {"last": "z"}),
]


@pytest.mark.parametrize(("values", "named"), GOOD)
def test_it_is_made_and_asked_alike(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert tuple(ours) == theirs
    assert (ours.first, ours.index, ours.last, ours.both) == (
        theirs.first,
        theirs.index,
        theirs.last,
        theirs.both,
    )
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert hash(ours) == hash(theirs)
    assert ours._asdict() == theirs._asdict()
    assert tuple(ours._replace(first=9)) == theirs._replace(first=9)
    for other in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
        assert other == ours
        assert type(other) is Ours


@pytest.mark.parametrize(("values", "named"), BAD)
@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_what_does_not_fit_is_refused(kind: Any, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        kind(*values, **named)


def test_its_fields_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        Ours(1, 2).first = 3  # type: ignore[misc]

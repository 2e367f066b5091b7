# SPDX-License-Identifier: GPL-2.0-only
"""What a record of the listing is made of: tags declared in a class body, values kept in a tuple.

A listing of a large host has some five thousand lines of twenty values, and a command that prints one lives for a
few hundredths of a second. A record is therefore a tuple with named items, built in one call, and not a dataclass
(whose module alone imports `inspect`). A subclass writes `name: int | None = tag("Pc", ...)`; the class statement
collects the tags in order and puts plain accessors in their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, ClassVar

FIRST_RELEASE, LAST_RELEASE = "4.0", "4.12"


class Tag:
    """One two-letter key of one type of line.

    key      the two letters, or the prefix and letter of a `T=` value; case matters
    name     long, stable name: never reused for anything else
    unit     pages, frames, bytes, cycles, calls, objects, nodes, descriptors, flag, number, id, hex, letters, ids
    kind     counter (only grows), gauge, high-water, low-water, setting, id
    since    first release that prints it;  until: the last
    caveat   what a reader must know before believing the value; "" for nothing
    metric   stem of its name as a metric where `name` makes a poor one
    """

    __slots__ = ("caveat", "help", "key", "kind", "metric", "name", "since", "unit", "until")

    def __init__(
        self,
        key: str,
        help: str,  # noqa: A002  (the word of argparse, click and Prometheus for this)
        *,
        unit: str,
        kind: str,
        name: str = "",
        since: str = FIRST_RELEASE,
        until: str = LAST_RELEASE,
        caveat: str = "",
        metric: str = "",
    ) -> None:
        self.key, self.help, self.unit, self.kind, self.name = key, help, unit, kind, name
        self.since, self.until, self.caveat, self.metric = since, until, caveat, metric

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Tag({self.key}, {self.name}, {self.unit}, {self.kind})"


def tag(key: str, help: str, *, unit: str = "calls", kind: str = "counter", **more: str) -> Any:  # noqa: A002
    """A tag in a record's class body. Any: to a type checker the attribute has the type it is annotated with."""
    return Tag(key, help, unit=unit, kind=kind, **more)


class Record(tuple[Any, ...]):
    """One line of a listing: a value for each tag, in the order of `tags`; None means the line did not say.

    The last item, `unknown`, holds what the line said beyond the table, as pairs of key and text.
    """

    __slots__ = ()
    line: ClassVar[str] = ""  # the letter the line begins with
    tags: ClassVar[tuple[Tag, ...]] = ()
    by_key: ClassVar[Mapping[str, int]] = {}  # two-letter key -> position
    by_name: ClassVar[Mapping[str, int]] = {}  # long name -> position
    unknown: tuple[tuple[str, str], ...]

    def __init_subclass__(cls, *, line: str = "", more: Iterable[Tag] = ()) -> None:
        """Collect the tags of the class body, then those of its bases, then `more`. Without `line`: a base only."""
        if not line:
            return
        bodies = [vars(base).values() for base in cls.__mro__]
        cls.line = line
        cls.tags = (*(value for body in bodies for value in body if isinstance(value, Tag)), *more)
        cls.by_key = {each.key: position for position, each in enumerate(cls.tags)}
        cls.by_name = {each.name: position for position, each in enumerate(cls.tags)}
        for position, each in enumerate(cls.tags):
            setattr(cls, each.name, property(itemgetter(position), doc=each.help))
        cls.unknown = property(itemgetter(len(cls.tags)))  # type: ignore[assignment]

    @classmethod
    def of(cls, *, unknown: tuple[tuple[str, str], ...] = (), **values: Any) -> Any:
        """A record from values by long name; the rest is None. Raises KeyError for a name that is not there."""
        items: list[Any] = [None] * len(cls.tags)
        for name, value in values.items():
            items[cls.by_name[name]] = value
        return cls((*items, unknown))

    def named(self) -> dict[str, Any]:
        """Every value by long name, None included; `unknown` left out."""
        return dict(zip(self.by_name, self, strict=False))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.named().items() if value is not None)
        return f"{type(self).__name__}({said})"

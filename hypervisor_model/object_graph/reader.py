# SPDX-License-Identifier: GPL-2.0-only
"""From rows to the object graph they were made of; see `kinds` for what they may name."""

from __future__ import annotations

import json
import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from hypervisor_model.object_graph.kinds import (
    CLASS_PREFIX,
    MAX_TUPLE_DEPTH,
    SCALARS,
    UNSET,
    GraphError,
    Row,
    attribute_names,
    class_of,
    named,
)


class GraphReader:
    """Puts a graph together: `make` for every row, then `fill` for every row."""

    def __init__(self, count: int, externals: Mapping[str, object]) -> None:
        self._objects: list[Any] = [UNSET] * count
        self._externals = externals

    def root(self) -> Any:
        """The object the graph was written from."""
        return self._objects[0]

    def make(self, row: Row) -> None:
        """The row's objects, still empty. Raises GraphError."""
        kind, raw_numbers, body = row
        numbers = _numbers(raw_numbers, len(self._objects))
        made: Iterable[Any]
        if kind == "bytes":
            made = _cut(body, len(numbers))
        elif kind in ("deque", "bytearray", "array"):  # cannot be made before what is in them is known
            return
        else:
            made = _blank(class_of(kind), len(numbers))
        self._place(numbers, made)

    def fill(self, row: Row) -> None:
        """What is in the row's objects. Raises GraphError."""
        kind, raw_numbers, body = row
        if kind == "bytes":
            return
        numbers = _numbers(raw_numbers, len(self._objects))
        try:
            state = json.loads(body)
            if kind in ("bytearray", "array"):
                return
            objects = [self._objects[number] for number in numbers]
            if kind.startswith(CLASS_PREFIX):
                self._fill_instances(class_of(kind), objects, state)
            else:
                self._fill_containers(kind, objects, state)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise GraphError(f"a damaged row of {kind}: {error}") from None

    def make_late(self, row: Row) -> None:
        """Objects that are made from bytes or are bounded: between `make` and `fill` of all rows."""
        kind, raw_numbers, body = row
        if kind not in ("deque", "bytearray", "array"):
            return
        numbers = _numbers(raw_numbers, len(self._objects))
        try:
            state = json.loads(body)
            if kind == "deque":
                made: list[Any] = [deque(maxlen=limit) for limit in state["maxlen"]]
            else:
                data = self._decode_column(state["data"], len(numbers))
                made = [
                    bytearray(raw) if kind == "bytearray" else array(code, raw)
                    for code, raw in zip(state["code"], data, strict=True)
                ]
        except (ValueError, TypeError, KeyError) as error:
            raise GraphError(f"a damaged row of {kind}: {error}") from None
        self._place(numbers, made)

    def _place(self, numbers: Sequence[int], made: Iterable[Any]) -> None:
        objects = self._objects
        for number, value in zip(numbers, made, strict=True):
            if objects[number] is not UNSET:
                raise GraphError(f"object {number} is there twice")
            objects[number] = value

    def _fill_instances(self, cls: type, objects: list[Any], state: dict[str, Any]) -> None:
        names = attribute_names(cls)
        if sorted(state.keys() - {"__dict__"}) != names:
            raise GraphError(
                f"{cls.__qualname__} had other attributes when this was written: another version's"
            )
        for name in names:
            values = self._decode_column(state[name], len(objects))
            store: Callable[[Any, Any], None] = getattr(cls, name).__set__
            if UNSET in values:
                for value, content in zip(objects, values, strict=True):
                    if content is not UNSET:
                        store(value, content)
            else:
                deque(map(store, objects, values), maxlen=0)  # the loop in C
        if "__dict__" in state:
            for value, content in zip(
                objects, self._decode_column(state["__dict__"], len(objects)), strict=True
            ):
                value.__dict__ = content

    def _fill_containers(self, kind: str, objects: list[Any], state: dict[str, Any]) -> None:
        if kind == "random":
            for value, content in zip(
                objects, self._decode_column(state["state"], len(objects)), strict=True
            ):
                value.setstate(content)
            return
        lengths: list[int] = state["length"]
        total = sum(lengths)
        if "keys" in state:
            keys = iter(self._decode_column(state["keys"], total))
            values = iter(self._decode_column(state["values"], total))
            for value, length in zip(objects, lengths, strict=True):
                value.update(zip(islice(keys, length), islice(values, length), strict=True))
            return
        items = iter(self._decode_column(state["items"], total))
        for value, length in zip(objects, lengths, strict=True):
            (value.update if kind == "set" else value.extend)(islice(items, length))

    def _decode_column(self, column: dict[str, list[Any]], count: int) -> list[Any]:
        ((mode, values),) = column.items()
        if len(values) != count:
            raise GraphError("a column of another length than its row")
        if mode == "plain":
            if not set(map(type, values)) <= SCALARS:
                raise GraphError("a column of numbers with something else in it")
            return values
        if mode == "refs":
            objects = self._objects
            return [None if number is None else objects[_index(number)] for number in values]
        if mode == "mixed":
            return [self._decode(value) for value in values]
        raise GraphError(f"a column of unknown form {mode!r}")

    def _decode(self, value: Any, depth: int = 0) -> Any:
        if type(value) in SCALARS:
            return value
        if type(value) is not list:
            raise GraphError("a value of unknown form")
        tag, *rest = value
        if tag == "ref":
            return self._objects[_index(rest[0])]
        if tag == "unset":
            return UNSET
        if tag == "name":
            return named(rest[0])
        if tag == "external":
            return self._externals[rest[0]]
        if tag in ("tuple", "frozenset") and depth < MAX_TUPLE_DEPTH:
            items = [self._decode(item, depth + 1) for item in rest]
            return tuple(items) if tag == "tuple" else frozenset(items)
        if tag == "range":
            return range(*rest)
        if tag == "enum":
            return named(rest[0])[rest[1]]
        if tag == "method":
            owner = self._objects[_index(rest[0])]
            if not callable(getattr(type(owner), rest[1])) or rest[1].startswith("__"):
                raise GraphError(f"{rest[1]} is no method of a {type(owner).__qualname__}")
            return getattr(owner, rest[1])
        raise GraphError(f"a value of unknown form {tag!r}")


def _blank(cls: Any, count: int) -> list[Any]:
    """Instances that nothing has been done to."""
    try:
        return [cls.__new__(cls) for _ in range(count)]
    except TypeError:  # a compiled class insists on its __init__
        raise GraphError(f"{cls.__qualname__} is compiled: XM_TMEM_PURE=1 uses the sources") from None


def _numbers(raw: bytes, count: int) -> Sequence[int]:
    if len(raw) % 8:
        raise GraphError("a row whose numbers are cut off")
    numbers = array("Q", raw)
    if numbers and max(numbers) >= count:
        raise GraphError(f"object {max(numbers)} of {count}")
    return numbers


def _index(number: Any) -> int:
    """Negative numbers would count from the end."""
    if type(number) is not int or number < 0:
        raise GraphError(f"{number!r} is no object's number")
    return number


def _cut(body: bytes, count: int) -> Iterator[bytes]:
    """The byte strings of a row."""
    at = 4 * count
    if len(body) < at:
        raise GraphError("a row of bytes that is cut off")
    lengths = struct.unpack_from(f"<{count}I", body)
    if at + sum(lengths) != len(body):
        raise GraphError("a row of bytes of another length than it says")
    for length in lengths:
        yield body[at : at + length]
        at += length

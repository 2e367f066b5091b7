# SPDX-License-Identifier: GPL-2.0-only
"""The object graph of a model as rows of text and bytes, and back: what a checkpoint holds.

A row has the objects of one kind, up to BATCH of them, each with a number that others refer to it by. Instances of
this package's classes are kept attribute by attribute, a column for each. Nothing is ever executed to read one
back: kinds are builtins or classes of this package, made by `__new__` and filled; constants, functions and methods
of this package are kept by name. Neither direction recurses along references, so lists of any length will do.

Left out  identity of tuples and of numbers and text; whatever is not plain data (generators, lambdas, open files)
          is refused with the attribute that holds it.
"""

from __future__ import annotations

import enum
import gc
import json
import random
import struct
import sys
import types
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final

BATCH: Final = 4096
BYTES_BATCH: Final = 256
PACKAGE: Final = "hypervisor_model"

Row = tuple[str, bytes, bytes]
"""Kind, the objects' numbers (native u64), and their state: JSON, or for kind `bytes` lengths and data."""

_SCALARS: Final = frozenset({int, str, bool, float, type(None)})
_CONTAINERS: Final = {
    list: "list",
    dict: "dict",
    OrderedDict: "ordered dict",
    set: "set",
    deque: "deque",
    bytes: "bytes",
    bytearray: "bytearray",
    array: "array",
    random.Random: "random",
}
_NOT_TAKEN_APART: Final = (enum.Enum, type, BaseException, tuple, frozenset, int, float, str, *_CONTAINERS)
_MAX_TUPLE_DEPTH: Final = 16
_CLASS_PREFIX: Final = "class "


class GraphError(ValueError):
    """An object that cannot be kept, or rows that no graph can be made of."""


class _Unset:
    """Stands for an attribute without a value."""


_UNSET: Final = _Unset()


def attribute_names(cls: type) -> list[str]:
    """The slots of a class and its bases, by name; of a compiled class its attributes."""
    names: set[str] = set()
    for base in cls.__mro__:
        slots = base.__dict__.get("__mypyc_attrs__", base.__dict__.get("__slots__", ()))
        names.update([slots] if isinstance(slots, str) else slots)
    return sorted(names - {"__dict__", "__weakref__"})


def named_objects() -> dict[int, str]:
    """By id: what modules of this package define and objects may point to; "module:name"."""
    found: dict[int, str] = {}
    for module_name, module in sorted(sys.modules.items()):
        if _in_package(module_name):
            for name, value in vars(module).items():
                if "__" not in name and type(value) not in _SCALARS and _may_be_named(value):
                    found.setdefault(id(value), f"{module_name}:{name}")
    return found


def _in_package(module_name: object) -> bool:
    return isinstance(module_name, str) and module_name.partition(".")[0] == PACKAGE


def _may_be_named(value: object) -> bool:
    """Constants may, and functions and classes of this package; never what it imported from elsewhere."""
    if isinstance(value, types.ModuleType):
        return False
    return _in_package(getattr(value, "__module__", None)) or not callable(value)


class GraphWriter:
    """Takes a graph apart. `rows` may be used once. `externals`, by name, are not taken apart but only named."""

    def __init__(self, externals: Mapping[str, object]) -> None:
        self._names = named_objects()
        self._externals = {id(value): name for name, value in externals.items()}
        self._names.update(self._externals)
        self._numbers: dict[int, int] = {}
        self._pending: dict[type, list[Any]] = {}
        self._kept: list[Any] = []  # objects made on the way, whose ids must stay theirs

    def rows(self, root: object) -> Iterator[Row]:
        """The rows of everything that `root` leads to; `root` has number 0. Raises GraphError."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            self._number(root)
            pending = self._pending
            while pending:
                cls = next(iter(pending))
                waiting = pending[cls]
                size = BYTES_BATCH if cls is bytes else BATCH
                batch, rest = waiting[-size:], waiting[:-size]
                if rest:
                    del waiting[-size:]
                else:
                    del pending[cls]
                yield self._row(cls, batch)
        finally:
            if was_enabled:
                gc.enable()

    def __len__(self) -> int:
        """Objects found so far."""
        return len(self._numbers)

    def _number(self, value: Any) -> int:
        """The number by which others refer to `value`."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._numbers)
            self._pending.setdefault(type(value), []).append(value)
        return number

    def _row(self, cls: type, batch: list[Any]) -> Row:
        numbers = array("Q", [self._numbers[id(value)] for value in batch]).tobytes()
        if cls is bytes:
            return "bytes", numbers, b"".join([struct.pack(f"<{len(batch)}I", *map(len, batch)), *batch])
        kind = _CONTAINERS.get(cls)
        if kind is None:
            kind, state = f"{_CLASS_PREFIX}{cls.__module__}:{cls.__qualname__}", self._instances(cls, batch)
        else:
            state = self._containers(cls, batch)
        return kind, numbers, json.dumps(state, separators=(",", ":")).encode()

    def _instances(self, cls: type, batch: list[Any]) -> dict[str, Any]:
        if not _is_own(cls):
            raise GraphError(f"a {cls.__module__}.{cls.__qualname__} cannot be kept in a checkpoint")
        names = attribute_names(cls)
        state = {}
        for name in names:
            get = attrgetter(name)
            try:
                column = list(map(get, batch))
            except AttributeError:  # not everywhere set
                column = [getattr(value, name, _UNSET) for value in batch]
            state[name] = self._column(column, f"{cls.__qualname__}.{name}")
        if hasattr(batch[0], "__dict__"):
            state["__dict__"] = self._column(
                [value.__dict__ for value in batch], f"{cls.__qualname__}.__dict__"
            )
        return state

    def _containers(self, cls: type, batch: list[Any]) -> dict[str, Any]:
        if cls is random.Random:
            return {"state": self._column([value.getstate() for value in batch], "random.Random")}
        if cls in (bytearray, array):
            copies = [bytes(value) for value in batch]
            self._kept += copies
            codes = [value.typecode if cls is array else "B" for value in batch]
            return {"code": codes, "data": self._column(copies, cls.__name__)}
        state: dict[str, Any] = {"length": list(map(len, batch))}
        if cls in (dict, OrderedDict):
            state["keys"] = self._column(list(chain.from_iterable(batch)), "a key")
            state["values"] = self._column(
                list(chain.from_iterable(map(dict.values, batch))), "a dict's value"
            )
        else:
            state["items"] = self._column(list(chain.from_iterable(batch)), f"an item of a {cls.__name__}")
            if cls is deque:
                state["maxlen"] = [value.maxlen for value in batch]
        return state

    def _column(self, values: list[Any], where: str) -> dict[str, list[Any]]:
        """Values as they are if all are scalars, else as numbers (or null) if all are objects, else mixed."""
        kinds = set(map(type, values))
        if kinds <= _SCALARS:
            return {"plain": values}
        if all(kind in _CONTAINERS or _is_own(kind) for kind in kinds - {type(None)}) and not self._names_any(
            values
        ):
            number = self._number
            numbers = self._numbers
            found: list[int | None] = []
            for value in values:
                known = numbers.get(id(value))
                found.append(None if value is None else number(value) if known is None else known)
            return {"refs": found}
        return {"mixed": [self._encode(value, where) for value in values]}

    def _names_any(self, values: list[Any]) -> bool:
        return not self._names.keys().isdisjoint(map(id, values))

    def _encode(self, value: Any, where: str, depth: int = 0) -> Any:
        """A scalar as it is; anything else as a list whose first item tells what it is."""
        cls = type(value)
        if cls in _SCALARS:
            return value
        if value is _UNSET:
            return ["unset"]
        name = self._names.get(id(value))
        if name is not None:
            return ["external" if id(value) in self._externals else "name", name]
        if cls in (tuple, frozenset):
            if depth == _MAX_TUPLE_DEPTH:
                raise GraphError(f"{where}: tuples nested deeper than {_MAX_TUPLE_DEPTH}")
            items = sorted(value) if cls is frozenset else value
            return [cls.__name__, *(self._encode(item, where, depth + 1) for item in items)]
        if isinstance(value, enum.Enum) and _in_package(cls.__module__):
            return ["enum", f"{cls.__module__}:{cls.__qualname__}", value.name]
        owner = getattr(value, "__self__", None)
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)) and _is_own(type(owner)):
            return ["method", self._number(owner), value.__name__]
        if cls in _CONTAINERS or _is_own(cls):
            return ["ref", self._number(value)]
        raise GraphError(f"{where}: a {cls.__module__}.{cls.__qualname__} cannot be kept in a checkpoint")


def _is_own(cls: type) -> bool:
    """Is it a class of this package whose instances are their attributes and nothing else?"""
    return _in_package(cls.__module__) and not issubclass(cls, _NOT_TAKEN_APART)


class GraphReader:
    """Puts a graph together: `make` for every row, then `fill` for every row."""

    def __init__(self, count: int, externals: Mapping[str, object]) -> None:
        self._objects: list[Any] = [_UNSET] * count
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
            cls: Any = _class_of(kind)
            made = (cls.__new__(cls) for _ in numbers)
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
            if kind.startswith(_CLASS_PREFIX):
                self._fill_instances(_class_of(kind), objects, state)
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
            if objects[number] is not _UNSET:
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
            if _UNSET in values:
                for value, content in zip(objects, values, strict=True):
                    if content is not _UNSET:
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
            if not set(map(type, values)) <= _SCALARS:
                raise GraphError("a column of numbers with something else in it")
            return values
        if mode == "refs":
            objects = self._objects
            return [None if number is None else objects[_index(number)] for number in values]
        if mode == "mixed":
            return [self._decode(value) for value in values]
        raise GraphError(f"a column of unknown form {mode!r}")

    def _decode(self, value: Any, depth: int = 0) -> Any:
        if type(value) is not list:
            return value
        tag, *rest = value
        if tag == "ref":
            return self._objects[_index(rest[0])]
        if tag == "unset":
            return _UNSET
        if tag == "name":
            return _named(rest[0])
        if tag == "external":
            return self._externals[rest[0]]
        if tag in ("tuple", "frozenset") and depth < _MAX_TUPLE_DEPTH:
            items = [self._decode(item, depth + 1) for item in rest]
            return tuple(items) if tag == "tuple" else frozenset(items)
        if tag == "enum":
            return _named(rest[0])[rest[1]]
        if tag == "method":
            owner = self._objects[_index(rest[0])]
            if not callable(getattr(type(owner), rest[1])) or rest[1].startswith("__"):
                raise GraphError(f"{rest[1]} is no method of a {type(owner).__qualname__}")
            return getattr(owner, rest[1])
        raise GraphError(f"a value of unknown form {tag!r}")


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


def _class_of(kind: str) -> type:
    for cls, name in _CONTAINERS.items():
        if name == kind:
            return cls
    if kind.startswith(_CLASS_PREFIX):
        found = _named(kind.removeprefix(_CLASS_PREFIX))
        if isinstance(found, type) and _is_own(found):
            return found
    raise GraphError(f"{kind!r} is no kind of object")


def _named(path: Any) -> Any:
    """What a module of this package defines as a name (dots for classes within classes). Raises GraphError."""
    if not isinstance(path, str):
        raise GraphError("a name that is no text")
    module_name, _, name = path.partition(":")
    if not _in_package(module_name) or "__" in path:
        raise GraphError(f"{path!r} is nothing of this package's")
    try:
        found: Any = sys.modules.get(module_name) or __import__(module_name, fromlist=["_"])
        for part in name.split("."):
            found = vars(found)[part]
            if not _may_be_named(found):
                raise GraphError(f"{path!r} is nothing of this package's")
    except (ImportError, KeyError, TypeError):
        raise GraphError(f"{path} is not there: another version's") from None
    return found

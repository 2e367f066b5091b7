# SPDX-License-Identifier: GPL-2.0-only
"""From an object graph to rows."""

from __future__ import annotations

import enum
import gc
import json
import random
import struct
import types
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from hypervisor_model.object_graph.kinds import (
    CLASS_PREFIX,
    CONTAINERS,
    MAX_TUPLE_DEPTH,
    SCALARS,
    UNSET,
    GraphError,
    Row,
    attribute_names,
    in_package,
    is_own,
    named_objects,
    transient_names,
)

BATCH: Final = 4096
BYTES_BATCH: Final = 256
WORTH_A_ROW: Final = 256


class _Small:
    """Objects of one kind that came in small batches, to be one row."""

    __slots__ = ("_states", "batch")

    def __init__(self) -> None:
        self.batch: list[Any] = []
        self._states: list[dict[str, Any]] = []

    def add(self, batch: list[Any], state: dict[str, Any]) -> None:
        self.batch += batch
        self._states.append(state)

    def state(self) -> dict[str, Any]:
        """The state of all of them."""
        return {name: _joined([state[name] for state in self._states]) for name in self._states[0]}


def _joined(parts: list[Any]) -> Any:
    """Lists one after the other, or columns, which are mixed unless all are of one form."""
    if isinstance(parts[0], list):
        return list(chain.from_iterable(parts))
    forms = {form for part in parts for form in part}
    if len(forms) == 1:
        (form,) = forms
        return {form: list(chain.from_iterable(part[form] for part in parts))}
    mixed: list[Any] = []
    for part in parts:
        ((form, values),) = part.items()
        mixed += [None if value is None else ["ref", value] for value in values] if form == "refs" else values
    return {"mixed": mixed}


class GraphWriter:
    """Takes a graph apart. `rows` may be used once. `externals`, by name, are not taken apart but only named."""

    def __init__(self, externals: Mapping[str, object]) -> None:
        self._names = named_objects()
        self._externals = {id(value): name for name, value in externals.items()}
        self._names.update(self._externals)
        self._numbers: dict[int, int] = {}
        self._pending: dict[type, list[Any]] = {}
        self._small: dict[type, _Small] = {}
        self._taken_apart: dict[type, bool] = {}
        self._attributes: dict[type, list[tuple[str, Callable[[Any], Any]]]] = {}
        self._kept: list[Any] = []  # objects made on the way, whose ids must stay theirs

    def rows(self, root: object) -> Iterator[Row]:
        """The rows of everything that `root` leads to; `root` has number 0. Raises GraphError."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            self._number(root)
            while self._pending:
                cls = max(self._pending, key=self._how_many_wait)
                batch = self._take(cls)
                if len(batch) >= WORTH_A_ROW or cls is bytes:
                    yield self._row(cls, batch)
                    continue
                # A long chain is found link by link. Its links are put together, or reading would take for ever.
                small = self._small.setdefault(cls, _Small())
                small.add(batch, self._state(cls, batch))
                if len(small.batch) >= BATCH:
                    yield self._row(cls, small.batch, self._small.pop(cls).state())
            for cls, small in self._small.items():
                yield self._row(cls, small.batch, small.state())
        finally:
            if was_enabled:
                gc.enable()

    def _how_many_wait(self, cls: type) -> int:
        """Byte strings lead nowhere, so they wait for a full batch."""
        count = len(self._pending[cls])
        return 0 if cls is bytes and count < BYTES_BATCH else count

    def _take(self, cls: type) -> list[Any]:
        """A batch off those that wait."""
        waiting = self._pending[cls]
        size = BYTES_BATCH if cls is bytes else BATCH
        if len(waiting) <= size:
            return self._pending.pop(cls)
        batch = waiting[-size:]
        del waiting[-size:]
        return batch

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

    def _row(self, cls: type, batch: list[Any], state: dict[str, Any] | None = None) -> Row:
        numbers = array("Q", [self._numbers[id(value)] for value in batch]).tobytes()
        if cls is bytes:
            return "bytes", numbers, b"".join([struct.pack(f"<{len(batch)}I", *map(len, batch)), *batch])
        kind = CONTAINERS.get(cls) or f"{CLASS_PREFIX}{cls.__module__}:{cls.__qualname__}"
        text = json.dumps(self._state(cls, batch) if state is None else state, separators=(",", ":"))
        return kind, numbers, text.encode()

    def _state(self, cls: type, batch: list[Any]) -> dict[str, Any]:
        return self._containers(cls, batch) if cls in CONTAINERS else self._instances(cls, batch)

    def _instances(self, cls: type, batch: list[Any]) -> dict[str, Any]:
        state = {}
        for name, get in self._getters(cls):
            try:
                column = list(map(get, batch))
            except AttributeError:  # not everywhere set
                column = [getattr(value, name, UNSET) for value in batch]
            state[name] = self._column(column, f"{cls.__qualname__}.{name}")
        if hasattr(batch[0], "__dict__"):
            transient = transient_names(cls)
            dicts = [
                {name: held for name, held in vars(value).items() if name not in transient} for value in batch
            ]
            self._kept += dicts
            state["__dict__"] = self._column(dicts, f"{cls.__qualname__}.__dict__")
        return state

    def _getters(self, cls: type) -> list[tuple[str, Callable[[Any], Any]]]:
        """The attributes of a class and what fetches them. Raises GraphError unless it is one of this package's."""
        getters = self._attributes.get(cls)
        if getters is None:
            if not is_own(cls):
                raise GraphError(f"a {cls.__module__}.{cls.__qualname__} cannot be kept in a checkpoint")
            getters = self._attributes[cls] = [(name, attrgetter(name)) for name in attribute_names(cls)]
        return getters

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
                list(chain.from_iterable(value.values() for value in batch)), "a dict's value"
            )
        else:
            state["items"] = self._column(list(chain.from_iterable(batch)), f"an item of a {cls.__name__}")
            if cls is deque:
                state["maxlen"] = [value.maxlen for value in batch]
        return state

    def _column(self, values: list[Any], where: str) -> dict[str, list[Any]]:
        """Values as they are if all are scalars, else as numbers (or null) if all are objects, else mixed."""
        kinds = set(map(type, values))
        if kinds <= SCALARS:
            return {"plain": values}
        if all(kind in CONTAINERS or is_own(kind) for kind in kinds - {type(None)}) and not self._names_any(
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

    def _is_taken_apart(self, cls: type) -> bool:
        known = self._taken_apart.get(cls)
        if known is None:
            known = self._taken_apart[cls] = cls in CONTAINERS or is_own(cls)
        return known

    def _names_any(self, values: list[Any]) -> bool:
        return not self._names.keys().isdisjoint(map(id, values))

    def _encode(self, value: Any, where: str, depth: int = 0) -> Any:
        """A scalar as it is; anything else as a list whose first item tells what it is."""
        cls = type(value)
        if cls in SCALARS:
            return value
        if value is UNSET:
            return ["unset"]
        name = self._names.get(id(value))
        if name is not None:
            return ["external" if id(value) in self._externals else "name", name]
        if cls in (tuple, frozenset):
            if depth == MAX_TUPLE_DEPTH:
                raise GraphError(f"{where}: tuples nested deeper than {MAX_TUPLE_DEPTH}")
            items = sorted(value) if cls is frozenset else value
            return [cls.__name__, *(self._encode(item, where, depth + 1) for item in items)]
        if cls is range:
            return ["range", value.start, value.stop, value.step]
        if isinstance(value, enum.Enum) and in_package(cls.__module__):
            return ["enum", f"{cls.__module__}:{cls.__qualname__}", value.name]
        owner = getattr(value, "__self__", None)
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)) and is_own(type(owner)):
            return ["method", self._number(owner), value.__name__]
        if cls in CONTAINERS or is_own(cls):
            return ["ref", self._number(value)]
        raise GraphError(f"{where}: a {cls.__module__}.{cls.__qualname__} cannot be kept in a checkpoint")

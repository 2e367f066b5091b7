# SPDX-License-Identifier: GPL-2.0-only
"""What a graph may consist of, and how what is kept by name is found again."""

from __future__ import annotations

import enum
import random
import sys
import types
from array import array
from collections import OrderedDict, deque
from typing import Any, Final

PACKAGE: Final = "hypervisor_model"

Row = tuple[str, bytes, bytes]
"""Kind, the objects' numbers (native u64), and their state: JSON, or for kind `bytes` lengths and data."""

SCALARS: Final = frozenset({int, str, bool, float, type(None)})
CONTAINERS: Final = {
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
_NOT_TAKEN_APART: Final = (enum.Enum, type, BaseException, tuple, frozenset, int, float, str, *CONTAINERS)
MAX_TUPLE_DEPTH: Final = 16
CLASS_PREFIX: Final = "class "


class GraphError(ValueError):
    """An object that cannot be kept, or rows that no graph can be made of."""


class Unset:
    """Stands for an attribute without a value."""


UNSET: Final = Unset()


def transient_names(cls: type) -> frozenset[str]:
    """Attributes that a class declares, in `__transient__`, to be made anew when they are next needed."""
    return frozenset(getattr(cls, "__transient__", ()))


def attribute_names(cls: type) -> list[str]:
    """The slots of a class and its bases, by name; of a compiled class its attributes. No transient ones."""
    names: set[str] = set()
    for base in cls.__mro__:
        slots = base.__dict__.get("__mypyc_attrs__", base.__dict__.get("__slots__", ()))
        names.update([slots] if isinstance(slots, str) else slots)
    return sorted(names - {"__dict__", "__weakref__"} - transient_names(cls))


def named_objects() -> dict[int, str]:
    """By id: what modules of this package define and objects may point to; "module:name"."""
    found: dict[int, str] = {}
    for module_name, module in sorted(sys.modules.items()):
        if in_package(module_name):
            for name, value in vars(module).items():
                if "__" not in name and type(value) not in SCALARS and may_be_named(value):
                    found.setdefault(id(value), f"{module_name}:{name}")
    return found


def in_package(module_name: object) -> bool:
    return isinstance(module_name, str) and module_name.partition(".")[0] == PACKAGE


def may_be_named(value: object) -> bool:
    """Constants may, and functions and classes of this package; never what it imported from elsewhere."""
    if isinstance(value, types.ModuleType):
        return False
    return in_package(getattr(value, "__module__", None)) or not callable(value)


def is_own(cls: type) -> bool:
    """Is it a class of this package whose instances are their attributes and nothing else?"""
    return in_package(cls.__module__) and not issubclass(cls, _NOT_TAKEN_APART)


def class_of(kind: str) -> type:
    for cls, name in CONTAINERS.items():
        if name == kind:
            return cls
    if kind.startswith(CLASS_PREFIX):
        found = named(kind.removeprefix(CLASS_PREFIX))
        if isinstance(found, type) and is_own(found):
            return found
    raise GraphError(f"{kind!r} is no kind of object")


def named(path: Any) -> Any:
    """What a module of this package defines as a name (dots for classes within classes). Raises GraphError."""
    if not isinstance(path, str):
        raise GraphError("a name that is no text")
    module_name, _, name = path.partition(":")
    if not in_package(module_name) or "__" in path:
        raise GraphError(f"{path!r} is nothing of this package's")
    try:
        found: Any = sys.modules.get(module_name) or __import__(module_name, fromlist=["_"])
        for part in name.split("."):
            found = vars(found)[part]
            if not may_be_named(found):
                raise GraphError(f"{path!r} is nothing of this package's")
    except (ImportError, KeyError, TypeError):
        raise GraphError(f"{path} is not there: another version's") from None
    return found

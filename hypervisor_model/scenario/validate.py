# SPDX-License-Identifier: GPL-2.0-only
"""A document held to a JSON schema: defaults filled in, quantities as numbers, complaints with line and key.

Implements the subset of JSON Schema (2020-12) that docs/design/guest-drivers.md lists, plus `x-quantity`. The first
thing wrong is raised; a key that was misspelt gets a suggestion.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from hypervisor_model.scenario.document import Node, printable
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.quantities import EXAMPLES, parse_quantity

Schema = Mapping[str, Any]

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_TYPE_NAMES: Final[Mapping[str, str]] = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


class Validator:
    """Checks the nodes of one file; other files that it names lie relative to `directory`, and are kept in `files`."""

    def __init__(self, file: str, directory: str = "") -> None:
        self.files: list[str] = []
        self._file = file
        self._directory = directory

    def check(self, node: Node, schema: Schema, key: str = "") -> Any:
        """The value of `node` as `schema` wants it, `key` being its path. Raises ScenarioError."""
        if "oneOf" in schema:
            return self._object(node, self._branch(node, schema["oneOf"], key), key)
        value = node.value
        self._type(node, schema, key)
        if "const" in schema and value != schema["const"]:
            self._fail(node, key, f"must be {schema['const']}")
        if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
            self._fail(node, key, _not_one_of(value, schema["enum"]))
        if isinstance(value, dict):
            return self._object(node, schema, key)
        if isinstance(value, list):
            return self._array(node, schema, key)
        if isinstance(value, str):
            return self._text(node, schema, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._number(node, schema, key)
            return int(value) if schema.get("type") == "integer" else value
        return value

    def _type(self, node: Node, schema: Schema, key: str) -> None:
        wanted = schema.get("type")
        if wanted is None:
            return
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        if not any(_is(node.value, name) for name in names):
            hint = f", such as {EXAMPLES[schema['x-quantity']]}" if "x-quantity" in schema else ""
            expected = " or ".join(_TYPE_NAMES[name] for name in names)
            self._fail(node, key, f"must be {expected}{hint}, not {_shown(node.value)}")

    def _object(self, node: Node, schema: Schema, key: str) -> dict[str, Any]:
        self._type(node, {"type": "object"}, key)
        properties: Mapping[str, Schema] = schema.get("properties", {})
        others: Any = schema.get("additionalProperties", True)
        result: dict[str, Any] = {}
        for name, child in node.value.items():
            where = f"{key}.{printable(name)}" if key else printable(name)
            rule: Any = properties.get(name, others)
            if rule is False:
                line = node.key_lines.get(name, node.line)
                hint = _suggestion(name, properties) or f"; the keys here are {', '.join(properties)}"
                problem = f"no such key{hint}"
                raise ScenarioError(problem, file=self._file, line=line, key=where)
            result[name] = child.plain() if rule is True else self.check(child, rule, where)
        for name in schema.get("required", ()):
            if name not in node.value:
                self._fail(node, key, f"{name} is missing")
        for name, known in properties.items():
            if name not in result and "default" in known:
                result[name] = self.check(_node_of(known["default"], node.line), known, f"{key}.{name}")
        return result

    def _array(self, node: Node, schema: Schema, key: str) -> list[Any]:
        count = len(node.value)
        if count < schema.get("minItems", 0):
            self._fail(node, key, f"needs at least {schema['minItems']} of them")
        if count > schema.get("maxItems", count):
            self._fail(node, key, f"{count} of them are more than {schema['maxItems']}")
        items: Schema = schema.get("items", {})
        return [self.check(child, items, f"{key}[{at}]") for at, child in enumerate(node.value)]

    def _text(self, node: Node, schema: Schema, key: str) -> str | int:
        value: str = node.value
        if "x-quantity" in schema:
            return self._quantity(node, schema, key)
        if len(value) < schema.get("minLength", 0):
            self._fail(node, key, f"must have at least {schema['minLength']} characters")
        if len(value) > schema.get("maxLength", len(value)):
            self._fail(node, key, f"must have at most {schema['maxLength']} characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            self._fail(
                node, key, f"{_shown(value)} is not {schema.get('x-expected', 'of the form asked for')}"
            )
        if schema.get("x-file"):
            value = os.path.join(self._directory, value)
            self.files.append(value)
        return value

    def _quantity(self, node: Node, schema: Schema, key: str) -> int:
        quantity: str = schema["x-quantity"]
        try:
            amount = parse_quantity(node.value, quantity)
        except ValueError:
            self._fail(node, key, f"{_shown(node.value)} is not understood: write {EXAMPLES[quantity]}")
        unit = "pages" if quantity == "pages" else "us"
        if amount < schema.get("x-minimum", 0):
            self._fail(
                node, key, f"{_shown(node.value)} is too little: at least {schema['x-minimum']} {unit}"
            )
        if amount > schema.get("x-maximum", amount):
            self._fail(node, key, f"{_shown(node.value)} is too much: at most {schema['x-maximum']} {unit}")
        return amount

    def _number(self, node: Node, schema: Schema, key: str) -> None:
        value = node.value
        if isinstance(value, float) and not math.isfinite(value):
            self._fail(node, key, f"{value} is no amount")
        if value < schema.get("minimum", value):
            self._fail(node, key, f"{value} is too small: at least {schema['minimum']}")
        if value <= schema.get("exclusiveMinimum", -math.inf):
            self._fail(node, key, f"{value} is too small: more than {schema['exclusiveMinimum']}")
        if value > schema.get("maximum", value):
            self._fail(node, key, f"{value} is too large: at most {schema['maximum']}")

    def _branch(self, node: Node, branches: Iterable[Schema], key: str) -> Schema:
        """The branch for the node's `kind`."""
        self._type(node, {"type": "object"}, key)
        by_kind: dict[str, Schema] = {branch["properties"]["kind"]["const"]: branch for branch in branches}
        if "kind" not in node.value:
            for branch in by_kind.values():
                if "kind" not in branch.get("required", ()):
                    return branch
            self._fail(node, key, f"kind is missing: one of {', '.join(by_kind)}")
        kind = node.value["kind"]
        if not isinstance(kind.value, str) or kind.value not in by_kind:
            self._fail(kind, f"{key}.kind" if key else "kind", _not_one_of(kind.value, by_kind))
        return by_kind[kind.value]

    def _fail(self, node: Node, key: str, problem: str) -> NoReturn:
        raise ScenarioError(problem, file=self._file, line=node.line, key=key)


def _is(value: Any, type_name: str) -> bool:
    """JSON's notion of type: true is no number, and 2.0 is a whole one."""
    if type_name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[type_name]) and (type_name == "boolean" or not isinstance(value, bool))


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _node_of(value: Any, line: int) -> Node:
    """A default as a node standing where it is missing."""
    if isinstance(value, Mapping):
        return Node({name: _node_of(child, line) for name, child in value.items()}, line)
    if isinstance(value, (list, tuple)):
        return Node([_node_of(child, line) for child in value], line)
    return Node(value, line)


def _shown(value: Any) -> str:
    """`value` as a complaint quotes it."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(printable(value, 40)) if isinstance(value, str) else str(value)


def _not_one_of(value: Any, choices: Iterable[Any]) -> str:
    names = list(dict.fromkeys(str(choice) for choice in choices))
    hint = _suggestion(value, names) if isinstance(value, str) else ""
    return f"{_shown(value)} is not one of {', '.join(names)}{hint}"


def _suggestion(word: str, known: Iterable[str]) -> str:
    """What a misspelt word was meant to be, as the end of a sentence."""
    import difflib

    close = difflib.get_close_matches(word[:64], list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""

# SPDX-License-Identifier: GPL-2.0-only
"""YAML text -> a tree of nodes that remember their lines, so that every later complaint can name one.

Only what JSON could say comes out: mappings with text keys, lists, text, numbers, booleans, null. A tag, a key
given twice, a file too large or too deep is refused. Anchors may be used; what they expand to counts.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypervisor_model.scenario.errors import ScenarioError

MAX_FILE_BYTES: Final = 4 << 20
MAX_NODES: Final = 200_000
MAX_DEPTH: Final = 32
MAX_INTEGER_DIGITS: Final = 40
MAX_PATH: Final = 4096  # characters of a file name that a message shows: all of it, for it is the user's own

_PLAIN_TAGS: Final = frozenset({"bool", "float", "int", "map", "null", "seq", "str", "timestamp"})


class Node:
    """A value and where it stands. `value`: dict[str, Node], list[Node], or a scalar."""

    __slots__ = ("key_lines", "line", "value")

    def __init__(self, value: Any, line: int, key_lines: dict[str, int] | None = None) -> None:
        self.value = value
        self.line = line  # from 1
        self.key_lines = key_lines or {}  # of a mapping: where each key stands

    def plain(self) -> Any:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read(path: str) -> Node:
    """The document in the file at `path`. Raises ScenarioError, also when it cannot be read."""
    return parse(contents(path), file=printable(path, MAX_PATH))


def contents(path: str) -> bytes:
    """What is in the file at `path`, of one too large its beginning, too large for `parse`. Raises ScenarioError."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ScenarioError(f"cannot be read: {reason}", file=printable(path, MAX_PATH)) from None


def parse(raw: bytes, *, file: str) -> Node:
    """The document in `raw`. Raises ScenarioError."""
    import yaml

    if len(raw) > MAX_FILE_BYTES:
        raise ScenarioError(f"larger than {MAX_FILE_BYTES >> 20} MiB: no scenario", file=file)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ScenarioError("not text in UTF-8: no scenario", file=file, line=line) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise ScenarioError("empty: a scenario needs at least `guests:`", file=file)
        return _Builder(loader, file).build(root, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        place = mark.line + 1 if mark else None
        raise ScenarioError(f"not YAML: {printable(problem)}", file=file, line=place) from None
    except yaml.YAMLError as error:
        raise ScenarioError(f"not YAML: {printable(str(error))}", file=file) from None
    except RecursionError:
        raise ScenarioError(f"nested deeper than {MAX_DEPTH} levels", file=file) from None
    finally:
        loader.dispose()


class _Builder:
    """Composed YAML nodes -> Nodes, within bounds."""

    def __init__(self, loader: Any, file: str) -> None:
        self._loader = loader
        self._file = file
        self._nodes = 0

    def build(self, node: Any, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ScenarioError(f"more than {MAX_NODES} values", file=self._file, line=line)
        if depth > MAX_DEPTH:
            raise ScenarioError(f"nested deeper than {MAX_DEPTH} levels", file=self._file, line=line)
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag not in _PLAIN_TAGS:
            raise ScenarioError(
                f"the tag {printable(node.tag)} is not for scenarios", file=self._file, line=line
            )
        if node.id == "sequence":
            return Node([self.build(item, depth + 1) for item in node.value], line)
        if node.id == "mapping":
            return self._mapping(node, line, depth)
        return Node(self._scalar(node, tag, line), line)

    def _mapping(self, node: Any, line: int, depth: int) -> Node:
        value: dict[str, Node] = {}
        key_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, key_line = key_node.value, key_node.start_mark.line + 1
            if key_node.id != "scalar":
                raise ScenarioError("a key must be a word", file=self._file, line=key_line)
            if key in value:
                problem = f"{printable(key)} is given twice, first in line {key_lines[key]}"
                raise ScenarioError(problem, file=self._file, line=key_line)
            value[key] = self.build(value_node, depth + 1)
            key_lines[key] = key_line
        return Node(value, line, key_lines)

    def _scalar(self, node: Any, tag: str, line: int) -> Any:
        if tag in ("str", "timestamp"):
            return node.value
        if tag == "int" and len(node.value) > MAX_INTEGER_DIGITS:
            raise ScenarioError(f"{node.value[:12]}... is too large a number", file=self._file, line=line)
        try:
            return self._loader.construct_object(node)
        except ValueError:
            raise ScenarioError(f"{printable(node.value)} is no {tag}", file=self._file, line=line) from None


def printable(text: str, limit: int = 80) -> str:
    """`text` on one line, without control characters, cut at `limit`."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."

# SPDX-License-Identifier: GPL-2.0-only
"""YAML for documents of known shape: members that are values, records, or lists of records.

Block style down to the records' members, JSON's style below; strings are quoted and ASCII. PyYAML would take seconds
for a listing of a thousand domains, and longer to be imported than a listing takes to be parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def yaml_text(document: Mapping[str, Any]) -> str:
    """`document` as YAML. The names of its members, and of the records they list, are plain words."""
    lines = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            lines.append(f"{name}:")
            lines += (_yaml_item(each) for each in value)
        elif isinstance(value, dict) and value:
            lines.append(f"{name}:")
            lines += (f"  {key}: {_yaml_value(each)}" for key, each in value.items())
        else:
            lines.append(f"{name}: {_yaml_value(value)}")
    return "\n".join(lines) + "\n"


def _yaml_item(item: Any) -> str:
    if not isinstance(item, dict):
        return f"- {_yaml_value(item)}"
    return "- " + "\n  ".join(f"{key}: {_yaml_value(value)}" for key, value in item.items())


def _yaml_value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")  # else YAML 1.1 takes 1e-05 for text
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml_text(key)}: {_yaml_value(each)}" for key, each in value.items()) + "}"
    return "[" + ", ".join(map(_yaml_value, value)) + "]"


def _yaml_text(text: str) -> str:
    if text.isascii() and text.isprintable():
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return (
        '"'
        + "".join(each if each.isalnum() and each.isascii() else f"\\U{ord(each):08x}" for each in text)
        + '"'
    )

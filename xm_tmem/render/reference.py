# SPDX-License-Identifier: GPL-2.0-only
"""The published description of a listing: the JSON document's schema and the table of all fields.

Both are made from the tag table. `python -m xm_tmem.render.reference docs` writes docs/listing-schema.json and
docs/listing-fields.md; a test says when they are stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from xm_tmem.listing.fields import FIELDS
from xm_tmem.listing.records import (
    RECORD_TYPES,
    TIMED,
    ClientRecord,
    GlobalRecord,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.tags import FIRST_RELEASE, LAST_RELEASE, Record, Tag
from xm_tmem.render.prometheus import metric_name
from xm_tmem.render.structured import SCHEMA, TIMING_MEMBERS

_RATIO = {"type": ["number", "null"]}
_TEXT = {"type": "string"}
_TYPE_OF_UNIT: dict[str, dict[str, Any]] = {
    "flag": {"type": ["boolean", "null"]},
    "hex": {"type": ["string", "null"], "pattern": "^[0-9a-f]{1,16}$"},
    "letters": {"enum": ["EP", "ES", "PP", "PS", None]},
    "ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
}
_DERIVED_OF_HOST = {
    "dedup_average": "ephemeral puts whose contents were held already, over all of them",
    "dedup_current": "ephemeral pages without contents of their own, over all of them",
    "trimming_savings": "what cutting trailing zeros saves of the distinct contents' size",
    "compression_savings": "what compression saves of the distinct contents' size",
}
_TITLES = {"G": "The host", "S": "Shared pools", "C": "Clients", "P": "Pools", "T": "Timings"}


def schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the document that `-o json` and `-o yaml` write."""
    client = _derived("share_held", "share_by_weight", "compression_ratio")
    pool = _derived("hit_rate", "put_success")
    kind = {
        name: {"type": ["boolean", "null"], "description": FIELDS[name].help}
        for name in ("persistent", "shared")
    }
    name = {"name": {"type": ["string", "null"], "description": "domain name, as it is: hostile text"}}
    members: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        "connection": {**_TEXT, "description": "the URI as the user would type it"},
        "release": {"type": ["string", "null"], "description": "Xen's release; null where nobody knows"},
        "timestamp": {**_TEXT, "pattern": r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "truncated": {"type": "boolean", "description": "lines are missing, as far as one can tell"},
        "problems": _array(_TEXT, "why the listing looks cut short"),
        "host": {"anyOf": [{"type": "null"}, _object(GlobalRecord, _ratios(_DERIVED_OF_HOST))]},
        "clients": _array(_object(ClientRecord, {**name, **client}), "domains that have used tmem"),
        "pools": _array(_object(PoolRecord, {**name, **kind, **pool}), "pools as their clients see them"),
        "shared_pools": _array(_object(SharedPoolRecord, {**kind, **pool}), "each shared pool once"),
        "timings": _array(_timing(), "cycles of tmem's operations, up to Xen 4.3"),
        "unknown_lines": _array(_TEXT, "lines that were not understood"),
        "garbled_lines": _array(_TEXT, "S= lines that Xen wrote over each other"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A listing of xm tmem-list",
        "description": "Amounts are pages of 4096 bytes, frames of as many, bytes, cycles or calls; null is unknown.",
        **_closed(members),
    }


def _object(record_type: type[Record], more: dict[str, Any]) -> dict[str, Any]:
    members = {tag.name: _member(tag) for tag in record_type.tags}
    return _closed(
        {**members, **more}, optional={"unknown": {"type": "object", "additionalProperties": _TEXT}}
    )


def _member(tag: Tag) -> dict[str, Any]:
    required = tag.kind == "id" and tag.name in ("cli_id", "pool_id")
    shape = _TYPE_OF_UNIT.get(tag.unit, {"type": "integer" if required else ["integer", "null"]})
    return {**shape, "description": f"{tag.help} ({tag.unit}, {tag.kind}, {_releases(tag)})"}


def _timing() -> dict[str, Any]:
    values = {
        name: {"type": ["number" if name == "mean_cycles" else "integer", "null"]} for name in TIMING_MEMBERS
    }
    return _closed({"operation": {"enum": list(TIMED)}, **values})


def _derived(*names: str) -> dict[str, Any]:
    return _ratios({name: FIELDS[name].help for name in names})


def _ratios(helps: dict[str, str]) -> dict[str, Any]:
    return {name: {**_RATIO, "description": text} for name, text in helps.items()}


def _array(items: dict[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": items, "description": description}


def _closed(members: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**members, **(optional or {})},
        "required": list(members),
        "additionalProperties": False,
    }


def fields_page() -> str:
    """The table of all fields in Markdown."""
    lines = [
        "# The fields of a listing",
        "",
        "Generated from the tag table by `python -m xm_tmem.render.reference docs`. The key is what Xen's text has,",
        "the name what every format has; in tables some columns have a shorter heading. A page is 4096 bytes of guest",
        "data, however little memory it takes; a frame is 4096 bytes of the host's memory. `xm tmem-explain KEY` says",
        "the same.",
    ]
    for record_type in RECORD_TYPES:
        lines += ["", f"## {_TITLES[record_type.line]} (`{record_type.line}=`)", ""]
        lines += ["| key | name | heading | unit | kind | releases | metric | meaning |", "|" + "---|" * 8]
        lines += [_line(record_type, tag) for tag in record_type.tags]
    lines += ["", "## Derived", "", "| name | heading | unit | meaning |", "|" + "---|" * 4]
    known = {tag.name for record_type in RECORD_TYPES for tag in record_type.tags}
    for field in FIELDS.values():
        if field.name not in known:
            lines.append(f"| {field.name} | {field.heading} | {field.unit} | {field.help} |")
    lines += [f"| {name} | {name} | ratio | {text} |" for name, text in _DERIVED_OF_HOST.items()]
    return "\n".join(lines) + "\n"


def _line(record_type: type[Record], tag: Tag) -> str:
    field = FIELDS.get(tag.name) if record_type in (ClientRecord, PoolRecord) else None
    has_metric = tag.kind != "id" and record_type.line != "T"
    total = "_total" if tag.kind == "counter" else ""
    metric = f"`{metric_name(record_type, tag)}{total}`" if has_metric else ""
    meaning = f"{tag.help}; {tag.caveat}" if tag.caveat else tag.help
    heading = field.heading if field else tag.name
    return f"| {tag.key} | {tag.name} | {heading} | {tag.unit} | {tag.kind} | {_releases(tag)} | {metric} | {meaning} |"


def _releases(tag: Tag) -> str:
    if tag.until != LAST_RELEASE:
        return f"until Xen {tag.until}"
    return "every release" if tag.since == FIRST_RELEASE else f"since Xen {tag.since}"


def write(folder: Path) -> None:
    """Write both files into `folder`."""
    (folder / "listing-schema.json").write_text(json.dumps(schema(), indent=2) + "\n", encoding="ascii")
    (folder / "listing-fields.md").write_text(fields_page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

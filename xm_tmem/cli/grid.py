# SPDX-License-Identifier: GPL-2.0-only
"""Rows of named values in any format: what the commands print that do not print a listing.

The names are the keys of json, yaml and csv and the headings of the table, and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xm_tmem.cli.session import Session, require_format
from xm_tmem.render.sections import Column, Fact, Facts, Section

FORMATS = ("table", "plain", "json", "jsonl", "yaml", "csv")


class Heading:
    """A column: its stable name, the unit of its values (see render.cells), and what it means."""

    __slots__ = ("help", "name", "unit")

    def __init__(self, name: str, unit: str, help: str = "") -> None:  # noqa: A002
        self.name, self.unit, self.help = name, unit, help


def show_rows(
    session: Session,
    kind: str,
    headings: Sequence[Heading],
    rows: Sequence[Sequence[Any]],
    *,
    title: str = "",
) -> None:
    """Rows under their headings; `kind` names the machine formats' schema and the key of the rows in it."""
    form = require_format(session, FORMATS, "this command")
    if session.machine:
        records = [dict(zip((heading.name for heading in headings), row, strict=True)) for row in rows]
        session.write(serialise(form, {"schema": f"xm-tmem/{kind}/1", kind: records}, records))
        return
    columns = (Column(h.name, h.unit, h.help, [row[i] for row in rows]) for i, h in enumerate(headings))
    session.write_blocks([Section(title, tuple(columns))])


def show_facts(session: Session, kind: str, facts: Sequence[Fact], *, title: str = "") -> None:
    """Named values of one thing, one to a line."""
    form = require_format(session, FORMATS, "this command")
    if session.machine:
        record = {fact.name: fact.value for fact in facts}
        session.write(serialise(form, {"schema": f"xm-tmem/{kind}/1", **record}, [record]))
        return
    session.write_blocks([Facts(title, tuple(fact for fact in facts if fact.value not in (None, "")))])


def serialise(form: str, whole: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """`whole` as one json or yaml document, or its `records` as lines of jsonl or csv."""
    if form == "yaml":
        import yaml

        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    if form == "csv":
        import csv
        import io

        file = io.StringIO()
        if records:
            writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        return file.getvalue()
    import json

    if form == "jsonl":
        return "".join(json.dumps(record) + "\n" for record in records)
    return json.dumps(whole, indent=2) + "\n"

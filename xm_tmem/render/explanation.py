# SPDX-License-Identifier: GPL-2.0-only
"""Entries of the dictionary as text for a person, and as a document for a program."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from xm_tmem.listing.explain import Entry
from xm_tmem.render.sections import Column, Section

_NARROWEST = 30  # columns of text; a terminal may have fewer, and wrap by itself
_INDENT = 12


def text(entries: Iterable[Entry], *, width: int = 80) -> str:
    """Each entry as a title, its meaning and its details, folded to `width`; an empty line between entries."""
    return "\n".join(_entry(entry, max(width, _NARROWEST)) for entry in entries)


def _entry(entry: Entry, width: int) -> str:
    lines = [entry.title, *wrap(_sentence(entry.meaning), width, initial_indent="  ", subsequent_indent="  ")]
    for what, said in entry.details:
        lines += wrap(said, width, initial_indent=f"  {what:<{_INDENT - 2}}", subsequent_indent=" " * _INDENT)
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def contents(entries: Iterable[Entry]) -> Section:
    """What the dictionary has, a line to an entry."""
    known = list(entries)
    return Section(
        "",
        (
            Column("kind", "text", "key, derived, error, defect or status", [entry.kind for entry in known]),
            Column("word", "text", "what to ask for", [_word(entry) for entry in known]),
            Column("meaning", "text", "in short", [entry.meaning for entry in known]),
        ),
    )


def _word(entry: Entry) -> str:
    if entry.kind == "key":
        key, _, line = entry.title.partition(" of ")
        return line + key
    return entry.title if entry.kind == "status" else entry.title.partition(" ")[0]


def document(entries: Iterable[Entry]) -> dict[str, Any]:
    """The entries for a program, as one document."""
    return {
        "schema": "xm-tmem/explanation/1",
        "entries": [{**_named(entry), "details": dict(entry.details)} for entry in entries],
    }


def records(entries: Iterable[Entry]) -> list[dict[str, str]]:
    """The entries for a program, a flat record for each: details are lines of what and its text."""
    return [
        {**_named(entry), "details": "\n".join(f"{what}: {said}" for what, said in entry.details)}
        for entry in entries
    ]


def _named(entry: Entry) -> dict[str, Any]:
    return {"kind": entry.kind, "title": entry.title, "meaning": entry.meaning}

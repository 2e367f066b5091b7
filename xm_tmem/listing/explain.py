# SPDX-License-Identifier: GPL-2.0-only
"""The dictionary behind `xm tmem-explain`: keys of the listing, derived fields, errnos, defects, exit statuses.

A word is looked for as a key of Xen's text (case matters: `Pc`, or `P=Pc` for one type of line), as a field's long or
short name, as an errno's name or number, as a defect's name, C function or everyday word, and as `exit 3` or the
`kind` of a JSON error for an exit status. One word may mean several things.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xm_tmem import errors
from xm_tmem.errors import BadInput, TmemError
from xm_tmem.listing.defects import KNOWN_DEFECTS, KnownDefect
from xm_tmem.listing.derive import HOST_RATIOS
from xm_tmem.listing.fields import FIELDS
from xm_tmem.listing.known_errors import KNOWN_ERRORS, KnownError
from xm_tmem.listing.records import RECORD_TYPES, ClientRecord, PoolRecord
from xm_tmem.listing.tags import FIRST_RELEASE, LAST_RELEASE, Record, Tag

KINDS = ("key", "derived", "error", "defect", "status")


class Entry(NamedTuple):
    """What the dictionary says of one thing; `details` are pairs of what and its text, in reading order."""

    kind: str  # one of KINDS
    title: str
    meaning: str
    details: tuple[tuple[str, str], ...]
    words: frozenset[str]  # what it is found by


def explain(word: str) -> list[Entry]:
    """Every entry that `word` finds. Raises BadInput, with what may have been meant."""
    wanted = word.strip()
    number = wanted.lstrip("-")
    found = [
        entry
        for entry in entries()
        if wanted in entry.words or (entry.kind == "error" and {number.upper(), number} & entry.words)
    ]
    found = found or [entry for entry in entries() if wanted.lower() in map(str.lower, entry.words)]
    if not found:
        raise BadInput(f"nothing is known of {word!r}: {_suggestion(wanted)}")
    return found


def entries() -> Iterator[Entry]:
    """The whole dictionary, in the order of KINDS."""
    for record_type in RECORD_TYPES:
        for tag in record_type.tags:
            yield _of_tag(record_type, tag)
    known = {tag.name for record_type in RECORD_TYPES for tag in record_type.tags}
    for field in FIELDS.values():
        if field.name not in known:
            names = (field.name, field.short) if field.short else (field.name,)
            yield _derived(names, field.unit, field.help)
    for name, told, _ in HOST_RATIOS:
        yield _derived((name,), "ratio", told)
    yield from map(_of_error, KNOWN_ERRORS)
    yield from map(_of_defect, KNOWN_DEFECTS)
    yield from _of_statuses()


def releases(since: str, until: str) -> str:
    """A range of releases in words."""
    if (since, until) == (FIRST_RELEASE, LAST_RELEASE):
        return f"every release, {FIRST_RELEASE} to {LAST_RELEASE}"
    return f"Xen {since} alone" if since == until else f"Xen {since} to {until}"


_OF_LINE = {"G": "the host", "S": "a shared pool", "C": "a client", "P": "a pool", "T": "the host's timings"}


def _of_tag(record_type: type[Record], tag: Tag) -> Entry:
    field = FIELDS.get(tag.name) if record_type in (ClientRecord, PoolRecord) else None
    names = (tag.name, field.short) if field is not None and field.short else (tag.name,)
    details = [
        ("line", f"{record_type.line}= ({_OF_LINE[record_type.line]})"),
        ("name", " or ".join(names)),
        ("unit", tag.unit),
        ("kind", tag.kind),
        ("releases", releases(tag.since, tag.until)),
        ("caveat", tag.caveat),
    ]
    words = frozenset((tag.key, f"{record_type.line}={tag.key}", *names))
    return Entry("key", f"{tag.key} of {record_type.line}=", tag.help, _said(details), words)


def _derived(names: tuple[str, ...], unit: str, meaning: str) -> Entry:
    details = (("name", " or ".join(names)), ("unit", unit))
    return Entry("derived", names[0], meaning, details, frozenset(names))


def _of_error(error: KnownError) -> Entry:
    several = len(error.causes) > 1
    meaning = (
        f"{len(error.causes)} things, which the number does not tell apart" if several else error.causes[0]
    )
    causes = (
        [(f"cause {count}", cause) for count, cause in enumerate(error.causes, start=1)] if several else []
    )
    words = frozenset((error.name, str(error.number)))
    return Entry(
        "error", f"{error.name} ({error.number})", meaning, _said([*causes, ("advice", error.advice)]), words
    )


def _of_defect(defect: KnownDefect) -> Entry:
    details = [
        ("where", defect.where),
        ("releases", releases(defect.since, defect.until)),
        ("advice", defect.advice),
    ]
    return Entry(
        "defect",
        defect.name,
        defect.what,
        _said(details),
        frozenset((defect.name, *defect.where.split(", "), *defect.words)),
    )


def _of_statuses() -> Iterator[Entry]:
    """An entry for each exit status, with what may have happened from the errors' own words."""
    causes: dict[int, list[str]] = {}
    names: dict[int, list[str]] = {}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, TmemError) and kind is not TmemError:
            cause = " ".join((kind.__doc__ or "").split()).partition(". ")[0].removesuffix(".")
            causes.setdefault(kind.exit_status, []).append(cause)
            names.setdefault(kind.exit_status, []).append(kind.__name__)
    for status, (first, *others) in sorted(causes.items()):
        title = f"exit {status}"
        words = frozenset((title, *names[status]))
        yield Entry("status", title, first, tuple(("or", cause) for cause in others), words)


def _said(details: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((what, text) for what, text in details if text)


def _suggestion(word: str) -> str:
    from difflib import get_close_matches  # only a user's mistake needs it

    words = {each.lower(): each for entry in entries() for each in entry.words if len(each) > 2}
    near = [words[each] for each in get_close_matches(word.lower(), words, n=2)]
    return f"did you mean {' or '.join(near)}?" if near else "`xm tmem-explain` lists what is"

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-explain`: the dictionary."""

from __future__ import annotations

import click

from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import BadInput
from xm_tmem.operations.dictionary import Entry, entries, look_up

HEADINGS = (
    Heading("word", "text", "the key, the error, the oddity"),
    Heading("kind", "text", "key, error, status or oddity"),
    Heading("where", "text", "which line, call or releases"),
    Heading("also", "text", "other words for the same"),
    Heading("meaning", "text", ""),
    Heading("caveat", "text", "what to know before believing it, or what to do about it"),
)


@click.command(
    "tmem-explain",
    cls=Verb,
    connects=False,
    examples=[
        ("xm tmem-explain Ec", "a key of a listing, on every line that has it"),
        ("xm tmem-explain EFROZEN", "an error, by name or by number"),
        ("xm tmem-explain weight", "why a weight does the opposite of what it says"),
        ("xm tmem-explain", "every word there is"),
    ],
)
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.pass_obj
def tmem_explain(session: Session, words: tuple[str, ...]) -> None:
    """Explain a listing's key, an error or an oddity of tmem."""
    found = [entry for word in words for entry in _look_up(word)] if words else list(entries())
    if session.machine or not words:
        show_rows(
            session, "words", HEADINGS, [(*e[:3], " ".join(e.also), e.meaning, e.caveat) for e in found]
        )
        return
    session.write("\n".join(_told(entry) for entry in found))


def _look_up(word: str) -> list[Entry]:
    found = look_up(word)
    if not found:
        raise BadInput(f"the dictionary has no {word!r}; `xm tmem-explain` lists its words")
    return found


def _told(entry: Entry) -> str:
    """An entry as a paragraph."""
    also = f", {', '.join(entry.also)}" if entry.also else ""
    lines = [f"{entry.word}{also}  ({entry.where})", f"    {entry.meaning}"]
    if entry.caveat:
        lines.append(f"    {entry.caveat}")
    return "\n".join(lines) + "\n"

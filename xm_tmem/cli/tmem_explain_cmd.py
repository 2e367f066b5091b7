# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-explain`: the dictionary."""

from __future__ import annotations

import shutil

import click

from xm_tmem.cli.grid import FORMATS, serialise
from xm_tmem.cli.session import Session, require_format
from xm_tmem.cli.verb import Verb
from xm_tmem.listing.explain import entries, explain
from xm_tmem.render import explanation

_WIDEST = 100  # columns of text that are still easy to read


@click.command(
    "tmem-explain",
    cls=Verb,
    connects=False,
    examples=[
        ("xm tmem-explain Ec", "a key of a listing, on every line that has it"),
        ("xm tmem-explain hit_rate", "a column, by any of its names"),
        ("xm tmem-explain EFROZEN", "an error, by name or by number"),
        ("xm tmem-explain weight", "why a weight does the opposite of what it says"),
        ("xm tmem-explain", "every word there is"),
    ],
)
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.pass_obj
def tmem_explain(session: Session, words: tuple[str, ...]) -> None:
    """Explain a listing's key or column, an error or an oddity of tmem."""
    form = require_format(session, FORMATS, "tmem-explain")
    found = [entry for word in words for entry in explain(word)] if words else list(entries())
    if session.machine:
        session.write(serialise(form, explanation.document(found), explanation.records(found)))
    elif words:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        session.write(explanation.text(found, width=width))
    else:
        session.write_blocks([explanation.contents(found)])

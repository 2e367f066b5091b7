# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-list-parse`: a raw listing from a file or a pipe, in words."""

from __future__ import annotations

import os
import time
from typing import BinaryIO

from xm_tmem.cli.declared import FILE, Declared, Option
from xm_tmem.cli.session import Session
from xm_tmem.errors import BadInput
from xm_tmem.listing.compat import reformat
from xm_tmem.listing.report import read_report
from xm_tmem.listing.select import selection
from xm_tmem.render.formats import render_listing
from xm_tmem.render.sections import long_view, warnings

MAX_BYTES = 1 << 28


def put_into_words(session: Session, compat: bool, file: BinaryIO) -> None:
    """Put a raw listing into words, as xen-tmem-list-parse does.

    FILE is the text of tmem-list of any release, standard input if there is none.
    """
    piped = file.name == "<stdin>"
    timestamp = time.time() if piped else os.fstat(file.fileno()).st_mtime
    text = file.read(MAX_BYTES + 1)
    if not piped:
        file.close()
    if len(text) > MAX_BYTES:
        raise BadInput(f"{file.name}: more than {MAX_BYTES} bytes")
    if compat:
        session.write(reformat(text))
        return
    report = read_report(text, connection=f"replay:{'-' if piped else file.name}", timestamp=timestamp)
    listing = report.listing
    if not (listing.global_ or listing.clients or listing.pools or listing.shared or listing.perf):
        where = "standard input" if piped else file.name
        raise BadInput(
            f"{where} has no line of a listing as `xl tmem-list -l` and `xm tmem-list -o raw` print it"
        )
    if session.machine:
        session.write(render_listing(report, selection(), session.format, use_long=True))
    else:
        session.write_blocks(long_view(report, selection()))
    for warning in warnings(report):
        session.note(warning)


tmem_list_parse = Declared(
    "tmem-list-parse",
    put_into_words,
    options=[Option("--compat", help="Print what xen-tmem-list-parse prints, its mistakes included.")],
    argument=FILE,
    connects=False,
    examples=[
        ("xl tmem-list -l -a | xm tmem-list-parse", "a listing as it comes from xl, in words"),
        ("xm tmem-list-parse --compat saved.txt", "byte for byte what xen-tmem-list-parse prints"),
        ("xm tmem-list-parse -o json saved.txt", "a saved listing of any release, for a program"),
    ],
)

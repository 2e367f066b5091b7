# SPDX-License-Identifier: GPL-2.0-only
"""Writing to standard output and standard error, and to nothing else: colour, width, closed and full ends.

Messages may quote names of domains, which are hostile text: what could drive a terminal is made visible.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from xm_tmem.errors import Failed
from xm_tmem.render import plain
from xm_tmem.render.cells import visible
from xm_tmem.render.sections import Block, Section

MOST_TABLE_ROWS = 50  # rich takes a millisecond for each


def write(text: str | bytes) -> None:
    """Put `text` on standard output. Raises Failed when it cannot be written; BrokenPipeError as it comes."""
    if sys.stdout is None:
        raise Failed("cannot write: standard output is closed")
    try:
        if isinstance(text, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
        else:
            try:
                sys.stdout.write(text)
            except UnicodeEncodeError:
                encoding = sys.stdout.encoding
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failed(f"cannot write to standard output: {error.strerror}") from None


def complain(message: str) -> None:
    """One line `xm: message` on standard error, if there is one."""
    line = " ".join(visible(part) for part in message.split("\n"))
    write_error(f"xm: {line}\n")


def write_error(text: str) -> None:
    """Put `text` on standard error as far as that can be done."""
    try:
        if sys.stderr is not None:
            sys.stdout and sys.stdout.flush()
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        pass  # nobody to tell


def is_terminal() -> bool:
    """Does standard output go to a terminal?"""
    return sys.stdout is not None and sys.stdout.isatty()


def draw(
    blocks: Sequence[Block], *, units: str, headings: bool, color: str, environ: Mapping[str, str]
) -> str:
    """Blocks as a table for the terminal there is; plain text where a table would take long to make.

    `color` is auto, always or never; auto honours NO_COLOR, FORCE_COLOR and TERM=dumb, as rich does.
    """
    if sum(block.row_count for block in blocks if isinstance(block, Section)) > MOST_TABLE_ROWS:
        return plain.render(blocks, units=units, headings=headings)
    from rich.console import Console

    from xm_tmem.render import table

    console = Console(
        force_terminal={"always": True, "never": False}.get(color),
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )
    with console.capture() as capture:
        console.print(table.render(blocks, width=console.width, units=units, headings=headings))
    return capture.get()

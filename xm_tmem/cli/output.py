# SPDX-License-Identifier: GPL-2.0-only
"""Writing to standard output and standard error, and to nothing else: colour, width, closed and full ends.

Messages may quote names of domains, which are hostile text: what could drive a terminal is made visible.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xm_tmem.errors import Failed
from xm_tmem.render.cells import visible

if TYPE_CHECKING:
    from rich.console import RenderableType


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


def render_rich(renderable: RenderableType, color: str, environ: Mapping[str, str]) -> str | None:
    """`renderable` as text for the terminal there is, or None when it is wider than the terminal.

    `color` is auto, always or never; auto honours NO_COLOR and FORCE_COLOR, as rich does.
    """
    from rich.console import Console

    never = color == "never"
    console = Console(
        force_terminal=True if color == "always" else None,
        no_color=True if never else None,
        color_system=None if never else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )
    if console.measure(renderable).minimum > console.width:
        return None
    with console.capture() as capture:
        console.print(renderable, no_wrap=True, crop=False)
    return capture.get()

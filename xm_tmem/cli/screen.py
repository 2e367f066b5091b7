# SPDX-License-Identifier: GPL-2.0-only
"""A terminal taken over for a while: its alternate screen, keys as they are pressed, changes of its size.

A frame is written in one go over the one before, line by line, so that nothing flickers; lines are never wrapped.
Whatever ends the block, the terminal is given back as it was, also while the process is stopped by Ctrl-Z.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

from xm_tmem.render.live import Line
from xm_tmem.render.plain import display_width

RESIZED, CLOSED = "resized", "closed"
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # alternate screen; no cursor; no wrapping; empty
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_STYLES = {"bold": "\x1b[1m", "reverse": "\x1b[7m"}
_KEYS = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b" ": "space",
    b"\t": "tab",
}
_LONGEST_KEY = max(map(len, _KEYS))


def is_usable(environ: Mapping[str, str]) -> bool:
    """Is there a terminal to take over, one that knows more than to print?"""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams) and environ.get("TERM") not in (
        None,
        "",
        "dumb",
        "unknown",
    )


class Screen:
    """The terminal of standard input and output, from `with` to the end of its block."""

    def __init__(self, *, styled: bool = True) -> None:
        self._styled = styled
        self._before: dict[signal.Signals, Any] = {}
        self._typed = b""  # and not yet asked for

    def __enter__(self) -> Screen:
        self._saved = termios.tcgetattr(sys.stdin)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number, act in ((signal.SIGWINCH, lambda *_: None), (signal.SIGTSTP, self._stop)):
            self._before[number] = signal.signal(number, act)
        self._take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number, act in self._before.items():
            signal.signal(number, act)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._woken)
        os.close(self._wake)
        try:
            self._give_back()
        except OSError:
            pass  # the terminal is gone

    def _take(self) -> None:
        tty.setcbreak(sys.stdin)
        self._write(_ENTER)

    def _give_back(self) -> None:
        self._write(_LEAVE)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal back, until we are continued."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def size(self) -> tuple[int, int]:
        """Columns and rows, at least one of each."""
        size = os.get_terminal_size(sys.stdout.fileno())
        return max(1, size.columns), max(1, size.lines)

    def draw(self, lines: Sequence[Line]) -> None:
        """Show `lines`, no more than the screen has rows, none wider than it."""
        columns, _ = self.size()
        parts = []
        for row, line in enumerate(lines, 1):
            text = line.text.encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding)
            if self._styled and line.style:
                text = f"{_STYLES[line.style]}{text}\x1b[0m"
            # Behind a full line the cursor is still on its last character, which would be erased.
            rest = "\x1b[K" if display_width(line.text) < columns else ""
            parts.append(f"\x1b[{row};1H{text}{rest}")
        self._write("".join(parts))

    def key(self, seconds: float | None) -> str | None:
        """The next key within so many seconds, RESIZED or CLOSED; None when the time is over."""
        if not self._typed:
            ready, _, _ = select.select([sys.stdin, self._woken], [], [], seconds)
            if self._woken in ready:
                os.read(self._woken, 4096)
                return RESIZED
            if not ready:
                return None
            try:
                self._typed = os.read(sys.stdin.fileno(), 1024)
            except OSError:
                pass
            if not self._typed:
                return CLOSED
        for length in range(_LONGEST_KEY, 0, -1):
            if (key := _KEYS.get(self._typed[:length])) is not None:
                self._typed = self._typed[length:]
                return key
        first, self._typed = self._typed[:1], self._typed[1:]
        return first.decode("latin-1")

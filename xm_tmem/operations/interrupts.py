# SPDX-License-Identifier: GPL-2.0-only
"""Undoing what was done although the operator, the terminal or the system wants the process to end now.

    with Endings() as endings:
        try:
            try:
                ...                  # Ctrl-C, a hangup or a request to terminate raises KeyboardInterrupt here
            finally:
                endings.wait()       # from here on they wait
        finally:
            endings.wait()           # for one that came just before the line above
            undo()
                                     # and here KeyboardInterrupt is raised if one has waited

Handlers of Python run in the main thread whichever thread the signal reaches; a signal mask would not do.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Endings:
    """What wants to end the process: an interrupt, until `wait` is called."""

    def __init__(self) -> None:
        self._waiting = self._came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Endings:
        try:
            for number in ENDINGS:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:  # the wish of nohup is kept
                    signal.signal(number, self._arrived)
                    self._before[number] = before
        except ValueError:
            pass  # a thread other than the main one, which no signal interrupts
        return self

    def wait(self) -> None:
        """Let nothing interrupt from now on. A first interrupt makes the others wait too."""
        self._waiting = True

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._waiting:
            self._came = True
        else:
            self._waiting = True
            raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._came and kind is None:
            raise KeyboardInterrupt


@contextmanager
def endings_wait() -> Iterator[None]:
    """Inside, nothing interrupts: KeyboardInterrupt is raised at the end of the block if something would have."""
    with Endings() as endings:
        endings.wait()
        yield

# SPDX-License-Identifier: GPL-2.0-only
"""Ending a long copy on request, but between two calls to a hypervisor rather than inside one.

An exception in the middle of an exchange would leave a connection with half an answer in it, and then nothing could
be undone over it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from xm_tmem.operations.interrupts import ENDINGS


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Yields `check`, to be called wherever stopping does no harm; it raises KeyboardInterrupt if so asked.

    Inside, the first Ctrl-C, hangup or request to terminate is only noted; the second interrupts whatever is going
    on, as one would that comes when a host does not answer any more. What was noted and never checked is dropped: the
    work was done by then. Outside the main thread signals are somebody else's, and `check` does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup's wish is kept
            signal.signal(number, note)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

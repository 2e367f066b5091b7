# SPDX-License-Identifier: GPL-2.0-only
"""Undoing what was done although the operator, the terminal or the system wants the process to end now."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def endings_interrupt() -> Iterator[None]:
    """Inside, a hangup or a request to terminate arrives as KeyboardInterrupt, as Ctrl-C does."""
    before = {number: signal.getsignal(number) for number in ENDINGS}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup's wish is kept
                signal.signal(number, _interrupt)
    except ValueError:  # a thread other than the main one, which no signal interrupts anyway
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def endings_wait() -> Iterator[None]:
    """Inside, nothing interrupts: what arrives meanwhile is delivered when the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

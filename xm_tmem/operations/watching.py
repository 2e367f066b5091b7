# SPDX-License-Identifier: GPL-2.0-only
"""Asking a host again and again: at even intervals, and again after its connection broke."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from xm_tmem.backends.interface import Backend
from xm_tmem.errors import Unreachable

T = TypeVar("T")


class Watched:
    """A host that is connected to when it is asked, and anew when the connection broke."""

    def __init__(self, connect: Callable[[], Backend]) -> None:
        self._connect = connect
        self._backend: Backend | None = None

    def ask(self, question: Callable[[Backend], T]) -> T:
        """What `question` says of the host. Raises what it raises, and Unreachable."""
        if self._backend is None:
            self._backend = self._connect()
        try:
            return question(self._backend)
        except Unreachable:
            self.close()
            raise

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ticks(
    every_s: float,
    count: int | None = None,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """0, 1, 2, … up to `count`, one every `every_s` seconds; where one takes longer, those it missed are left out."""
    start, number = now(), 0
    while count is None or number < count:
        yield number
        number += 1
        if count is None or number < count:
            passed = now() - start
            sleep(every_s - passed % every_s)

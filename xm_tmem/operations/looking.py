# SPDX-License-Identifier: GPL-2.0-only
"""When to look at a host again: at intervals, and at once when somebody tells that a domain has started."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Protocol

from xm_tmem.errors import Disconnected

FIRST_PAUSE_SECONDS = 1.0
"""A domain that has just started becomes a client of tmem only when its guest's kernel gets there."""


class DomainEvents(Protocol):
    """Who tells that domains start."""

    def wait(self, seconds: float) -> bool:
        """Whether one started since the last question, or does within so many seconds. Raises Disconnected."""

    def close(self) -> None: ...


def looks(
    every_s: float, events: DomainEvents | None, lost: Callable[[Disconnected], None]
) -> Generator[None, None, None]:
    """Now, whenever a domain starts, soon after that and then less often, and every `every_s` seconds in any case.

    The interval stays because who tells may not know every domain (libvirt's Xen driver knows none that xl started).
    When they tell no more, `lost` is called, once, and the interval is all there is.
    """
    pause_s = every_s
    try:
        while True:
            yield
            if events is None:
                time.sleep(every_s)
                continue
            try:
                happened = events.wait(pause_s)
            except Disconnected as error:
                lost(error)
                events.close()
                events = None
                continue
            pause_s = min(FIRST_PAUSE_SECONDS if happened else 2 * pause_s, every_s)
    finally:
        if events is not None:
            events.close()

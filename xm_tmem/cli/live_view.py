# SPDX-License-Identifier: GPL-2.0-only
"""The live view of tmem-top at work: what each key does, when the host is read, what is asked before a freeze."""

from __future__ import annotations

import time
from collections.abc import Callable

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.screen import CLOSED, RESIZED
from xm_tmem.errors import TmemError
from xm_tmem.ids import DomainId
from xm_tmem.listing.rates import Activity, Observer
from xm_tmem.operations import lifecycle
from xm_tmem.operations.outcome import Target
from xm_tmem.operations.query import listed
from xm_tmem.operations.watching import Watched
from xm_tmem.render.cells import visible
from xm_tmem.render.live import SORT_KEYS, Line, View, frame, ordered

_PAGE = 10  # rows
_STEPS = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page-up": -_PAGE,
    "page-down": _PAGE,
    "home": -(10**6),
    "end": 10**6,
}


class LiveView:
    """A view of a host that is read every `every_s` seconds. `ended` says that the user wants no more of it.

    `asks` is False where nothing is to be asked before a domain is frozen or thawed.
    """

    def __init__(
        self,
        host: Watched,
        every_s: float,
        *,
        sort: str,
        descending: bool,
        by_pool: bool,
        asks: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the host once. Raises what that raises."""
        self._host, self._asks, self._now = host, asks, now
        self._observer = Observer()
        self._question: Target | None = None
        self._thaw = False
        self.ended = False
        self.view = View(self._observer.observe(host.ask(listed).report), every_s, sort, descending, by_pool)
        self._read_at = now()
        self._keep_selection()

    def seconds_left(self) -> float | None:
        """Until the host should be read again; None while paused."""
        if self.view.paused:
            return None
        return max(0.0, self._read_at + self.view.every_s - self._now())

    def read(self) -> None:
        """Read the host. While that fails, the last line says why and the rest stays as it is."""
        self._read_at = self._now()
        try:
            rates = self._observer.observe(self._host.ask(listed).report)
        except TmemError as error:
            self._say(str(error))
            return
        self.view = self.view._replace(rates=rates)
        self._keep_selection()

    def frame(self, width: int, height: int, ramp: str) -> list[Line]:
        return frame(self.view, width, height, ramp=ramp)

    def press(self, key: str) -> None:
        """Do what a key stands for."""
        if key == RESIZED:
            return
        if key == CLOSED:
            self.ended = True
        elif self._question is not None:
            self._answer(key)
        elif self.view.help:
            self.view = self.view._replace(help=False)
        elif key in _STEPS:
            self._move(_STEPS[key])
        elif key in self._ACTIONS:
            self._say("")
            self._ACTIONS[key](self)

    def _say(self, text: str) -> None:
        self.view = self.view._replace(status=visible(text))

    def _selected(self) -> Activity | None:
        return next((row for row in ordered(self.view) if row.key == self.view.selected), None)

    def _keep_selection(self) -> None:
        """Select the first row when what was selected has gone."""
        rows = ordered(self.view)
        if rows and self._selected() is None:
            self.view = self.view._replace(selected=rows[0].key)

    def _move(self, step: int) -> None:
        rows = ordered(self.view)
        if rows:
            position = next((n for n, row in enumerate(rows) if row.key == self.view.selected), 0)
            self.view = self.view._replace(selected=rows[max(0, min(position + step, len(rows) - 1))].key)

    def _quit(self) -> None:
        self.ended = True

    def _help(self) -> None:
        self.view = self.view._replace(help=True)

    def _pause(self) -> None:
        self.view = self.view._replace(paused=not self.view.paused)

    def _next_sort(self) -> None:
        usable = [key for key in SORT_KEYS if self.view.by_pool or key != "pool"]
        position = usable.index(self.view.sort) if self.view.sort in usable else -1
        key = usable[(position + 1) % len(usable)]
        # Whoever sorts by an amount wants the largest first.
        self.view = self.view._replace(sort=key, descending=key not in ("domain", "name", "pool"))

    def _reverse(self) -> None:
        self.view = self.view._replace(descending=not self.view.descending)

    def _by_pool(self) -> None:
        chosen = self._selected()
        self.view = self.view._replace(by_pool=not self.view.by_pool)
        if chosen is not None:
            same = (row.key for row in ordered(self.view) if row.domain == chosen.domain)
            self.view = self.view._replace(selected=next(same, None))
        self._keep_selection()

    def _freeze_or_thaw(self) -> None:
        chosen = self._selected()
        if chosen is None:
            return
        label = f"{chosen.name} ({chosen.domain})" if chosen.name else f"domain {chosen.domain}"
        self._question, self._thaw = Target(label, DomainId(chosen.domain)), bool(chosen.frozen)
        if self._asks:
            verb = "thaw" if self._thaw else "freeze"
            self._say(f"{verb} {label}? y for yes, any other key for no")
        else:
            self._answer("y")

    def _answer(self, key: str) -> None:
        target, self._question = self._question, None
        assert target is not None
        if key not in ("y", "Y"):
            self._say(f"{target.label} is left as it is")
            return
        act = lifecycle.thaw if self._thaw else lifecycle.freeze

        def change(backend: Backend) -> str:
            (outcome,) = act(backend, [target])
            return f"{target.label}: {outcome.done if outcome.error is None else outcome.error}"

        try:
            said = self._host.ask(change)
        except TmemError as error:
            said = str(error)
        self.read()
        self._say(said)

    _ACTIONS = {  # noqa: RUF012  (a constant)
        "q": _quit,
        "escape": _quit,
        "h": _help,
        "?": _help,
        "space": _pause,
        "s": _next_sort,
        "r": _reverse,
        "p": _by_pool,
        "tab": _by_pool,
        "f": _freeze_or_thaw,
    }

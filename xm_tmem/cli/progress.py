# SPDX-License-Identifier: GPL-2.0-only
"""Long work on a terminal: a bar with rate and time left, and Ctrl-C as a question instead of an exception."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REFRESH_S = 0.1
BAR_WIDTH = 16  # leaves room for the words on a terminal of 80 columns
SOUND_AFTER_S = (
    5.0  # what came before says little of the rest: a scenario's time may stand still, and then jump
)

Show = Callable[[float, str], None]
"""Shows how much is done, and a word on it; cheap to call often."""


def wants_bar() -> bool:
    """Is there a terminal to draw on? Bars go to standard error, results to standard output."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def bar(what: str, total: float | None, *, shown: bool, refresh_s: float = REFRESH_S) -> Iterator[Show]:
    """A progress bar, gone at the end; without a `total` it only shows that something happens.

    It is drawn every `refresh_s` at most.
    """
    if not shown:
        yield lambda done, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=BAR_WIDTH),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]:>12}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as progress:
        task = progress.add_task(what, total=total, note="", left="")
        start, drawn = time.monotonic(), 0.0

        def show(done: float, note: str) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= refresh_s:
                drawn = now
                left = time_left(done, total, now - start)
                progress.update(task, completed=done, note=note, left=left, refresh=True)

        yield show


def time_left(done: float, total: float | None, elapsed_s: float) -> str:
    """How long the rest takes at the mean rate so far; "" where nobody can know that, or not yet."""
    if total is None or done <= 0 or elapsed_s < SOUND_AFTER_S:
        return ""
    minutes, seconds = divmod(round(elapsed_s * max(total - done, 0) / done), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left"


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed or a kill came; for work that must not be left in the middle of a step."""
    seen: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: seen.append(number)) for number in numbers]
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

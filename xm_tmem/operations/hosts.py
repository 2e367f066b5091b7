# SPDX-License-Identifier: GPL-2.0-only
"""The same question to several hosts at once: each in its own thread, each with its own answer or error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from xm_tmem.backends.interface import Backend
from xm_tmem.errors import TmemError

T = TypeVar("T")


class Answer(Generic[T]):
    """What one host said: exactly one of `value` and `error` is there."""

    __slots__ = ("connection", "error", "values")

    def __init__(self, connection: str, values: list[T], error: TmemError | None) -> None:
        self.connection, self.values, self.error = connection, values, error

    @property
    def value(self) -> T:
        """The answer; only to be asked of one without an error."""
        return self.values[0]


def ask(connection: str, connect: Callable[[str], Backend], question: Callable[[Backend], T]) -> Answer[T]:
    """Connect and put `question`; the connection is closed afterwards."""
    try:
        backend = connect(connection)
        try:
            return Answer(backend.name, [question(backend)], None)
        finally:
            backend.close()
    except TmemError as error:
        return Answer(connection, [], error)


def ask_all(
    connections: Sequence[str], connect: Callable[[str], Backend], question: Callable[[Backend], T]
) -> list[Answer[T]]:
    """`question` to every connection; the answers in the connections' order.

    One connection is asked in this thread. A `question` for several must not depend on the main thread (signals).
    Any exception that is no TmemError is raised again here once all threads have ended.
    """
    if len(connections) == 1:
        return [ask(connections[0], connect, question)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(len(connections), 32)) as pool:
        futures = [pool.submit(ask, connection, connect, question) for connection in connections]
        return [future.result() for future in futures]

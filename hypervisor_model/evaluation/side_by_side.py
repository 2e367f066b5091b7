# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios on several processors: each in a process of its own, no more than so many at a time.

What a scenario counts depends on its seeds alone, so it comes out the same in whatever process it runs.
"""

import signal
from collections.abc import Callable, Sequence
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection, wait
from typing import Final, Protocol, TypeVar

from hypervisor_model.evaluation.result import Result

ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Case(Protocol):
    """What has a name and can be run."""

    @property
    def name(self) -> str: ...
    @property
    def run(self) -> Callable[[], list[Result]]: ...


C = TypeVar("C", bound=Case)


def side_by_side(
    cases: Sequence[C], jobs: int, begun: Callable[[C], None], ended: Callable[[C, list[Result]], None]
) -> None:
    """Run all; `begun` and `ended` hear of each.

    Raises what a scenario raises, and RuntimeError for one whose process was killed. However it ends, no process stays.
    """
    waiting = list(cases)
    running: dict[Connection, tuple[C, Process]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                case = waiting.pop(0)
                receiver, sender = Pipe(duplex=False)
                # A signal waits until the new process has its own handlers, and until this one knows the process.
                mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
                try:
                    process = Process(target=_work, args=(case, sender, mask), daemon=True)
                    process.start()
                    running[receiver] = case, process
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                sender.close()  # or its end would never be seen
                begun(case)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                case, process = running[ready]
                answer = _answer(ready, case, process)
                del running[ready]
                ended(case, answer)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _answer(receiver: Connection, case: Case, process: Process) -> list[Result]:
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{case.name} ended without a result, with status {process.exitcode}") from None
    process.join()
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, list)
    return answer


def _work(case: Case, sender: Connection, mask: set[signal.Signals]) -> None:
    """In the process: Ctrl-C is the parent's to answer, who then ends this one."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        answer: list[Result] | Exception = case.run()
    except Exception as error:
        answer = error
    sender.send(answer)

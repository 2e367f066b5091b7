# SPDX-License-Identifier: GPL-2.0-only
"""How time is taken on a machine that others use too.

The subject and its reference take turns, each for a few milliseconds at most, and only what was taken in the same
round is compared. Work in this process is timed by the thread's own CPU time, which does not count what the machine
gives to others meanwhile; whole processes by the clock on the wall, which is what a user waits for, with their CPU
time beside it. What is reported is the median over the rounds.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

cpu_ns = time.thread_time_ns
Command = Sequence[str]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(subject: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return median([one / other for one, other in zip(subject, reference, strict=True)])


def in_turns(acts: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """CPU nanoseconds per operation of each act in each round; an act returns how many operations it did.

    In each round the acts come in another order, so that none always follows the same one.
    """
    order = random.Random(1)
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name in order.sample(list(acts), len(acts)):
            start = cpu_ns()
            count = acts[name]()
            taken[name].append((cpu_ns() - start) / count)
    return taken


class Process:
    """What a command took, round by round, in milliseconds."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []


def processes_in_turns(commands: Mapping[str, Command], rounds: int, **options: Any) -> dict[str, Process]:
    """Each command's whole process, from fork to end, `rounds` times after one round that warms the caches.

    Output is thrown away. Raises CalledProcessError if one fails; `options` are those of subprocess.
    """
    order = random.Random(1)
    taken = {name: Process() for name in commands}
    for number in range(rounds + 1):
        for name in order.sample(list(commands), len(commands)):
            wall_ms, cpu_ms = run_timed(commands[name], **options)
            if number:
                taken[name].wall_ms.append(wall_ms)
                taken[name].cpu_ms.append(cpu_ms)
    return taken


def run_timed(command: Command, **options: Any) -> tuple[float, float]:
    """Milliseconds on the wall, and of CPU, that a process takes."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
    start = time.perf_counter()
    # The process is reaped by wait4, which tells what it used; Popen is left with what it would have found.
    process = subprocess.Popen(command, **streams)
    _, status, usage = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - start) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall_ms, (usage.ru_utime + usage.ru_stime) * 1e3

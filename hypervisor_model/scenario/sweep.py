# SPDX-License-Identifier: GPL-2.0-only
"""One scenario over and over with some of its values varied: every combination is a run of its own.

A key is `host.KEY`, `seed`, `duration`, or a guest's key with the guest's name behind it: `weight.web`,
`workload.rate.web`, `weight.*` for all guests. Results come in the order in which runs end, and are lines of JSON where
they are kept, so that a sweep that was interrupted can go on with what is not there yet.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from hypervisor_model.scenario import kept
from hypervisor_model.scenario.document import MAX_PATH, Node, contents, parse, printable
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.kept import Point
from hypervisor_model.scenario.load import Scenario, checked
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot

MAX_POINTS: Final = 10_000


class SweepError(Exception):
    """The runs of a sweep could not be made, through no fault of the scenario."""


def parse_axis(text: str) -> tuple[str, list[str]]:
    """`KEY=V1,V2,...` as key and values. Raises ValueError."""
    key, equals, rest = text.partition("=")
    values = [value.strip() for value in rest.split(",")]
    if not equals or not key.strip() or not all(values):
        raise ValueError(f"{printable(text)!r} varies nothing: write KEY=V1,V2")
    if len(set(values)) < len(values):
        raise ValueError(f"{printable(text)!r} has a value twice")
    return key.strip(), values


def combinations(axes: Sequence[tuple[str, Sequence[str]]]) -> list[Point]:
    """Every combination of the axes' values. Raises ValueError for too many, or one key twice."""
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise ValueError("a key is varied twice")
    count = 1
    for _, values in axes:
        count *= len(values)
    if count > MAX_POINTS:
        raise ValueError(f"{count} runs are more than {MAX_POINTS}")
    return [
        dict(zip(keys, choice, strict=True)) for choice in itertools.product(*(values for _, values in axes))
    ]


@dataclass(frozen=True, slots=True)
class Original:
    """The file that is varied, as it was when the sweep began: what is sent to wherever its runs are."""

    file: str
    """What complaints call it."""
    raw: bytes
    directory: str
    """Where it lies, from the root: files that it names are relative to this."""
    version: str
    """Of the program that runs it."""

    @classmethod
    def at(cls, path: str, version: str = "") -> Original:
        """The file at `path`. Raises ScenarioError when it cannot be read."""
        directory = os.path.dirname(os.path.abspath(path))
        return cls(printable(path, MAX_PATH), contents(path), directory, version)

    def varied(self, point: Point) -> Scenario:
        """The scenario with the values of `point`. Raises ScenarioError."""
        root = parse(self.raw, file=self.file)
        for key, text in point.items():
            _vary(root, key, parse(text.encode(), file=f"{self.file}: {key}={text}"), self.file)
        return checked(root, self.file, self.directory)

    def identity(self, point: Point) -> str:
        """A digest of all that the result at `point` comes from. Raises ScenarioError.

        It differs when the scenario, a value, the version, or a file that the scenario names does: that one's path,
        size and time of change stand for what is in it. The order of the keys is nothing to it.
        """
        digest = hashlib.sha256(self.raw)
        files = [(path, *_size_and_time(path)) for path in sorted(self.varied(point).files)]
        digest.update(json.dumps([self.version, sorted(point.items()), files]).encode())
        return digest.hexdigest()


def _size_and_time(path: str) -> tuple[int, int]:
    """Bytes, and nanoseconds since 1970, of a file; zeros where there is none: its run will say so."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _vary(root: Node, key: str, value: Node, file: str) -> None:
    """Put `value` where `key` says."""
    steps = key.split(".")
    if steps[0] in ("host", "seed", "duration"):
        _put(root, steps, value, file)
        return
    guests = root.value.get("guests") if isinstance(root.value, dict) else None
    listed = guests.value if guests is not None and isinstance(guests.value, list) else []
    found = [guest for guest in listed if _is_called(guest, steps[-1])]
    if not found or len(steps) < 2:
        raise ScenarioError("vary host.KEY, seed, duration, or KEY.GUEST", file=file, key=printable(key))
    for guest in found:
        _put(guest, steps[:-1], value, file)


def _is_called(guest: Node, name: str) -> bool:
    if not isinstance(guest.value, dict) or "name" not in guest.value:
        return False
    return name in ("*", guest.value["name"].value)


def _put(node: Node, steps: Sequence[str], value: Node, file: str) -> None:
    if not isinstance(node.value, dict):
        raise ScenarioError("is no mapping", file=file, line=node.line, key=printable(steps[0]))
    children = node.value
    if len(steps) == 1:
        value.line = children.get(steps[0], node).line
        children[steps[0]] = value
    else:
        _put(children.setdefault(steps[0], Node({}, node.line)), steps[1:], value, file)


def run_point(original: Original, point: Point) -> dict[str, Any]:
    """The report of one combination. Raises ScenarioError."""
    scenario = original.varied(point)
    runner = boot(scenario)
    if runner.endless:
        raise ScenarioError("never ends: give `duration`, or an end to each guest", file=runner.file)
    runner.run()
    return report(runner, complete=True, description=scenario.description)


@contextmanager
def workers(count: int | None = None, dask: str | None = None) -> Iterator[Executor]:
    """Processes of this machine, one for each core unless `count` says, or the cluster of a Dask scheduler.

    They leave Ctrl-C to whoever waits for them; what has not begun then never does. Raises SweepError.
    """
    if dask is not None:
        with _dask_client(dask) as client:
            yield client.get_executor(pure=False)
        return
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_leave_interrupts)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _dask_client(address: str) -> Any:
    try:
        distributed = importlib.import_module("dask.distributed")
    except ImportError:
        raise SweepError(
            "a Dask cluster needs the package distributed: pip install 'xm-tmem[dask]'"
        ) from None
    try:
        return distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise SweepError(f"no Dask scheduler at {printable(address)}: {error}") from None


def run_all(original: Original, points: Mapping[str, Point], executor: Executor) -> Iterator[dict[str, Any]]:
    """The results of all points, by their identities, in the order in which they end. Raises ScenarioError.

    Raises SweepError when a worker dies.
    """
    futures: dict[Future[dict[str, Any]], str] = {
        executor.submit(run_point, original, point): identity for identity, point in points.items()
    }
    try:
        for future in as_completed(futures):
            identity = futures[future]
            yield kept.result(identity, points[identity], future.result())
    except BrokenExecutor as error:
        raise SweepError(f"a run's process ended before its time: {error}") from None
    finally:
        for future in futures:
            future.cancel()

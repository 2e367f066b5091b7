# SPDX-License-Identifier: GPL-2.0-only
"""One scenario over and over with some of its values varied: every combination is a run of its own.

A key is `host.KEY`, `seed`, `duration`, or a guest's key with the guest's name behind it: `weight.web`,
`workload.rate.web`, `weight.*` for all guests. Results come in the order in which runs end, and are lines of JSON where
they are kept, so that a sweep that was interrupted can go on with what is not there yet.
"""

from __future__ import annotations

import importlib
import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, Final

from hypervisor_model.scenario.document import MAX_PATH, Node, parse, printable, read
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import Scenario, checked
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot

SCHEMA: Final = "xm-tmem/sweep/1"
MAX_POINTS: Final = 10_000

Point = Mapping[str, str]
"""A value, as it would stand in the file, for each key that is varied."""


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


def load_varied(path: str, point: Point) -> Scenario:
    """The scenario in the file at `path` with the values of `point`. Raises ScenarioError."""
    root, file = read(path), printable(path, MAX_PATH)
    for key, text in point.items():
        _vary(root, key, parse(text.encode(), file=f"{file}: {key}={text}"), file)
    return checked(root, file, os.path.dirname(os.path.abspath(path)))


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


def run_point(path: str, point: Point) -> dict[str, Any]:
    """The result of one combination, as it stands in the file of results. Raises ScenarioError."""
    runner = boot(load_varied(path, point))
    if runner.endless:
        raise ScenarioError("never ends: give `duration`, or an end to each guest", file=runner.file)
    runner.run()
    return {"schema": SCHEMA, "vary": dict(point), "report": report(runner, complete=True)}


def results_in(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The results in what an earlier sweep wrote; a last line that is not whole is left out."""
    found = []
    for line in lines:
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if isinstance(result, dict) and result.get("schema") == SCHEMA:
            found.append(result)
    return found


@contextmanager
def workers(count: int | None = None, dask: str | None = None) -> Iterator[Executor]:
    """Processes of this machine, one for each core unless `count` says, or the cluster of a Dask scheduler.

    They leave Ctrl-C to whoever waits for them; what has not begun then never does. Raises SweepError.
    """
    if dask is not None:
        with _dask_client(dask) as client:
            yield client.get_executor()
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


def run_all(path: str, points: Sequence[Point], executor: Executor) -> Iterator[dict[str, Any]]:
    """The results of all points, in the order in which they end. Raises ScenarioError.

    Raises SweepError when a worker dies.
    """
    futures: list[Future[dict[str, Any]]] = [executor.submit(run_point, path, point) for point in points]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenExecutor as error:
        raise SweepError(f"a run's process ended before its time: {error}") from None
    finally:
        for future in futures:
            future.cancel()

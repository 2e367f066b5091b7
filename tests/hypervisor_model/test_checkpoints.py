# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots are written beside the work, and what is asked meanwhile is in the old file as in the new."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hypervisor_model.checkpoint import CheckpointError, Entry, Journal
from hypervisor_model.checkpoints import Checkpoints
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import wire
from hypervisor_model.scenario.runner import Runner


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.sqlite")


@pytest.fixture
def make(path: str) -> Iterator[Callable[..., Checkpoints]]:
    made: list[Checkpoints] = []

    def one(interval_s: float = 0) -> Checkpoints:
        made.append(Checkpoints(path, interval_s=interval_s, notes={"scenario": "test"}))
        return made[-1]

    yield one
    for checkpoints in made:
        checkpoints.close()


def finish(checkpoints: Checkpoints, runner: Runner) -> tuple[int, str]:
    """Wait for a snapshot to end; its number and what went wrong."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ended = checkpoints.step(runner)
        if ended is not None:
            return ended
        time.sleep(0.01)
    raise AssertionError("no snapshot")


def note(checkpoints: Checkpoints, runner: Runner, argument: bytes) -> None:
    checkpoints.note(Entry(runner.position, 0, wire.Call(38, argument)))
    checkpoints.commit()


def journaled(path: str) -> list[bytes]:
    connection = sqlite3.connect(path)
    try:
        return [argument for (argument,) in connection.execute("SELECT argument FROM journal ORDER BY seq")]
    finally:
        connection.close()


def test_what_is_asked_while_a_snapshot_is_written_is_in_both_files(
    make: Callable[..., Checkpoints], path: str
) -> None:
    runner, checkpoints = Runner(Hypervisor(frames=1024), []), make()
    assert finish(checkpoints, runner) == (1, "")
    note(checkpoints, runner, b"before")
    assert checkpoints.ask() == 2
    checkpoints.step(runner)  # forks
    note(checkpoints, runner, b"meanwhile")
    assert checkpoints.status()["journal_entries"] == "2", "the old file still counts"
    assert finish(checkpoints, runner) == (2, "")
    assert checkpoints.status()["journal_entries"] == "1"
    note(checkpoints, runner, b"after")
    checkpoints.close()
    assert journaled(path) == [b"meanwhile", b"after"]


def test_who_asks_while_one_is_written_gets_the_next(make: Callable[..., Checkpoints]) -> None:
    runner, checkpoints = Runner(Hypervisor(frames=1024), []), make()
    checkpoints.step(runner)
    assert checkpoints.ask() == 2
    assert [finish(checkpoints, runner)[0], finish(checkpoints, runner)[0]] == [1, 2]


def test_at_intervals_only_when_something_happened(make: Callable[..., Checkpoints]) -> None:
    runner, checkpoints = Runner(Hypervisor(frames=1024), []), make(0.02)
    assert finish(checkpoints, runner) == (1, "")
    for _ in range(5):
        time.sleep(0.03)
        assert checkpoints.step(runner) is None
    assert checkpoints.poll_s(1.0) == 1.0, "no child is at work"
    note(checkpoints, runner, b"x")
    time.sleep(0.03)
    assert finish(checkpoints, runner) == (2, "")


def test_a_snapshot_that_cannot_be_written_leaves_the_file_before_it(
    make: Callable[..., Checkpoints], path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    runner, checkpoints = Runner(Hypervisor(frames=1024), []), make()
    finish(checkpoints, runner)
    note(checkpoints, runner, b"kept")
    runner.guests = [open]  # type: ignore[list-item]
    checkpoints.ask()
    assert finish(checkpoints, runner) == (2, "the checkpoint could not be written; the log says why")
    assert "cannot be kept in a checkpoint" in capfd.readouterr().err
    with pytest.raises(CheckpointError):
        checkpoints.write_last(runner)
    checkpoints.close()
    assert journaled(path) == [b"kept"]


def test_a_journal_that_breaks_is_replaced_by_a_snapshot(
    make: Callable[..., Checkpoints],
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    runner, checkpoints = Runner(Hypervisor(frames=1024), []), make()
    finish(checkpoints, runner)

    def full(journal: Journal, entries: object) -> None:
        raise CheckpointError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        note(checkpoints, runner, b"lost in the journal")
    assert "the disk is full" in capfd.readouterr().err
    assert finish(checkpoints, runner) == (2, "")
    note(checkpoints, runner, b"next")
    checkpoints.close()
    assert journaled(path) == [b"next"]

# SPDX-License-Identifier: GPL-2.0-only
"""When a model host writes its checkpoints: when told, at stop and at intervals, without keeping anybody waiting.

A snapshot is written by a forked child, which has the state of that one moment however long it takes, while this
process goes on. Hypercalls made meanwhile go to the old file's journal and, when the child is done, to the new one's
as well; then the new file replaces the old.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping
from typing import Final

from hypervisor_model.checkpoint import CheckpointError, Entry, Journal, install, write_snapshot
from hypervisor_model.instance import say
from hypervisor_model.scenario.runner import Runner

CHILD_POLL_S: Final = 0.02
LONG_JOURNAL: Final = 10_000  # entries; then a snapshot is due however short the interval


class Checkpoints:
    """The checkpoint file at `path` and the snapshot being written, if any."""

    def __init__(
        self, path: str, *, interval_s: float, notes: Mapping[str, str], journal: Journal | None = None
    ) -> None:
        self.path = path
        self._new = f"{path}.new"
        self._interval_s = interval_s  # 0: none at intervals
        self._notes = notes
        self._journal = journal  # None: there is no snapshot yet, or its journal broke
        self._uncommitted: list[Entry] = []
        self._since_fork: list[Entry] = []
        self._child: int | None = None
        self._asked = journal is None
        self._forks = 0
        self._due = time.monotonic() + interval_s
        self._taken_at: tuple[int, int | None] | None = None  # position of the last snapshot
        self._forked_at: tuple[int, int | None] | None = None
        self._written = ""

    def note(self, entry: Entry) -> None:
        """A hypercall is about to be made; `commit` before it is answered."""
        self._uncommitted.append(entry)

    def commit(self) -> None:
        """Write the noted hypercalls to the journal. A journal that fails is replaced by a snapshot."""
        if not self._uncommitted:
            return
        entries, self._uncommitted = self._uncommitted, []
        if self._child is not None:
            self._since_fork += entries
        if self._journal is not None:
            try:
                self._journal.append(entries)
            except CheckpointError as error:
                self._complain(str(error))
                self._drop_journal()
        if self._journal is None or self._journal.length >= LONG_JOURNAL:
            self._asked = True

    def ask(self) -> int:
        """Have a snapshot written that holds everything up to now; its number."""
        self._asked = True
        return self._forks + 1

    def step(self, runner: Runner) -> tuple[int, str] | None:
        """Go on. When a snapshot ended: its number, and "" or what went wrong."""
        if self._child is not None:
            outcome = self._reap()
            return None if outcome is None else (self._forks, outcome)
        if self._asked or self._is_due(runner):
            problem = self._fork(runner)
            if problem:
                return self._forks, problem
        return None

    def write_last(self, runner: Runner) -> None:
        """Write a snapshot here and now. Raises CheckpointError."""
        self._forget_child()
        self.commit()
        write_snapshot(self._new, runner, self._now())
        self._install([])

    def poll_s(self, limit_s: float) -> float:
        """How long the host may sleep before it calls `step` again."""
        return min(limit_s, CHILD_POLL_S) if self._child is not None else limit_s

    def status(self) -> dict[str, str]:
        """For the status of the host."""
        entries = 0 if self._journal is None else self._journal.length
        return {"checkpoint": self.path, "checkpoint_written": self._written, "journal_entries": str(entries)}

    def close(self) -> None:
        """Leave the files as they are."""
        self._forget_child()
        self._drop_journal()

    def _is_due(self, runner: Runner) -> bool:
        if not self._interval_s or time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._interval_s
        changed = self._journal is None or self._journal.length > 0
        return changed or runner.position != self._taken_at

    def _fork(self, runner: Runner) -> str:
        """Start a child that writes the snapshot; "" or what went wrong."""
        self._asked = False
        self._forks += 1
        self._due = time.monotonic() + self._interval_s
        self._since_fork = []
        self._forked_at = runner.position
        notes = self._now()
        gc.freeze()  # the child's collector would touch, and so copy, every page it inherits
        try:
            pid = os.fork()
        except OSError as error:
            return f"cannot fork to write a checkpoint: {error.strerror}"
        finally:
            gc.unfreeze()
        if pid:
            self._child = pid
            return ""
        status = 1
        try:
            os.closerange(
                3, os.sysconf("SC_OPEN_MAX")
            )  # or clients would not see the host close their connection
            write_snapshot(self._new, runner, notes)
            status = 0
        except BaseException as error:
            self._complain(f"{type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def _reap(self) -> str | None:
        """If the child has ended, put its snapshot in place."""
        assert self._child is not None
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if not pid:
            return None
        self._child = None
        if status:
            return "the checkpoint could not be written; the log says why"
        try:
            self._install(self._since_fork)
        except CheckpointError as error:
            self._complain(str(error))
            return str(error)
        self._taken_at = self._forked_at
        return ""

    def _install(self, entries: list[Entry]) -> None:
        self._drop_journal()
        try:
            self._journal = install(self._new, self.path, entries)
        except CheckpointError:
            self._asked = True
            raise
        self._written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def _forget_child(self) -> None:
        """End a snapshot that is being written."""
        if self._child is not None:
            os.kill(self._child, 9)
            os.waitpid(self._child, 0)
            self._child = None

    def _drop_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _now(self) -> dict[str, str]:
        return {**self._notes, "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def _complain(self, text: str) -> None:
        say(f"checkpoint: {text}")

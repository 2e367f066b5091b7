# SPDX-License-Identifier: GPL-2.0-only
"""One run of `xm`: the options in force, the connections, and how results and errors reach the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from xm_tmem.backends.interface import Backend
from xm_tmem.cli import output
from xm_tmem.errors import BadInput, Failed, TmemError
from xm_tmem.operations.hosts import Answer, ask_all
from xm_tmem.operations.outcome import sum_up
from xm_tmem.render import plain
from xm_tmem.render.cells import visible
from xm_tmem.render.sections import Block
from xm_tmem.settings import Settings, load

T = TypeVar("T")


class Session:
    """The options every command has, as they were given, and what follows from them."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.connect: tuple[str, ...] = ()
        self.output: str | None = None
        self.color: str | None = None
        self.quiet = self.verbose = self.dry_run = self.yes = False
        self.status = 0  # the exit status, unless an error ends the run
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """Config files and environment, read when first needed. Raises BadInput."""
        if self._settings is None:
            self._settings = load(self.environ)
        return self._settings

    @property
    def format(self) -> str:
        """The output format, with `auto` decided: a table on a terminal, plain elsewhere."""
        wanted = self.output or self.settings.output
        if wanted == "auto":
            return "table" if output.is_terminal() else "plain"
        return wanted

    @property
    def machine(self) -> bool:
        """Is the output for a program, that is, neither a table nor plain text?"""
        return self.format not in ("table", "plain")

    # Connections.

    def connections(self) -> tuple[str, ...]:
        """The connections asked for; an empty one means: find one."""
        return self.settings.connections(self.connect) or ("",)

    def open(self, connection: str) -> Backend:
        """A backend for `connection`; with --dry-run, one that changes nothing. Raises Unreachable."""
        from xm_tmem.backends.registry import connect

        backend = connect(connection or None, self.settings)
        if self.verbose:
            self.note(f"connected to {backend.name}")
        if self.dry_run:
            from xm_tmem.operations.rehearsal import Rehearsal

            return Rehearsal(backend)
        return backend

    def ask(self, question: Callable[[Backend], T]) -> list[Answer[T]]:
        """`question` put to every connection at once. A single connection's error is raised."""
        answers = ask_all(self.connections(), self.open, question)
        if len(answers) == 1 and answers[0].error is not None:
            raise answers[0].error
        return answers

    def ask_one(self, question: Callable[[Backend], T], what: str) -> T:
        """`question` put to the one connection there is. Raises BadInput when there are several."""
        connections = self.connections()
        if len(connections) > 1:
            raise BadInput(f"{what} works on one host at a time, not on {len(connections)}")
        return self.ask(question)[0].value

    def settle(self, answers: Sequence[Answer[T]]) -> None:
        """Report the hosts that failed, and let the run end with the status that stands for all of them."""
        for answer in answers:
            if answer.error is not None:
                output.complain(f"{answer.connection}: {answer.error}")
        self.conclude([answer.error for answer in answers])

    def conclude(self, errors: Sequence[TmemError | None]) -> None:
        """Let the run end with the status that stands for `errors`, each of which the user has seen."""
        error = sum_up(errors)
        if error is None:
            return
        if error not in errors:
            output.complain(str(error))
        self.status = error.exit_status
        self._report_json(str(error), type(error).__name__, error.exit_status)

    # What the user sees.

    def write(self, text: str | bytes) -> None:
        """A result, to standard output."""
        output.write(text)

    def write_blocks(
        self, blocks: Sequence[Block], *, headings: bool = True, units: str | None = None
    ) -> None:
        """Sections and facts, as a table or as plain text. Without `units` amounts are shown as the format likes."""
        wanted = units or self.settings.units
        if self.format == "table":
            text = self.draw(blocks, headings=headings, units=wanted)
        else:
            text = plain.render(
                blocks, units="pages" if wanted == "auto" and not units else wanted, headings=headings
            )
        self.write(text)

    def draw(self, blocks: Sequence[Block], *, headings: bool, units: str) -> str:
        """Sections and facts as a table for the terminal there is."""
        color = self.color or self.settings.color
        return output.draw(blocks, units=units, headings=headings, color=color, environ=self.environ)

    def note(self, message: str) -> None:
        """Something worth knowing, to standard error, unless --quiet."""
        if not self.quiet:
            output.complain(message)

    def fail(self, error: TmemError) -> None:
        """Report `error`, and let its exit status be the run's."""
        self.report(str(error), type(error).__name__, error.exit_status)

    def report(self, message: str, kind: str, status: int) -> None:
        """An error line; with `-o json` also one JSON object, on standard error both."""
        output.complain(message)
        self.status = status
        self._report_json(message, kind, status)

    def _report_json(self, message: str, kind: str, status: int) -> None:
        configured = self._settings.output if self._settings else self.environ.get("XM_OUTPUT")
        if (self.output or configured) in ("json", "jsonl"):
            import json

            error = {"kind": kind, "message": message, "exit_status": status}
            output.write_error(json.dumps({"error": error}) + "\n")

    def confirm(self, sentence: str) -> None:
        """Ask before something dangerous when there is somebody to ask. Raises Failed for anything but yes."""
        if self.yes or self.dry_run or not self.settings.confirm:
            return
        if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
            return
        output.write_error(f"{visible(sentence)} [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failed("nothing was changed")


def require_format(session: Session, known: Sequence[str], command: str) -> str:
    """The session's format, which must be one of `known`. Raises BadInput."""
    if session.format not in known:
        raise BadInput(f"{command} has no {session.format} output: use {', '.join(known)}")
    return session.format

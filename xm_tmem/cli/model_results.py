# SPDX-License-Identifier: GPL-2.0-only
"""Reports of model runs as files and as rows: what `xm model sweep` and `compare` read, keep and show."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import SEEK_END
from typing import Any, BinaryIO

from xm_tmem.cli.grid import Heading, serialise, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.errors import BadInput, Failed
from xm_tmem.render.sections import Fact

MAX_REPORT_BYTES = 64 << 20
DISK_FIGURES = ("file_pages_read", "file_pages_written", "swap_ins", "swap_outs")

Result = dict[str, Any]


def report_in(path: str, checked: Callable[[object], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The report in a file, as `checked` finds it. Raises BadInput."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_REPORT_BYTES + 1)
        if len(raw) > MAX_REPORT_BYTES:
            raise BadInput(f"{path}: no report of a run: larger than {MAX_REPORT_BYTES >> 20} MiB")
        document = json.loads(raw)
    except OSError as error:
        raise BadInput(f"{path}: no report of a run: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: no report of a run: it is not JSON") from None
    try:
        return checked(document)
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from None


def json_line(document: Result) -> str:
    """The document for a file: it may hold thousands of samples, which are not for reading line by line."""
    return json.dumps(document, separators=(",", ":")) + "\n"


class Draft:
    """What a file will hold. It is there whole once it is written, and until then as it was."""

    def __init__(self, path: str) -> None:
        """Raises Failed where the file could not be made."""
        self._path = self._shown = path
        self._beside: str | None = None
        try:
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if os.path.exists(path) and not os.path.isfile(path):
                return  # a terminal or a pipe is written to as it is
            self._path = os.path.realpath(path)  # a link stays a link
            folder, name = os.path.split(self._path)
            beside = os.path.join(folder, f".{name}.{os.getpid()}.new")
            with open(beside, "xb"):
                self._beside = beside
            if os.path.lexists(self._path):
                os.chmod(beside, os.stat(self._path).st_mode & 0o777)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            self.drop()
            raise self._failed(error) from None

    def _failed(self, error: OSError | ValueError) -> Failed:
        reason = error.strerror if isinstance(error, OSError) else "no name for a file"
        return Failed(f"{self._shown}: cannot be written: {reason}")

    def write(self, text: str) -> None:
        """Make the file, or replace the one that is there. Raises Failed."""
        try:
            with open(self._beside or self._path, "w", encoding="utf-8") as file:
                file.write(text)
            if self._beside is not None:
                os.replace(self._beside, self._path)
                self._beside = None
        except OSError as error:
            raise self._failed(error) from None

    def drop(self) -> None:
        """Leave nothing beside the file."""
        if self._beside is not None:
            os.unlink(self._beside)
            self._beside = None


@contextmanager
def drafted(path: str | None) -> Iterator[Draft | None]:
    """A draft for the file at `path`, which is not touched unless it is written. Raises Failed."""
    draft = None if path is None else Draft(path)
    try:
        yield draft
    finally:
        if draft is not None:
            draft.drop()


@contextmanager
def kept_results(
    path: str | None, read: Callable[[BinaryIO], tuple[dict[str, Result], int]]
) -> Iterator[tuple[dict[str, Result], Callable[[Result], None]]]:
    """The results that are in a file, and what adds one to it; without a `path` none, and nothing is kept.

    The file is locked meanwhile. `read` also says how many bytes of it are results. Those behind them are of one that
    was cut short, and go when the next is added.
    """
    if path is None:
        yield {}, lambda result: None
        return
    try:
        with open(path, "a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failed(f"{path}: another sweep is at work on it") from None
            file.seek(0)
            try:
                there, size = read(file)
            except ValueError as error:
                raise BadInput(f"{path}: {error}") from None
            file.seek(max(0, size - 1))
            ended = not size or file.read(1) == b"\n"
            cut = file.seek(0, SEEK_END) > size

            def keep(result: Result) -> None:
                nonlocal ended, cut
                if cut:
                    file.truncate(size)
                file.write((b"" if ended else b"\n") + json.dumps(result).encode() + b"\n")
                file.flush()
                ended, cut = True, False

            yield there, keep
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from None


def failures_in(result: Result) -> list[tuple[str, str]]:
    """Guests of a run that ended before their time, and why."""
    return [
        (guest["name"], guest["driver"]["failure"])
        for guest in result["report"]["guests"]
        if "failure" in guest["driver"]
    ]


def show_sweep(session: Session, results: Sequence[Result]) -> None:
    """A row for each run: what was varied, how the host fared, each guest's hit ratio. Machines get whole reports.

    Guests with a disk also have their modelled seconds and their disk's pages.
    """
    if session.format in ("json", "jsonl", "yaml"):
        whole = {"schema": "xm-tmem/sweep-results/1", "runs": list(results)}
        session.write(serialise(session.format, whole, list(results)))
        return
    varied = list(results[0]["vary"]) if results else []
    runs = [{guest["name"]: guest for guest in result["report"]["guests"]} for result in results]
    names = list(dict.fromkeys(name for run in runs for name in run))
    with_disk = [name for name in names if any(_disk_pages(run.get(name, {})) is not None for run in runs)]
    headings = [Heading(key, "text", "as given with --vary") for key in varied]
    headings += [Heading("ephemeral_pages", "pages"), Heading("evicted", "count")]
    headings += [Heading(f"hit_ratio.{name}", "ratio", "gets that found their page") for name in names]
    for name in with_disk:
        headings.append(Heading(f"modelled_s.{name}", "seconds", "the guest's own time"))
        headings.append(Heading(f"disk_pages.{name}", "count", "read and written, files and swap"))
    rows = []
    for result, run in zip(results, runs, strict=True):
        host = result["report"]["host"]
        row = [result["vary"].get(key) for key in varied]
        row += [_number(host, "ephemeral_pages"), _number(host, "evicted")]
        row += [_number(run.get(name, {}), "hit_ratio") for name in names]
        for name in with_disk:
            guest = run.get(name, {})
            row += [_number(guest, "modelled_s"), _disk_pages(guest)]
        rows.append(row)
    show_rows(session, "sweep", headings, rows)


def _disk_pages(guest: Mapping[str, Any]) -> int | float | None:
    """Pages that went from or to the guest's disk; None of a guest without one."""
    driver = guest.get("driver")
    if not isinstance(driver, dict):
        return None
    pages = [_number(driver, figure) for figure in DISK_FIGURES]
    return None if None in pages else sum(each for each in pages if each is not None)


def _number(record: Mapping[str, Any], key: str) -> int | float | None:
    """What a file has there, if it is a number that can be shown."""
    value = record.get(key)
    return value if isinstance(value, (int, float)) and abs(value) < 1 << 64 else None


def show_comparison(session: Session, rows: Sequence[Sequence[Any]]) -> None:
    """A row for each figure of two runs: where, which, the two values, and the relative change."""
    headings = [
        Heading("where", "text"),
        Heading("figure", "text"),
        Heading("first", "count"),
        Heading("second", "count"),
        Heading("change", "ratio"),
    ]
    show_rows(session, "comparison", headings, rows)


def status_fact(name: str, text: str) -> Fact:
    """A field of a host's status: numbers as such."""
    if name.endswith("_s"):
        return Fact(name, "seconds", "", float(text))
    if name == "factor" and text != "max":
        return Fact(name, "count", "", float(text))
    return Fact(name, "count", "", int(text)) if text.isdecimal() else Fact(name, "text", "", text)


def factor_in(text: str) -> float:
    """Modelled seconds per second as the user wrote them. Raises BadInput."""
    if text == "max":
        return float("inf")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1e-6 <= factor <= 1e6:
        raise BadInput(f"--factor {text}: give modelled seconds per second, 0.000001 to 1000000, or max")
    return factor

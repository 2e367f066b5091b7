# SPDX-License-Identifier: GPL-2.0-only
"""What tmem-save, tmem-restore, tmem-migrate and tmem-stream share: files, progress, rates, the switch's command."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from xm_tmem.backends.interface import Backend, DomainInfo
from xm_tmem.cli.params import SIZE_KB
from xm_tmem.cli.session import Session
from xm_tmem.errors import BadInput, Failed
from xm_tmem.operations.resolve import resolve
from xm_tmem.units import PAGE_BYTES

if TYPE_CHECKING:
    from xm_tmem.operations.migration import Progress

F = TypeVar("F", bound=Callable[..., Any])
STANDARD = "-"


def save_options(function: F) -> F:
    """The options of what reads pages from a host."""
    for option in (
        click.option(
            "--live", is_flag=True, help="Let the guest run meanwhile, and carry what it invalidates."
        ),
        click.option(
            "--switch",
            metavar="COMMAND",
            help="With --live: run this when all pages are copied; it pauses the guest.",
        ),
        click.option("--partial", is_flag=True, help="Take what can be had, and say what is missing."),
        click.option("--risk-host", is_flag=True, help="Try --live on a release that it may crash."),
    ):
        function = option(function)
    return function


rate_option = click.option(
    "--rate", "rate_kb", metavar="SIZE", type=SIZE_KB, help="Copy no more than this each second: 50MiB."
)


def limit_bytes(rate_kb: int | None) -> int | None:
    """The rate in bytes each second. Raises BadInput for none at all."""
    if rate_kb == 0:
        raise BadInput("a rate of 0 never ends: leave --rate out for no limit")
    return None if rate_kb is None else rate_kb << 10


def domain_named(backend: Backend, text: str) -> DomainInfo:
    """The domain that `text` means. Raises NoSuchDomain, BadInput."""
    return resolve(backend.domains(), text)


def switching(command: str | None, *, live: bool) -> Callable[[], None] | None:
    """What runs `command`. Raises BadInput for a command that cannot be."""
    if command is None:
        return None
    import shlex

    if not live:
        raise BadInput("--switch is for --live: without it the domain has to be paused beforehand")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInput(f"--switch {command!r}: {error}") from None
    if not words:
        raise BadInput("--switch needs a command")

    def run() -> None:
        import subprocess

        try:
            status = subprocess.run(
                words, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr
            ).returncode
        except OSError as error:
            raise Failed(f"cannot run {words[0]}: {error.strerror}") from None
        if status:
            raise Failed(f"{words[0]} ended with exit status {status}")

    return run


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """The file, or standard input. Raises BadInput, and Failed for what goes wrong on the way."""
    try:
        if path == STANDARD:
            if sys.stdin is None or sys.stdin.isatty():
                raise BadInput("a stream does not come from a terminal: name a file, or use a pipe")
            yield sys.stdin.buffer
            return
        try:
            file = open(path, "rb")  # noqa: SIM115 - closed below; only the opening is the user's mistake
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from None
        with file:
            yield file
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from None


@contextmanager
def writing(path: str, *, replace: bool) -> Iterator[BinaryIO]:
    """A file that is there, whole and readable by its owner alone, once the block was left without an exception.

    Standard output, devices and pipes get what was written as it comes. Raises BadInput, Failed.
    """
    try:
        if path == STANDARD:
            if sys.stdout is None or sys.stdout.isatty():
                raise BadInput("a stream is nothing for a terminal: name a file, or use a pipe")
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as file:
                yield file
        else:
            yield from _replacing(path, replace=replace)
    except BrokenPipeError:
        raise Failed(f"cannot write {path}: the reader has gone") from None
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from None


def _replacing(path: str, *, replace: bool) -> Iterator[BinaryIO]:
    import tempfile

    if os.path.exists(path) and not replace:
        raise BadInput(f"{path} is there already: choose another name, or --force")
    directory, name = os.path.split(path)
    descriptor, part = tempfile.mkstemp(prefix=f".{name[:100]}.", suffix=".part", dir=directory or ".")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


@contextmanager
def progress(session: Session, what: str) -> Iterator[Progress]:
    """A bar on standard error if that is a terminal, else nothing."""
    from xm_tmem.operations.migration import no_progress

    if session.quiet or session.machine or sys.stderr is None or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar("{task.description}", *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done * PAGE_BYTES, total=(total or done) * PAGE_BYTES)

        yield show

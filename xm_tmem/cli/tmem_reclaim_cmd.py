# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-reclaim`: free memory, use it while nobody can take it back, leave every domain as it was."""

from __future__ import annotations

from collections.abc import Callable

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.params import SIZE_KB
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb
from xm_tmem.errors import BadInput, Failed
from xm_tmem.operations.reclaim import Reclaimed, reclaim

HEADINGS = (
    Heading("asked_kb", "kilobytes", "what was asked for"),
    Heading("freeable_mb", "megabytes", "what there was, by the hypervisor's answer"),
    Heading("freed_kb", "kilobytes", "what the host got back"),
    Heading("command_status", "number", "exit status of the command that ran meanwhile"),
)


@click.command(
    "tmem-reclaim",
    cls=Verb,
    changes=True,
    examples=[
        ("xm tmem-reclaim 512MiB", "free that much, or fail"),
        ("xm tmem-reclaim 2GiB -- xl create new.cfg", "start a guest before tmem can take the memory again"),
        ("xm -N tmem-reclaim 2GiB", "say what there would be to free"),
    ],
)
@click.argument("size_kb", metavar="SIZE", type=SIZE_KB)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def tmem_reclaim(session: Session, size_kb: int, command: tuple[str, ...]) -> None:
    """Free memory and leave each domain frozen or not, as it was.

    All domains are frozen, SIZE is flushed (KiB unless it says otherwise), COMMAND runs if there is one, and the
    domains that were not frozen before are thawed: when all went well, when something failed, and on Ctrl-C. Fails
    when COMMAND does, or, without COMMAND, when less than SIZE could be freed.
    """
    checked_format(session, "tmem-reclaim")
    session.confirm(
        f"Freeze all domains for a moment and evict up to {size_kb} KiB of their ephemeral pages?"
    )
    window = _running(command) if command and not session.dry_run else None

    def question(backend: Backend) -> Reclaimed:
        return reclaim(backend, size_kb, window=window)

    result = session.ask_one(question, "tmem-reclaim")
    if session.machine:
        row = (result.asked_kb, result.freeable_mb, result.freed_kb, result.status)
        show_rows(session, "reclaimed", HEADINGS, [row])
    elif not session.quiet:
        verb = "could be" if session.dry_run else "were"
        session.write(
            f"{result.freed_kb} of {size_kb} KiB {verb} freed; {result.freeable_mb} MiB were freeable\n"
        )
    if result.status:
        raise Failed(f"{command[0]} ended with exit status {result.status}; all domains are as before")
    if not command and result.freed_kb < size_kb:
        raise Failed(f"only {result.freed_kb} of {size_kb} KiB could be freed; all domains are as before")


def _running(command: tuple[str, ...]) -> Callable[[], int]:
    """What runs `command` and answers its exit status. Raises BadInput when there is no such program."""

    def run() -> int:
        import subprocess

        try:
            return subprocess.run(command, check=False).returncode
        except OSError as error:
            raise BadInput(f"cannot run {command[0]}: {error.strerror}") from None

    return run

# SPDX-License-Identifier: GPL-2.0-only
"""A command line parsed and run by click, and click's errors as one line each."""

from __future__ import annotations

from collections.abc import Sequence

import click

from xm_tmem.cli.group import xm
from xm_tmem.cli.output import write_error
from xm_tmem.cli.session import Session
from xm_tmem.errors import BadInput


def run_parsed(arguments: Sequence[str], session: Session) -> None:
    """Run `xm` with `arguments`; the session has the exit status. Raises what the command raises."""
    try:
        with xm.make_context("xm", list(arguments), obj=session) as context:
            xm.invoke(context)
    except click.exceptions.Exit as ended:
        session.status = ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        write_error(error.format_message() + "\n")
        session.status = BadInput.exit_status
    except click.UsageError as error:
        session.report(usage_message(error), "UsageError", error.exit_code)
    except click.ClickException as error:
        session.report(error.format_message(), type(error).__name__, error.exit_code)
    except click.Abort:
        raise KeyboardInterrupt from None


def usage_message(error: click.UsageError) -> str:
    """One line: the command, what is wrong with its words, and where to read about it."""
    words = error.ctx.command_path.removeprefix("xm").strip() if error.ctx is not None else ""
    text = error.format_message().rstrip(".")
    if not words:
        return text
    return f"{words}: {text[:1].lower() + text[1:]} (`xm {words} --help` has examples)"

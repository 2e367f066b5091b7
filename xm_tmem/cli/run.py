# SPDX-License-Identifier: GPL-2.0-only
"""One command line from its words to its exit status; no exception gets past here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import click

from xm_tmem.cli.group import xm
from xm_tmem.cli.output import write_error
from xm_tmem.cli.session import Session
from xm_tmem.errors import EXIT_INTERRUPTED, BadInput, TmemError


def run(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run `xm` with `arguments`; the exit status."""
    session = Session(environ)
    try:
        with xm.make_context("xm", list(arguments), obj=session) as context:
            xm.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        write_error(error.format_message() + "\n")
        return BadInput.exit_status
    except click.UsageError as error:
        session.report(usage_message(error), "UsageError", error.exit_code)
    except click.ClickException as error:
        session.report(error.format_message(), type(error).__name__, error.exit_code)
    except TmemError as error:
        session.fail(error)
    except (KeyboardInterrupt, click.Abort):
        session.report("interrupted", "KeyboardInterrupt", EXIT_INTERRUPTED)
    except BrokenPipeError:
        pass  # the reader has seen enough: `xm tmem-list | head -1` did what was asked
    except Exception as error:
        if environ.get("XM_DEBUG"):
            import traceback

            write_error(traceback.format_exc())
        session.report(f"internal error: {error!r} (with XM_DEBUG=1 it says where)", type(error).__name__, 1)
    return session.status


def usage_message(error: click.UsageError) -> str:
    """One line: the command, what is wrong with its words, and where to read about it."""
    words = error.ctx.command_path.removeprefix("xm").strip() if error.ctx is not None else ""
    text = error.format_message().rstrip(".")
    if not words:
        return text
    return f"{words}: {text[:1].lower() + text[1:]} (`xm {words} --help` has examples)"

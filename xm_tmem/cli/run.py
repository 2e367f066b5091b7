# SPDX-License-Identifier: GPL-2.0-only
"""One command line from its words to its exit status; no exception gets past here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from xm_tmem.cli.output import write_error
from xm_tmem.cli.session import Session
from xm_tmem.cli.shortcut import understood
from xm_tmem.errors import EXIT_INTERRUPTED, TmemError


def run(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run `xm` with `arguments`; the exit status."""
    session = Session(environ)
    try:
        act = understood(arguments)
        if act is not None:
            act(session)
        else:
            from xm_tmem.cli.parsing import run_parsed

            run_parsed(arguments, session)
    except TmemError as error:
        session.fail(error)
    except KeyboardInterrupt:
        session.report("interrupted", "KeyboardInterrupt", EXIT_INTERRUPTED)
    except BrokenPipeError:
        pass  # the reader has seen enough: `xm tmem-list | head -1` did what was asked
    except Exception as error:
        if environ.get("XM_DEBUG"):
            import traceback

            write_error(traceback.format_exc())
        session.report(f"internal error: {error!r} (with XM_DEBUG=1 it says where)", type(error).__name__, 1)
    return session.status

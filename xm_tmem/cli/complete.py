# SPDX-License-Identifier: GPL-2.0-only
"""What a shell asks while completing: names and ids of domains, from a hypervisor close by or from a short cache.

Never an error, and never longer than a prompt can wait: a child process asks the hypervisor and puts the answer into
the cache, and whatever the cache has after BUDGET_SECONDS is printed. On a slow machine the next try has it.
`xm __complete domains [CONNECTION]` prints one word to a line, and behind a tab what it stands for. Click is not
imported.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

BUDGET_SECONDS = 0.07  # the start of Python comes on top
FRESH_SECONDS = 2.0
USABLE_SECONDS = 60.0  # an answer this old is better than none
LOOK_UP_SECONDS = 5  # when the child gives up
REMOTE = ("xen+ssh:",)
"""Connections that would ask for a password, and take longer than a prompt waits."""


def answer(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Print the words for `arguments`; the exit status, which is always 0."""
    end = time.monotonic() + BUDGET_SECONDS
    try:
        if arguments[:1] == ["domains"]:
            sys.stdout.write(domain_words("".join(arguments[1:2]), environ, end))
            sys.stdout.flush()
    except Exception:  # whatever is wrong, a prompt is no place to say so
        pass
    return 0


def domain_words(connection: str, environ: Mapping[str, str], end: float) -> str:
    """The lines for the domains behind `connection` (the usual one when empty), as known at the moment `end`."""
    from xm_tmem.settings import load

    uris = load(environ).connections((connection,) if connection else ())
    uri = uris[0] if uris else ""
    path = cache_file(uri, environ)
    fresh = _cached(path, FRESH_SECONDS)
    if fresh is not None:
        return fresh
    if not uri.startswith(REMOTE):
        _wait(_look_up_aside(uri, environ, path), end)
    return _cached(path, USABLE_SECONDS) or ""


def cache_file(uri: str, environ: Mapping[str, str]) -> str:
    """Where the words for a connection are kept for a moment."""
    home = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache")
    name = "".join(character if character.isalnum() else "-" for character in uri)[:100] or "default"
    return os.path.join(home, "xm-tmem", f"domains-{name}")


def _cached(path: str, seconds: float) -> str | None:
    """What `path` holds, if it is not older than `seconds`."""
    try:
        with open(path, encoding="utf-8") as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            return file.read() if age < seconds else None
    except OSError:
        return None


def _look_up_aside(uri: str, environ: Mapping[str, str], path: str) -> int:
    """Start a process that asks the hypervisor and fills the cache; its id. It holds nothing a shell waits for."""
    process = os.fork()
    if process == 0:
        try:
            os.setsid()
            signal.alarm(LOOK_UP_SECONDS)
            silence = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(silence, descriptor)
            _keep(path, look_up(uri, environ))
        finally:
            os._exit(0)
    return process


def _wait(process: int, end: float) -> None:
    """Until the process has ended, or `end`."""
    while time.monotonic() < end:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.002)


def look_up(uri: str, environ: Mapping[str, str]) -> str:
    """Ask the hypervisor behind `uri`. Raises what asking raises."""
    from xm_tmem.backends.registry import connect
    from xm_tmem.settings import load

    words = []
    for domain in connect(uri or None, load(environ)).domains():
        name = "".join(character for character in domain.name or "" if character.isprintable())
        if name.strip():
            words.append(f"{name}\tdomain {domain.domain_id}\n")
        words.append(f"{domain.domain_id}\t{name or 'domain'}\n")
    return "".join(words)


def _keep(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)

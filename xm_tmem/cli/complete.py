# SPDX-License-Identifier: GPL-2.0-only
"""What a shell asks while completing: names and ids of domains, from a hypervisor close by or from a short cache.

Never an error and never more than a tenth of a second: a prompt is waiting. `xm __complete domains [CONNECTION]`
prints one word to a line, and behind a tab what it stands for. Click is not imported.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

BUDGET_SECONDS = 0.09
CACHE_SECONDS = 2.0
REMOTE = ("xen+ssh:",)
"""Connections that take longer than a prompt waits."""


def answer(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Print the words for `arguments`; the exit status, which is always 0."""
    try:
        signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, BUDGET_SECONDS)
        if arguments[:1] == ["domains"]:
            sys.stdout.write(domain_words("".join(arguments[1:2]), environ))
            sys.stdout.flush()
    except Exception:  # whatever is wrong, a prompt is no place to say so
        pass
    return 0


def _give_up(number: int, frame: object) -> None:
    os._exit(0)


def domain_words(connection: str, environ: Mapping[str, str]) -> str:
    """The lines for the domains behind `connection`, or behind the usual one when it is empty."""
    from xm_tmem.settings import load

    settings = load(environ)
    uris = settings.connections((connection,) if connection else ())
    uri = uris[0] if uris else ""
    path = cache_file(uri, environ)
    try:
        with open(path, encoding="utf-8") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < CACHE_SECONDS:
                return file.read()
    except OSError:
        pass
    if uri.startswith(REMOTE):
        return ""
    from xm_tmem.backends.registry import connect

    backend = connect(uri or None, settings)
    words = []
    for domain in backend.domains():
        if domain.name and domain.name.isprintable() and not domain.name.isspace():
            words.append(f"{domain.name}\tdomain {domain.domain_id}\n")
        words.append(f"{domain.domain_id}\t{_plain(domain.name) or 'domain'}\n")
    text = "".join(words)
    _keep(path, text)
    return text


def _plain(name: str | None) -> str:
    return "".join(character for character in name or "" if character.isprintable())


def cache_file(uri: str, environ: Mapping[str, str]) -> str:
    """Where the words for a connection are kept for a moment."""
    home = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/"), ".cache")
    name = "".join(character if character.isalnum() else "-" for character in uri)[:100] or "default"
    return os.path.join(home, "xm-tmem", f"domains-{name}")


def _keep(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)

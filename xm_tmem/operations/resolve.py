# SPDX-License-Identifier: GPL-2.0-only
"""From what a person writes to the domain that is meant.

A number is a domain's id first; then come uuids, then names. A name that several domains have is refused. xl took
every number for an id without looking whether the domain exists; here it has to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from xm_tmem.backends.interface import Backend, DomainInfo
from xm_tmem.errors import BadInput, NoSuchDomain, TmemError
from xm_tmem.ids import CANONICAL_UUID, DomainId, domain_id
from xm_tmem.operations.outcome import Target

MAX_DOMAIN_TEXT = 256
"""Characters of the longest DOMAIN that is looked up at all."""


def resolve(domains: Sequence[DomainInfo], text: str) -> DomainInfo:
    """The one of `domains` that `text` means. Raises NoSuchDomain, BadInput (ambiguous, or no possible id)."""
    if not text or len(text) > MAX_DOMAIN_TEXT:
        raise BadInput("a domain is written as its id, uuid or name")
    named = [domain for domain in domains if domain.name == text]
    if re.fullmatch("-?[0-9]+", text):
        found = [domain for domain in domains if domain.domain_id == int(text)] or named
        if not found:
            domain_id(
                int(text)
            )  # an id that cannot be is an input error, and is told from one that is not there
    else:
        wanted = text.lower().replace("-", "") if re.fullmatch(CANONICAL_UUID, text.lower()) else None
        by_uuid = [d for d in domains if wanted and d.uuid and d.uuid.lower().replace("-", "") == wanted]
        found = by_uuid or named
    if not found:
        raise NoSuchDomain(f"no domain is called {text!r}; `xm list` shows those there are")
    if len(found) > 1:
        ids = ", ".join(str(domain.domain_id) for domain in found)
        raise BadInput(f"{text!r} is the name of several domains: use one of the ids {ids}")
    return found[0]


def targets(backend: Backend, texts: Sequence[str]) -> list[Target]:
    """A target for each domain meant, each once; one that cannot be resolved carries its error."""
    domains = backend.domains()
    resolved: list[Target] = []
    seen: set[DomainId] = set()
    for text in texts:
        try:
            domain = resolve(domains, text)
        except TmemError as error:
            resolved.append(Target(text, None, error))
            continue
        if domain.domain_id not in seen:
            seen.add(domain.domain_id)
            resolved.append(Target(label(domain), domain.domain_id))
    return resolved


def label(domain: DomainInfo) -> str:
    """A domain in a message: `web (3)`, or `domain 3` when nobody knows its name."""
    return f"{domain.name} ({domain.domain_id})" if domain.name else f"domain {domain.domain_id}"

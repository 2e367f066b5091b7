# SPDX-License-Identifier: GPL-2.0-only
"""Who knows a domain by more than its id. The hypervisor says which domains exist; directories only add to that.

Names are hostile text, given by whoever made the domain: they are cut to a length and stripped of control characters
here, so that nothing above sees any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from xm_tmem.backends.interface import DomainInfo
from xm_tmem.ids import DomainId

MAX_NAME_CHARACTERS = 256
CONTROL_DOMAIN_NAME = "Domain-0"
_UUID_LENGTH = 36


class DomainDirectory(Protocol):
    """A source of names, uuids and states of running domains."""

    problem: str | None
    """Why the last question was not answered."""

    def domains(self) -> list[DomainInfo]:
        """What is known of each, by id; [] where nobody answers. Raises nothing: names are a convenience."""


def merged(
    known: Sequence[DomainInfo], directories: Iterable[Callable[[], Sequence[DomainInfo]]]
) -> list[DomainInfo]:
    """`known`, with what is None in it filled from the first directory that has it. Other domains are left out.

    A directory is not asked once every domain but domain 0 has a name; that one has one even if nobody says so.
    """
    domains = {domain.domain_id: domain for domain in known}
    for directory in directories:
        if all(domain.name for domid, domain in domains.items() if domid):
            break
        for entry in directory():
            domain = domains.get(entry.domain_id)
            if domain is not None:
                domains[entry.domain_id] = _filled(domain, entry)
    control = domains.get(DomainId(0))
    if control is not None and control.name is None:
        domains[control.domain_id] = _filled(control, DomainInfo(control.domain_id, name=CONTROL_DOMAIN_NAME))
    return [domains[domid] for domid in sorted(domains)]


def _filled(domain: DomainInfo, entry: DomainInfo) -> DomainInfo:
    return DomainInfo(
        domain.domain_id,
        name=domain.name or clean_name(entry.name),
        uuid=domain.uuid or clean_uuid(entry.uuid),
        state=domain.state or entry.state,
        memory_kb=entry.memory_kb if domain.memory_kb is None else domain.memory_kb,
        max_memory_kb=entry.max_memory_kb if domain.max_memory_kb is None else domain.max_memory_kb,
        vcpus=entry.vcpus if domain.vcpus is None else domain.vcpus,
    )


def clean_name(name: str | None) -> str | None:
    """`name` without control and other unprintable characters, cut to MAX_NAME_CHARACTERS; None for nothing."""
    if not name:
        return None
    cut = name[:MAX_NAME_CHARACTERS]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in cut)


def clean_uuid(uuid: str | None) -> str | None:
    """`uuid` in lower case if it is canonical text, else None."""
    if uuid is None or len(uuid) != _UUID_LENGTH:
        return None
    lowered = uuid.lower()
    shape = [lowered[at] == "-" for at in (8, 13, 18, 23)]
    digits = lowered.replace("-", "")
    return (
        lowered if all(shape) and len(digits) == 32 and all(c in "0123456789abcdef" for c in digits) else None
    )

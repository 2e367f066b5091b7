# SPDX-License-Identifier: GPL-2.0-only
"""The domains of a host and what host it is, laid out as sections: what `xm list` and `xm info` show.

Domains are taken by their attributes alone, so that this package need not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from xm_tmem.listing.derive import ratio
from xm_tmem.listing.records import ClientRecord
from xm_tmem.render.sections import Column, Fact, Facts, Section


class Domain(Protocol):
    """A domain of the host; None where nobody knows."""

    @property
    def domain_id(self) -> int: ...
    @property
    def name(self) -> str | None: ...
    @property
    def uuid(self) -> str | None: ...
    @property
    def state(self) -> str | None: ...
    @property
    def memory_kb(self) -> int | None: ...
    @property
    def vcpus(self) -> int | None: ...


class DomainWithTmem(Protocol):
    """A domain, and its tmem in a few numbers of pages and calls. `client` is None where it never used tmem."""

    @property
    def domain(self) -> Domain: ...
    @property
    def client(self) -> ClientRecord | None: ...
    @property
    def pools(self) -> int: ...
    @property
    def ephemeral(self) -> int | None: ...
    @property
    def persistent(self) -> int | None: ...
    @property
    def gets(self) -> int: ...
    @property
    def found_gets(self) -> int: ...


_COLUMNS = {  # heading: (unit, help)
    "domain": ("id", "domain id"),
    "name": ("text", "domain name"),
    "state": ("text", "r running, b blocked, p paused, s shut down, c crashed, d dying"),
    "memory": ("bytes", "memory the domain has now"),
    "vcpus": ("number", "virtual processors"),
    "frozen": ("flag", "are new puts refused"),
    "pools": ("number", "tmem pools"),
    "ephemeral": ("pages", "ephemeral pages held"),
    "persistent": ("pages", "persistent pages held"),
    "hit_rate": ("ratio", "gets that found their page"),
}


def domains_section(domains: Iterable[DomainWithTmem]) -> Section:
    """One row for each domain."""
    rows = [_row(each) for each in domains]
    columns = zip(*rows, strict=True) if rows else [() for _ in _COLUMNS]
    return Section(
        "",
        tuple(
            Column(heading, unit, text, values)
            for (heading, (unit, text)), values in zip(_COLUMNS.items(), columns, strict=True)
        ),
    )


def _row(each: DomainWithTmem) -> tuple[Any, ...]:
    domain, memory_kb = each.domain, each.domain.memory_kb
    return (
        domain.domain_id,
        domain.name,
        domain.state,
        None if memory_kb is None else memory_kb * 1024,
        domain.vcpus,
        None if each.client is None else each.client.frozen,
        each.pools,
        each.ephemeral,
        each.persistent,
        ratio(each.found_gets, each.gets),
    )


def domains_document(domains: Iterable[DomainWithTmem], origin: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs, to be written by `structured`. `origin`: connection, release, timestamp."""
    return {
        "schema": "xm-tmem/domains/1",
        **origin,
        "domains": [
            {
                "domain_id": each.domain.domain_id,
                "name": each.domain.name,
                "uuid": each.domain.uuid,
                "state": each.domain.state,
                "memory_kb": each.domain.memory_kb,
                "vcpus": each.domain.vcpus,
                "tmem_client": each.client is not None,
                "frozen": None if each.client is None else bool(each.client.frozen),
                "pools": each.pools,
                "ephemeral_pages": each.ephemeral,
                "persistent_pages": each.persistent,
                "gets": each.gets,
                "found_gets": each.found_gets,
                "hit_rate": ratio(each.found_gets, each.gets),
            }
            for each in domains
        ],
    }


def info_facts(values: Mapping[str, str]) -> Facts:
    """Named texts, one to a line, in the order of the mapping."""
    return Facts("", tuple(Fact(name, "text", "", value) for name, value in values.items()))


def info_document(values: Mapping[str, Any], origin: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs."""
    return {"schema": "xm-tmem/host/1", **origin, **values}

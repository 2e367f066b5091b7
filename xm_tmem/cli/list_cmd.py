# SPDX-License-Identifier: GPL-2.0-only
"""`xm list`: the domains of a host, each with its tmem in one line."""

from __future__ import annotations

from xm_tmem.cli.declared import Declared
from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.listing.derive import ratio
from xm_tmem.operations.query import DomainSummary, summaries

HEADINGS = (
    Heading("name", "text", "the domain's name"),
    Heading("id", "id", "the domain's id"),
    Heading(
        "state", "text", "as xl prints it: r running, b blocked, p paused, s shut down, c crashed, d dying"
    ),
    Heading("memory_kb", "kilobytes", "memory the domain has at present"),
    Heading("vcpus", "number", "virtual processors"),
    Heading("pools", "number", "tmem pools"),
    Heading("ephemeral", "pages", "ephemeral pages tmem holds for it"),
    Heading("persistent", "pages", "persistent pages tmem holds for it"),
    Heading("hit_rate", "ratio", "gets that found their page"),
    Heading("weight", "number", "weight among the clients"),
    Heading("compress", "flag", "are new pages compressed"),
    Heading("frozen", "flag", "are new pages refused"),
)


def show_domains(session: Session) -> None:
    """List the domains of the host, each with its tmem in one line.

    A dash stands for what nobody who could be asked knows; a domain that never used tmem has no weight.
    """
    answers = session.ask(summaries)
    several = len(answers) > 1
    rows = [
        (*((answer.connection,) if several else ()), *_row(summary))
        for answer in answers
        if answer.error is None
        for summary in answer.value
    ]
    headings = (Heading("host", "text", "the connection"), *HEADINGS) if several else HEADINGS
    show_rows(session, "domains", headings, rows)
    session.settle(answers)


def _row(summary: DomainSummary) -> tuple[object, ...]:
    domain, client = summary.domain, summary.client
    return (
        domain.name,
        domain.domain_id,
        domain.state,
        domain.memory_kb,
        domain.vcpus,
        summary.pools,
        summary.ephemeral,
        summary.persistent,
        ratio(summary.found_gets, summary.gets),
        client.weight if client is not None else None,
        client.compress == 1 if client is not None else None,
        client.frozen == 1 if client is not None else None,
    )


list_ = Declared(
    "list",
    show_domains,
    examples=[
        ("xm list", "the domains of this host"),
        ("xm -c xen+ssh://root@alpha/ -c xen+ssh://root@beta/ list", "those of two hosts"),
        ("xm list -o json", "for a program"),
    ],
)

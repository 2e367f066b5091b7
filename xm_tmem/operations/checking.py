# SPDX-License-Identifier: GPL-2.0-only
"""A host held against the rules: what is wrong with it now, and what went wrong since the last check.

What a check saw is remembered as a capture (see listing.recording), with one thing more: since when each frozen
domain has been found frozen. Counters that started again, and a domain that came back, begin anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from xm_tmem.backends.interface import Backend, HostInfo, TmemState, why_no_tmem
from xm_tmem.errors import TmemError
from xm_tmem.ids import DomainId
from xm_tmem.listing import derive
from xm_tmem.listing.capture import Capture
from xm_tmem.listing.delta import SAME, ReportDelta, compare
from xm_tmem.listing.records import PoolRecord
from xm_tmem.listing.report import Report, not_understood
from xm_tmem.operations.recording import capture
from xm_tmem.operations.rules import (
    FROZEN,
    HIT_RATE,
    LOST_PAGES,
    REFUSED,
    SHARED,
    TMEM_OFF,
    TRUNCATED,
    Limits,
)
from xm_tmem.operations.save_defects import defects_of

MIN_GETS = 100
"""A hit rate of fewer gets than this says nothing."""
_SINCE = "frozen_since"
_ALWAYS_AUTHORISED = (4, 9)  # from here on a shared pool wants an authorisation, whatever the boot options

_UNGUARDED = "Xen was booted without tmem_shared_auth"
_ON = ("", "1", "on", "yes", "true", "enable")  # what Xen takes for yes


class Finding(NamedTuple):
    """Something wrong. `value` is in the unit of the rule's limit; None where the rule has none."""

    rule: str
    domain_id: int | None
    domain: str | None  # its name
    pool: int | None
    message: str  # without the domain
    value: float | None = None
    limit: float | None = None


class Checked(NamedTuple):
    """What a check found, and what the next one should be told; None where there is nothing to remember."""

    findings: list[Finding]
    memory: Capture | None


def check(
    backend: Backend, limits: Limits, memory: Capture | None, *, now: Callable[[], float] = time.time
) -> Checked:
    """Hold the host against the rules that have a limit. `memory` is what the check before left.

    Raises what reading a host raises, TmemOff excepted.
    """
    host = backend.host()
    if host.tmem is not TmemState.ON:
        off = [Finding(TMEM_OFF, None, None, None, why_no_tmem(host))] if TMEM_OFF in limits else []
        return Checked(off, None)
    seen = capture(backend, now=now)
    report = seen.report()
    before = memory.report() if memory is not None and memory.timestamp < seen.timestamp else None
    delta = compare(before or report, report)
    since = _frozen_since(report, delta, memory if before is not None else None)
    findings = [
        *_truncated(report, limits),
        *_frozen(report, since, limits),
        *_refused(report, before, delta, limits),
        *_hit_rate(report, before, delta, limits),
        *_shared(backend, host, report, limits),
        *_lost_pages(host, report, limits),
    ]
    remembered = {str(domain): when for domain, when in since.items()}
    return Checked(findings, seen._replace(host={**seen.host, _SINCE: remembered}))


def _of(report: Report, rule: str, cli_id: int | None, pool: int | None, message: str, value: float | None = None,
        limit: float | None = None) -> Finding:  # fmt: skip
    name = None if cli_id is None else report.name(cli_id)
    return Finding(rule, cli_id, name, pool, message, value, limit)


def _truncated(report: Report, limits: Limits) -> Iterator[Finding]:
    if TRUNCATED not in limits:
        return
    if report.truncated:
        why = "; ".join(report.listing.problems) or "lines are missing"
        yield _of(report, TRUNCATED, None, None, f"the listing is cut short: {why}")
    if report.listing.unknown:
        yield _of(report, TRUNCATED, None, None, not_understood(len(report.listing.unknown)))


def _frozen_since(report: Report, delta: ReportDelta, memory: Capture | None) -> dict[int, float]:
    """Since when each domain that is frozen has been found frozen, as far as is remembered."""
    said = memory.host.get(_SINCE) if memory is not None else None
    known: Mapping[object, object] = said if isinstance(said, dict) else {}
    same = {each.after.cli_id for each in delta.clients if each.state == SAME}
    since = {}
    for client in report.listing.clients:
        if client.frozen:
            when = known.get(str(client.cli_id)) if client.cli_id in same else None
            since[client.cli_id] = float(when) if isinstance(when, (int, float)) else report.timestamp
    return since


def _frozen(report: Report, since: Mapping[int, float], limits: Limits) -> Iterator[Finding]:
    limit = limits.get(FROZEN)
    if limit is None:
        return
    for cli_id, when in since.items():
        seconds = report.timestamp - when
        if seconds > limit:
            message = f"frozen for {_duration(seconds)} (limit {_duration(limit)})"
            yield _of(report, FROZEN, cli_id, None, message, seconds, limit)


def _refused(report: Report, before: Report | None, delta: ReportDelta, limits: Limits) -> Iterator[Finding]:
    """Growing `px`. Puts that a frozen domain was refused count there too, so frozen domains are passed over."""
    limit = limits.get(REFUSED)
    if limit is None or before is None:
        return
    frozen = {client.cli_id for each in (before, report) for client in each.listing.clients if client.frozen}
    for each in delta.pools:
        refused = None if each.interval is None else each.interval.no_mem_puts
        if refused is not None and refused > limit and each.after.cli_id not in frozen:
            message = (
                f"{refused} puts refused for lack of memory in {_duration(delta.seconds)} (limit {limit:g})"
            )
            yield _of(report, REFUSED, each.after.cli_id, each.after.pool_id, message, refused, limit)


def _hit_rate(report: Report, before: Report | None, delta: ReportDelta, limits: Limits) -> Iterator[Finding]:
    """Ephemeral pools whose pages are hardly ever found; the first check takes all gets there were."""
    limit = limits.get(HIT_RATE)
    if limit is None:
        return
    for each in delta.pools:
        if each.after is None or each.after.persistent:
            continue
        pool = each.after if before is None else each.interval
        rate = derive.hit_rate(pool)
        if rate is not None and rate < limit and pool.gets >= MIN_GETS:
            message = f"{rate:.1%} of {pool.gets} gets found their page (limit {limit * 100:.4g}%)"
            yield _of(report, HIT_RATE, pool.cli_id, pool.pool_id, message, rate, limit)


def _shared(backend: Backend, host: HostInfo, report: Report, limits: Limits) -> Iterator[Finding]:
    """Shared pools that nobody's authorisation guards, and domains that lack the one for the pool they wanted.

    Authorisations themselves cannot be read back. Source: do_tmem_new_pool, 4.0 to 4.12.
    """
    if SHARED not in limits:
        return
    release = _release(host)
    asked = host.options.get("tmem_shared_auth", "off")
    if release is not None and release < _ALWAYS_AUTHORISED and asked not in _ON:
        for pool in derive.shared_pools(report.listing):
            sharers = dict.fromkeys(pool.sharers or ())
            domains = ", ".join(report.name(cli_id) or str(cli_id) for cli_id in sharers)
            message = f"any guest that knows its uuid may join the shared pool of {domains}: {_UNGUARDED}"
            yield _of(report, SHARED, None, pool.slot, message)
    if host.abi != "client_info":
        return  # earlier releases do not tell what uuid a private pool was made with
    for client in report.listing.clients:
        try:
            pools = backend.pools(DomainId(client.cli_id))
        except TmemError:
            continue  # gone meanwhile, or a recording
        for info in pools:
            if not info.shared and (info.uuid.lo or info.uuid.hi):
                yield _of(report, SHARED, client.cli_id, info.pool_id,
                          "wanted to share a pool, was not authorised and has a private one instead")  # fmt: skip


def _lost_pages(host: HostInfo, report: Report, limits: Limits) -> Iterator[Finding]:
    """Persistent pages that xl would leave behind; see docs/design/save-around-defects.md."""
    limit = limits.get(LOST_PAGES)
    if limit is None or not host.xen_version:
        return
    defects = defects_of(host)
    pools_of: dict[int, list[PoolRecord]] = {}
    for pool in report.listing.pools:
        if pool.persistent and not pool.shared and pool.pgp_count:
            pools_of.setdefault(pool.cli_id, []).append(pool)
    compressing = {client.cli_id: client.compress for client in report.listing.clients}
    for cli_id, pools in pools_of.items():
        pages = sum(pool.pgp_count or 0 for pool in pools)
        if defects.forbids or (defects.copies_compressed_only and not compressing.get(cli_id)):
            lost = pages
        else:
            lost = len(pools) if defects.skips_first_page else 0  # the first page of each
        if lost > limit:
            message = f"{pages} persistent pages, of which xl migrate on Xen {host.xen_version} loses at least {lost}"
            yield _of(report, LOST_PAGES, cli_id, None, message, lost, limit)


def _release(host: HostInfo) -> tuple[int, ...] | None:
    parts = host.release.split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else None


def _duration(seconds: float) -> str:
    """Roughly: 45 s, 12 min, 3.5 h, 2.1 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"

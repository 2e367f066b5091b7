# SPDX-License-Identifier: GPL-2.0-only
"""What came of a run: a record of the host and one for each guest, of numbers and text only.

Host      `free_pages` are the heap's; `tmem_idle_pages` are empty ones on tmem's own list (Ta of the listing).
Units     pages, calls and modelled seconds. Counters are tmem's own, since boot; what a guest's driver counted stands
          under `driver`, where its keys cannot be mistaken for tmem's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypervisor_model.tmem.client import client_of

if TYPE_CHECKING:
    from hypervisor_model.scenario.runner import Runner, RunningGuest
    from hypervisor_model.tmem.pool import Pool

SCHEMA: Final = "xm-tmem/run/1"


def report(runner: Runner, *, complete: bool, description: str = "") -> dict[str, Any]:
    """The whole report; `complete` is False for a run that was cut short, `description` the scenario's own."""
    return {
        "schema": SCHEMA,
        "scenario": runner.file,
        "description": description,
        "complete": complete,
        "host": host_report(runner),
        "guests": [guest_report(runner, guest) for guest in runner.guests],
    }


def host_report(runner: Runner) -> dict[str, Any]:
    """The machine as a whole."""
    hypervisor = runner.hypervisor
    tmem, heap = hypervisor.tmem, hypervisor.heap
    return {
        "release": hypervisor.release.name,
        "quirks": hypervisor.quirks,
        "command_line": hypervisor.options.command_line,
        "modelled_s": runner.time_us / 1e6,
        "operations": runner.operations,
        "frames": heap.frames,
        "free_pages": heap.avail,
        "tmem_idle_pages": heap.tmem_list_pages,
        "tmem_operations": tmem.total_tmem_ops,
        "tmem_errors": tmem.errored_tmem_ops,
        "ephemeral_pages": tmem.eph_count,
        "ephemeral_pages_max": tmem.eph_count_max,
        "evicted": tmem.evicted_pgs,
        "relinquished": tmem.relinq_pgs,
        "deduplicated_puts": tmem.deduped_puts,
        "failed_allocations": tmem.alloc_failed + tmem.alloc_page_failed,
    }


def guest_report(runner: Runner, guest: RunningGuest) -> dict[str, Any]:
    """One domain; the counters are sums over its own pools, shared ones it merely joined left out."""
    domain = runner.hypervisor.domain(guest.domain_id).domain
    client = client_of(domain)
    slots = [] if client is None else client.pools
    pools: list[Pool] = [pool for pool in slots if pool is not None and pool.client is client]
    gets = sum(pool.gets for pool in pools)
    found = sum(pool.found_gets for pool in pools)
    return {
        "domain_id": guest.domain_id,
        "name": guest.name,
        "kind": guest.kind,
        "finished": guest.driver.finished,
        "modelled_s": guest.driver.time_us / 1e6,
        "operations": guest.operations,
        "weight": 0 if client is None else client.weight,
        "pools": len(pools),
        "owned_pages": domain.tot_pages,
        "ephemeral_pages": sum(pool.pgp_count for pool in pools if not pool.persistent),
        "persistent_pages": sum(pool.pgp_count for pool in pools if pool.persistent),
        "puts": sum(pool.puts for pool in pools),
        "good_puts": sum(pool.good_puts for pool in pools),
        "gets": gets,
        "found_gets": found,
        "hit_ratio": found / gets if gets else None,
        "flushs": sum(pool.flushs for pool in pools),
        "driver": dict(guest.driver.report()),
    }

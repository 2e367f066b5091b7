# SPDX-License-Identifier: GPL-2.0-only
"""X3, X4, X5, X12: what is in the pools: shared once, never stale, billed to its owner, stored once when equal."""

import random
from typing import Final

from hypervisor_model.evaluation.operator import Operator
from hypervisor_model.evaluation.result import Result, exact
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents, expand
from hypervisor_model.guests.handle import file_key
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.xen import PAGE_SIZE

FILE: Final = file_key(0, 7)


def x3() -> Result:
    """Guests of one cluster file system store each page once, and a get leaves it, younger than before."""
    guests, pages = 4, 200
    hypervisor = Hypervisor(frames=1_200, exact=False, contents="tokens")
    fronts = [Cleancache(hypervisor.create_domain(domid)) for domid in range(1, guests + 1)]
    mounts = [front.init_shared_fs((0xA, 0xB)) for front in fronts]
    contents = Contents(0, image=1)
    operator = Operator(hypervisor)
    failures: list[str] = []
    for front, mount in zip(fronts, mounts, strict=True):
        for index in range(pages):
            front.put_page(mount, 7, index, contents.file_page(FILE + index))
    stored = operator.counters("G=")["Ec"]
    if stored != pages:
        failures.append(f"{stored} pages stored for {pages} put by {guests} guests each")
    for front, mount in zip(fronts, mounts, strict=True):
        found = sum(
            front.get_page(mount, 7, index) == contents.file_page(FILE + index) for index in range(pages)
        )
        if found != pages:
            failures.append(f"a sharer found {found} of {pages}")
    if operator.counters("G=")["Ec"] != pages:
        failures.append("gets removed pages from a shared pool")
    # Page 0 is used once more, then new pages push the oldest out until half the file is gone.
    index = 0
    while operator.counters("G=")["Et"] < pages // 2:
        fronts[0].get_page(mounts[0], 7, 0)
        fronts[0].put_page(mounts[0], 8, index, b"\1other")
        index += 1
    survivors = [number for number in range(pages) if fronts[1].get_page(mounts[1], 7, number) is not None]
    if survivors != [0, *range(pages // 2 + 1, pages)]:
        failures.append(
            f"after {pages // 2} evictions {len(survivors)} pages are left, not the youngest and page 0"
        )
    hypervisor.check()
    return exact(
        "X3",
        "shared-inclusive",
        f"{guests} guests, one file of {pages} pages, one shared pool",
        "each page once; a get leaves it and makes it the youngest",
        failures,
        f"{pages} pages stored, {guests * pages} gets served, evicted in order of last use",
    )


def x4() -> Result:
    """Random puts, duplicate puts, gets and flushes of three guests under pressure, against a dictionary."""
    operations = 30_000
    rng = random.Random(4)
    hypervisor = Hypervisor(frames=700, contents="tokens")
    handles = [hypervisor.create_domain(domid, max_pages=400, tot_pages=300) for domid in (1, 2, 3)]
    pools = [(handle, handle.new_pool(persistent=kind), kind) for handle in handles for kind in (False, True)]
    latest: dict[tuple[int, int, int], bytes] = {}  # what a get may answer; for persistent pools: must
    failures: list[str] = []
    refused = evicted = 0
    for number in range(operations):
        which = rng.randrange(len(pools))
        handle, pool, persistent = pools[which]
        oid, index = rng.randrange(5), rng.randrange(160)
        key = (which, oid, index)
        choice = rng.random()
        if choice < 0.5:
            page = number.to_bytes(8, "little")
            if handle.put(pool, oid, index, page) == 1:
                latest[key] = page
            else:
                refused += 1
                latest.pop(key, None)  # a duplicate put that fails drops the old page
        elif choice < 0.9:
            status, found = handle.get(pool, oid, index)
            expected = latest.get(key)
            if status == 1 and found != expected:
                failures.append(
                    f"operation {number}: a get answers {found!r} where {expected!r} was put last"
                )
            if status != 1 and persistent and expected is not None:
                failures.append(f"operation {number}: an accepted persistent page is gone")
            if status != 1 and not persistent and latest.pop(key, None) is not None:
                evicted += 1
            if status == 1 and not persistent:
                del latest[key]
        elif choice < 0.98:
            handle.flush_page(pool, oid, index)
            latest.pop(key, None)
        else:
            handle.flush_object(pool, oid)
            for at in range(160):
                latest.pop((which, oid, at), None)
        if number % 5_000 == 0:
            hypervisor.check()
    hypervisor.check()
    if not refused or not evicted:
        failures.append(f"no pressure: {refused} puts refused, {evicted} pages evicted")
    return exact(
        "X4",
        "coherency",
        f"3 guests, 6 pools, {operations:,} operations, host of 700 frames, exact accounting",
        "put-put-get, get-get, and no persistent page lost",
        failures,
        f"no violation; {refused:,} puts refused, {evicted:,} ephemeral pages found evicted",
    )


def x5() -> Result:
    """A domain at its maximum stores no persistent page; each page it gives up makes room for one."""
    failures: list[str] = []
    told: list[str] = []
    for exact_accounting in (False, True):
        hypervisor = Hypervisor(frames=4_096, exact=exact_accounting, contents="tokens")
        handle = hypervisor.create_domain(1, max_pages=1_000, tot_pages=1_000)
        domain = handle.domain
        pool = handle.new_pool(persistent=True)
        if any(handle.put(pool, 0, index, b"page") == 1 for index in range(100)):
            failures.append("a domain at its maximum stored a persistent page")
        accepted = 0
        for given_up in (1, 10, 100, 389):
            hypervisor.decrease_reservation(1, given_up)
            held = domain.tot_pages - domain.own_pages
            index = 0
            while handle.put(pool, 1, accepted + index, b"page") == 1:
                index += 1
            accepted += index
            taken = domain.tot_pages - domain.own_pages - held
            metadata = taken - index
            if domain.tot_pages > domain.max_pages or (not exact_accounting and metadata):
                failures.append(f"{given_up} pages given up made room for {index} and {metadata} of metadata")
            if domain.max_pages - domain.tot_pages > (1 if exact_accounting else 0):
                failures.append(f"{domain.max_pages - domain.tot_pages} pages given up stayed unused")
        total_metadata = domain.tot_pages - domain.own_pages - accepted
        told.append(f"{accepted} of 500 given up ({total_metadata} of metadata)")
        hypervisor.check()
    return exact(
        "X5",
        "persistent-billing",
        "a domain of 1,000 pages gives up 1, 10, 100 and 389; page-granular and exact accounting",
        "none accepted at the maximum, then as many as were given up, less the metadata",
        failures,
        "accepted " + " and ".join(told),
    )


def x12() -> Result:
    """Clones of one image under deduplication, and a file of zeros under trailing-zero elimination."""
    clones, pages = 3, 150
    failures: list[str] = []
    hypervisor = Hypervisor(release="4.3", frames=4_096, command_line="tmem=1 tmem_dedup=1")
    operator = Operator(hypervisor)
    distinct: set[bytes] = set()
    for domid in range(1, clones + 1):
        contents = Contents(domid, image=1, file_mix={"text": 0.6, "random": 0.4})
        front = Cleancache(hypervisor.create_domain(domid))
        mount = front.init_fs()
        for index in range(pages):
            page = expand(
                contents.file_page(FILE + index, version=int(index % 10 == 0))
            )  # a tenth was written to
            distinct.add(page)
            front.put_page(mount, 7, index, page)
    counters = operator.counters("G=")
    total = clones * pages
    expected = {"Ep": total, "Ec": total, "Sc": len(distinct), "Gd": total - len(distinct)}
    found = {tag: counters[tag] for tag in expected}
    if found != expected:
        failures.append(f"counters {found} instead of {expected}")
    average = counters["Gd"] / counters["Ep"]
    current = 1 - counters["Sc"] / counters["Ec"]
    if average != current:
        failures.append(f"before any eviction the ratios differ: {average} and {current}")
    hypervisor.check()
    zeros = Hypervisor(
        release="4.3", frames=4_096, command_line="tmem=1 tmem_dedup=1 tmem_tze=1", quirks="documented"
    )
    operator = Operator(zeros)
    front = Cleancache(zeros.create_domain(1))
    mount = front.init_fs()
    for index in range(pages):
        front.put_page(mount, 7, index, bytes(PAGE_SIZE))
    counters = operator.counters("G=")
    if counters["Zt"] != 0 or counters["Ec"] != pages:
        failures.append(f"a zero file of {counters['Ec']} pages occupies {counters['Zt']} bytes")
    zeros.check()
    return exact(
        "X12",
        "dedup",
        f"{clones} clones x {pages} pages, a tenth private; a zero file of {pages} pages with tze (quirks documented)",
        "contents = distinct pages; deduped avg = Gd/Ep, curr = 1 - Sc/Ec; zeros occupy nothing "
        "(zcache: 238 MB -> 0, Wanpeng Li 2013 [V])",
        failures,
        f"{len(distinct)} contents for {total} pages, deduped {average:.1%}; {pages} zero pages in 0 bytes",
    )

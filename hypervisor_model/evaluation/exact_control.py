# SPDX-License-Identifier: GPL-2.0-only
"""X9, X10, X11: what an operator relies on: the reserve protocol, weights, and migration."""

from hypervisor_model.evaluation.operator import Operator
from hypervisor_model.evaluation.result import Result, exact
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.tmem import (
    TMEMC_RESTORE_BEGIN,
    TMEMC_RESTORE_FLUSH_PAGE,
    TMEMC_RESTORE_PUT_PAGE,
    TMEMC_SAVE_BEGIN,
    TMEMC_SAVE_END,
    TMEMC_SAVE_GET_NEXT_INV,
    TMEMC_SAVE_GET_NEXT_PAGE,
)
from hypervisor_model.public.xen import EFROZEN, PAGE_SIZE

PAGES_PER_MB = 256


def x9() -> Result:
    """freeze, query, flush, allocate, thaw, while guests go on putting."""
    hypervisor = Hypervisor(frames=6_000, contents="tokens")
    operator = Operator(hypervisor)
    guests = [hypervisor.create_domain(domid) for domid in (1, 2, 3)]
    pools = [guest.new_pool() for guest in guests]
    failures: list[str] = []
    reserved = 0
    serial = 0

    def put_everywhere(rounds: int) -> list[int]:
        nonlocal serial
        answers = []
        for _ in range(rounds):
            for guest, pool in zip(guests, pools, strict=True):
                serial += 1
                answers.append(guest.put(pool, serial % 7, serial, b"page"))
        return answers

    for wanted_mb in (1, 2, 4, 3):
        put_everywhere(1_500)
        flushed, kept = serial - 2, serial - 5  # the first guest's youngest two
        operator.freeze()
        freeable_mb = operator.freeable_mb()
        if set(put_everywhere(50)) != {-EFROZEN}:
            failures.append("a put was accepted while all were frozen")
        if guests[0].flush_page(pools[0], flushed % 7, flushed) != -EFROZEN:
            failures.append("a flush while frozen does not answer as the C does")
        take_mb = min(wanted_mb, freeable_mb)
        before = hypervisor.heap.avail
        operator.flush_kb(take_mb << 10)
        if hypervisor.heap.avail - before < take_mb * PAGES_PER_MB:
            failures.append(f"{take_mb} MB were flushed, {hypervisor.heap.avail - before} pages came")
        got = hypervisor.alloc_host_pages(take_mb * PAGES_PER_MB)
        if got != take_mb * PAGES_PER_MB:
            failures.append(f"{got} of {take_mb * PAGES_PER_MB} pages could be allocated")
        reserved += take_mb
        operator.thaw()
        if put_everywhere(1) != [1, 1, 1]:
            failures.append("puts are refused after the thaw")
        found = [guests[0].get(pools[0], index % 7, index)[0] for index in (flushed, kept)]
        if found != [0, 1]:
            failures.append(f"of a page flushed while frozen and one that was not, {found} were there")
        hypervisor.check()
    operator.freeze()
    freeable_mb = operator.freeable_mb()
    before = hypervisor.heap.avail
    operator.flush_kb(freeable_mb << 10)
    delivered = (hypervisor.heap.avail - before) // PAGES_PER_MB
    if delivered < freeable_mb:
        failures.append(f"freeable was {freeable_mb} MB, {delivered} came")
    return exact(
        "X9",
        "reserve-protocol",
        "3 guests that put without pause, 6,000 frames; 1, 2, 4 and 3 MiB reserved in turn, then all that is freeable",
        "freeable never under-delivers; frozen means no put accepted; a flush drops its page all the same",
        failures,
        f"{reserved} MiB allocated in 4 rounds, then {delivered} MiB for {freeable_mb} promised",
    )


def _weights(quirks: str, weights: tuple[int, int]) -> tuple[int, int, int]:
    """Two clients hold 700 pages each, then the first puts 1,000 more: evictions of each, and the cap is no obstacle.

    Returns pages the first lost, pages the second lost, and the first's puts that were refused.
    """
    hypervisor = Hypervisor(frames=1_700, exact=False, contents="tokens", quirks=quirks)
    operator = Operator(hypervisor)
    busy, idle = hypervisor.create_domain(1), hypervisor.create_domain(2)
    busy_pool, idle_pool = busy.new_pool(), idle.new_pool()
    for domid, weight in zip((1, 2), weights, strict=True):
        hypervisor.set_weight(domid, weight)
        operator.set_cap(domid, 10)
    for index in range(600):
        busy.put(busy_pool, 0, index, b"busy")
        idle.put(idle_pool, 0, index, b"idle")
    refused = sum(busy.put(busy_pool, 1, index, b"busy") != 1 for index in range(1_000))
    hypervisor.check()
    idle_left = sum(idle.get(idle_pool, 0, index)[0] == 1 for index in range(600))
    busy_left = sum(busy.get(busy_pool, oid, index)[0] == 1 for oid in (0, 1) for index in range(1_000))
    return 1_600 - busy_left, 600 - idle_left, refused


def x10() -> Result:
    """Weights, as documented and as the C computes them; cap does nothing."""
    failures: list[str] = []
    none = _weights("xen", (0, 0))
    if not none[1] or none[2]:
        failures.append(f"without weights the oldest page of all goes: {none}")
    documented = _weights("documented", (1, 4))
    if documented[1]:
        failures.append(f"documented: a client over its share evicted {documented[1]} pages of another")
    quirk = _weights("xen", (1, 4))
    if quirk[1] != none[1]:
        failures.append(
            f"as the C computes it, a client over its share evicts like no weights at all: {quirk}"
        )
    inverted = _weights("xen", (4, 1))
    if inverted[1] >= none[1]:
        failures.append(f"as the C computes it, the heavier client loses its own pages first: {inverted}")
    if any(case[2] for case in (none, documented, quirk, inverted)):
        failures.append("a cap of 10 MiB refused puts")
    return exact(
        "X10",
        "weight",
        "two clients with 600 pages each, the first puts 1,000 more; weights none, 1:4 and 4:1; cap 10",
        "documented: over its share a client loses only its own pages; weight 0: the oldest of all; cap: no effect",
        failures,
        f"pages the second client lost: none {none[1]}, 1:4 documented {documented[1]}, 1:4 as in C {quirk[1]}, "
        f"4:1 as in C {inverted[1]} (the C's rule is inverted)",
    )


def x11() -> Result:
    """Save a frozen client live, flush some of its pages meanwhile, restore it elsewhere."""
    pages, flushed = 120, range(0, 120, 7)
    failures: list[str] = []
    source = Hypervisor(release="4.3", frames=4_096, quirks="documented")
    target = Hypervisor(release="4.3", frames=4_096, quirks="documented")
    sender, receiver = Operator(source), Operator(target)
    guest = source.create_domain(1, tot_pages=10)
    swap, cache = guest.new_pool(persistent=True), guest.new_pool()
    contents = {
        (slot & 15, slot >> 4): slot.to_bytes(2, "little") * (PAGE_SIZE // 2) for slot in range(pages)
    }
    for (oid, index), page in contents.items():
        guest.put(swap, oid, index, page)
        guest.put(cache, oid, index, page)
    sender.control(TMEMC_SAVE_BEGIN, 1, 1)
    copy = target.create_domain(1, tot_pages=10)
    receiver.control(TMEMC_RESTORE_BEGIN, 1)
    copy_pool = copy.new_pool(persistent=True)
    if copy_pool != swap:
        failures.append(f"the copy's pool is {copy_pool}, not {swap}")
    keys = list(contents)
    sent = 0
    while True:
        status, oid, index, page = sender.page_with_handle(TMEMC_SAVE_GET_NEXT_PAGE, 1, swap)
        if status != 1:
            break
        sent += 1
        if (
            receiver.control(
                TMEMC_RESTORE_PUT_PAGE, 1, PAGE_SIZE, index, pool_id=swap, oid=oid, buffer=bytearray(page)
            )
            != 1
        ):
            failures.append(f"page {oid}/{index} was not accepted")
        if sent == pages // 2:
            for number in flushed:
                # Not the page just sent: the C keeps its cursor there.
                if keys[number] != (oid, index):
                    guest.flush_page(swap, *keys[number])
                    del contents[keys[number]]
    invalidated = 0
    while True:
        status, oid, index, _ = sender.page_with_handle(TMEMC_SAVE_GET_NEXT_INV, 1)
        if status != 1:
            break
        invalidated += 1
        receiver.control(TMEMC_RESTORE_FLUSH_PAGE, 1, 0, index, pool_id=swap, oid=oid)
    sender.control(TMEMC_SAVE_END, 1)
    found = {(oid, index): copy.get(swap, oid, index)[1] for oid, index in keys}
    held = {key: page for key, page in found.items() if page is not None}
    if held != contents:
        right = sum(held.get(key) == page for key, page in contents.items())
        failures.append(f"the copy holds {len(held)} pages, {right} of {len(contents)} right")
    if receiver.counters("G=")["Ec"]:
        failures.append("ephemeral pages were transferred")
    target.check()
    return exact(
        "X11",
        "migrate",
        f"{pages} persistent and {pages} ephemeral pages, {len(flushed)} flushed half way (quirks documented)",
        "persistent contents identical, invalidated handles absent, ephemeral pages not transferred",
        failures,
        f"{sent} pages sent, {invalidated} invalidations, {len(held)} pages equal at the end",
    )

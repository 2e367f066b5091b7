# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of what guests meet: puts, gets, flushes, eviction, shared pools, deduplication."""

from __future__ import annotations

from xm_tmem.listing.defects.known import KnownDefect

PAGES = (
    KnownDefect(
        "quota-inverted",
        "client_over_quota",
        "4.0",
        "4.12",
        (
            "a client that holds less than its weight stands for is taken to be over its quota, and its own "
            "oldest page is evicted; one that holds more is not"
        ),
        "do not rely on weights; 0 exempts a client. A model with quirks=documented does what was meant",
        ("weight",),
    ),
    KnownDefect(
        "frozen-flush",
        "do_tmem_flush_page, do_tmem_flush_object",
        "4.0",
        "4.12",
        "a flush by a frozen client is done and answers EFROZEN",
        "none: the counters are right",
        ("freeze",),
    ),
    KnownDefect(
        "frozen-duplicate",
        "do_tmem_dup_put",
        "4.0",
        "4.12",
        (
            "a frozen client still takes a put over a page that is held; a migrating one flushes the old page "
            "and answers ENOSPC"
        ),
        "none: that is how contents stay coherent",
        ("freeze",),
    ),
    KnownDefect(
        "frozen-not-counted",
        "do_tmem_put",
        "4.4",
        "4.12",
        (
            "a put refused because the client is frozen counts in px only where its object has other pages; "
            "up to 4.3 it always did"
        ),
        "compare pt with ps to see refused puts",
    ),
    KnownDefect(
        "compression-gap",
        "xmem_pool_alloc",
        "4.0",
        "4.12",
        "a page that compresses to 4033 to 4063 bytes is refused with ENOMEM though memory is free",
        "switch compression off where px grows without memory being short",
    ),
    KnownDefect(
        "reserve-underflow",
        "total_free_pages",
        "4.0",
        "4.12",
        (
            "when fewer pages are free than are reserved for mid-sized allocations, the difference wraps to "
            "plenty, and tmem takes from the reserve"
        ),
        "keep some memory free beside tmem",
    ),
    KnownDefect(
        "shared-pool-dying",
        "pool_destroy_objs",
        "4.0",
        "4.12",
        "when any sharer leaves, the pool is marked as dying: its pages are never evicted again",
        "let all sharers leave to free it",
    ),
    KnownDefect(
        "owner-leaves",
        "shared_pool_reassign",
        "4.0",
        "4.12",
        (
            "when the owner of a shared pool leaves, all its ephemeral pages go to the new owner's list, "
            "those of its other pools too"
        ),
        "let the owner's domain end last",
    ),
    KnownDefect(
        "shared-slots",
        "do_tmem_new_pool",
        "4.5",
        "4.12",
        "a seventeenth shared pool, or a join that fails, leaves a dangling pointer: the host may crash",
        "keep to 16 shared pools",
    ),
    KnownDefect(
        "join-twice",
        "shared_pool_join",
        "4.0",
        "4.12",
        "a client that joins one shared pool twice and leaves once corrupts the list of sharers",
        "one pool for each uuid in a guest",
    ),
    KnownDefect(
        "zero-page-leak",
        "pcd_associate",
        "4.0",
        "4.7",
        "with deduplication and trailing-zero elimination every put of a page of zeros leaks its frame",
        "do not boot with both tmem_dedup and tmem_tze",
    ),
    KnownDefect(
        "trimmed-never-equal",
        "pcd_associate",
        "4.0",
        "4.7",
        "pages whose trailing zeros were cut are taken for compressed ones and never found equal",
        "do not expect tmem_tze to add to tmem_dedup",
    ),
    KnownDefect(
        "compressed-count-stays",
        "tmem_evict",
        "4.0",
        "4.7",
        "evicting a deduplicated compressed page lowers neither cp nor cb",
        "distrust both where dedup is on",
    ),
    KnownDefect(
        "put-reported-done",
        "do_tmem_put",
        "4.0",
        "4.7",
        "a put that finds no memory for its deduplication loses the page and is reported as done",
        "keep some memory free, or deduplication off",
    ),
    KnownDefect(
        "read-only-get",
        "do_tmem_get",
        "4.0",
        "4.12",
        (
            "a get into a frame that cannot be written takes the page from its pool and leaves it on the "
            "lists: the host may crash"
        ),
        "a guest's fault, and any guest may commit it",
    ),
    KnownDefect(
        "partial-write-shows",
        "tmh_copy_from_client",
        "4.0",
        "4.3",
        (
            "writing a part of a new page leaves the rest of its frame as it was: another domain's data may "
            "be read"
        ),
        "use 4.4 or later, which has no partial writes",
    ),
    KnownDefect(
        "compression-takes-all",
        "tmh_compress_from_client",
        "4.0",
        "4.3",
        "putting a part of a page with compression on takes the whole page",
        "use 4.4 or later",
    ),
    KnownDefect(
        "part-of-compressed",
        "do_tmem_get",
        "4.0",
        "4.3",
        "reading a part of a compressed or deduplicated page gives the whole",
        "use 4.4 or later",
    ),
    KnownDefect(
        "dying-client-made",
        "client_create",
        "4.12",
        "4.12",
        "a dying domain that uses tmem gets a client that nothing points to",
        "none",
    ),
)

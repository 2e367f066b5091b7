# SPDX-License-Identifier: GPL-2.0-only
"""The oddities of Xen's tmem and of its old tools that an operator can meet: what, where, since when, what to do.

Those that corrupt memory are here too. A model reproduces the others unless it is booted with quirks="documented".
"""

from __future__ import annotations

from typing import NamedTuple


class KnownDefect(NamedTuple):
    """One oddity. `where` is the C function, or the old tool; `name` is what `xm tmem-explain` is asked for."""

    name: str
    where: str
    since: str
    until: str
    what: str
    advice: str


KNOWN_DEFECTS = (
    # Policy
    KnownDefect(
        "quota-inverted",
        "client_over_quota",
        "4.0",
        "4.12",
        "a client that holds less than its weight stands for is taken to be over its quota, and its own oldest page is "
        "evicted; one that holds more is not",
        "do not rely on weights; 0 exempts a client. A model with quirks=documented does what was meant",
    ),
    KnownDefect(
        "dead-weight",
        "client_free",
        "4.0",
        "4.12",
        "the weight of a destroyed domain stays in the sum that shares are taken of",
        "set a domain's weight to 0 before it is destroyed",
    ),
    KnownDefect(
        "cap-ignored",
        "tmemc_set_var_one",
        "4.0",
        "4.7",
        "caps are stored and listed, and nothing enforces them",
        "use weights",
    ),
    KnownDefect(
        "destroy-thaws",
        "tmemc_freeze_pools",
        "4.0",
        "4.12",
        "DESTROY thaws the client and destroys nothing, whatever the hypervisor's log says",
        "`xm tmem-flush` gives ephemeral memory back; persistent pages go with their domain",
    ),
    KnownDefect(
        "flush-all-only",
        "tmemc_flush_mem",
        "4.0",
        "4.12",
        "FLUSH takes from all clients; for one domain it answers EPERM",
        "flush all, or freeze the others first",
    ),
    KnownDefect(
        "frozen-flush",
        "do_tmem_flush_page, do_tmem_flush_object",
        "4.0",
        "4.12",
        "a flush by a frozen client is done and answers EFROZEN",
        "none: the counters are right",
    ),
    KnownDefect(
        "frozen-duplicate",
        "do_tmem_dup_put",
        "4.0",
        "4.12",
        "a frozen client still takes a put over a page that is held; a migrating one flushes the old page and answers "
        "ENOSPC",
        "none: that is how contents stay coherent",
    ),
    KnownDefect(
        "frozen-not-counted",
        "do_tmem_put",
        "4.4",
        "4.12",
        "a put refused because the client is frozen counts in px only where its object has other pages; up to 4.3 it "
        "always did",
        "compare pt with ps to see refused puts",
    ),
    KnownDefect(
        "compression-gap",
        "do_tmem_put_compress",
        "4.0",
        "4.12",
        "a page that compresses to 4033 to 4063 bytes is refused with ENOMEM though memory is free",
        "switch compression off where px grows without memory being short",
    ),
    KnownDefect(
        "reserve-underflow",
        "alloc_heap_pages",
        "4.0",
        "4.12",
        "when fewer pages are free than are reserved for mid-sized allocations, the difference wraps to plenty, and "
        "tmem takes from the reserve",
        "keep some memory free beside tmem",
    ),
    # Listings
    KnownDefect(
        "shared-lines-garbled",
        "tmemc_list_shared",
        "4.0",
        "4.12",
        "the second and later S= lines are written over the first: wrong slot, wrong uuid, keys cut in two",
        "none: such lines are not believed, and the pools are recovered from the P= lines",
    ),
    KnownDefect(
        "listing-cut-silently",
        "tmemc_list_client",
        "4.0",
        "4.12",
        "lines that do not fit the buffer are left out without a sign; C= lines are written all the same, past its end",
        "none: listings are fetched with a buffer to spare and a guard behind it",
    ),
    KnownDefect(
        "bare-t",
        "tmemc_list_global_perf",
        "4.4",
        "4.12",
        "the last line is T without its =, since the timings were removed and the comma that is overwritten with them",
        "none",
    ),
    KnownDefect(
        "owners-pool-id",
        "tmemc_list_client",
        "4.0",
        "4.12",
        "the P= line of a shared pool shows the owner's pool id for every sharer, so that an id can occur twice in one "
        "client",
        "tell shared pools by their uuid",
    ),
    KnownDefect(
        "list-though-off",
        "tmem_control",
        "4.6",
        "4.12",
        "control operations work as if tmem were on when it was off at boot: a listing of zeros, freezes that succeed",
        "`xm info` asks the hypervisor itself whether tmem is on",
    ),
    KnownDefect(
        "list-panic",
        "tmemc_list_shared",
        "4.5",
        "4.5",
        "listing all clients after a domain that shared a pool was destroyed panics the host",
        "list one domain at a time, or move to 4.6",
    ),
    # Settings and addressing
    KnownDefect(
        "domain-id-cut",
        "do_tmem_control, tmem_control",
        "4.0",
        "4.12",
        "domain ids are cut to 16 bits: 65536 acts on domain 0, 65535 and 4294967295 on all",
        "none: ids are checked before anything is sent",
    ),
    KnownDefect(
        "settings-made-up",
        "tmemc_get_client_info",
        "4.8",
        "4.12",
        "the settings of a domain without a client, and of all, are answered as weight 0 and no compression",
        "none: clients are looked up first",
    ),
    KnownDefect(
        "settings-clobbered",
        "libxl_tmem_set",
        "4.8",
        "4.12",
        "xl tmem-set -a with a weight turns compression off everywhere; with compression it zeroes every weight",
        "`xm tmem-set` reads and writes each domain by itself",
    ),
    KnownDefect(
        "freeable-zero",
        "libxl_tmem_freeable",
        "4.8",
        "4.12",
        "xl tmem-freeable prints 0 whatever could be freed, and -3 when it fails",
        "`xm tmem-freeable` asks the hypervisor itself",
    ),
    # Shared pools
    KnownDefect(
        "authorise-all-fails",
        "tmemc_auth_pools",
        "4.9",
        "4.12",
        "shared pools cannot be authorised for all domains: always ENOMEM",
        "authorise domains one by one",
    ),
    KnownDefect(
        "authorise-unprivileged",
        "do_tmem_op",
        "4.0",
        "4.8",
        "any guest may authorise shared pools, for all domains too, and create pools for another domain",
        "treat the uuid as the only secret; model hosts have strict_privilege",
    ),
    KnownDefect(
        "authorise-help-inverted",
        "xl tmem-shared-auth",
        "4.0",
        "4.8",
        "help and manual say 0 allows and 1 denies; the hypervisor means the opposite (the manual to 4.12)",
        "`--allow` and `--deny` say what they do",
    ),
    KnownDefect(
        "uuid-digits",
        "xc_tmem_uuid_parse",
        "4.0",
        "4.8",
        "the digits a to f of a uuid are read as 0 to 5",
        "`xm tmem-uuid UUID` shows what such a tool would send",
    ),
    KnownDefect(
        "uuid-order",
        "xc_tmem_uuid_parse",
        "4.0",
        "4.12",
        "the old tools and Linux guests disagree which half of a uuid comes first, and in which byte order, so that "
        "authorising the uuid blkid prints never matches",
        "`xm tmem-uuid UUID` shows every spelling",
    ),
    KnownDefect(
        "shared-pool-dying",
        "shared_pool_quit",
        "4.0",
        "4.12",
        "when any sharer leaves, the pool is marked as dying: its pages are never evicted again",
        "let all sharers leave to free it",
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
    # Save, restore, migration
    KnownDefect(
        "first-page-skipped",
        "tmemc_save_get_next_page",
        "4.0",
        "4.12",
        "the first persistent page of each pool is not saved; of a pool of one page an empty answer comes first",
        "`xm tmem-save` counts what is missing and says so",
    ),
    KnownDefect(
        "second-save-empty",
        "tmemc_save_get_next_page",
        "4.0",
        "4.12",
        "a second save of the same domain finds no pages: the place in the list is never reset",
        "save once, or restore and save the copy",
    ),
    KnownDefect(
        "save-stays-frozen",
        "tmemc_save_subop",
        "4.0",
        "4.12",
        "SAVE_BEGIN twice, or a save that never comes to SAVE_END, leaves the client frozen",
        "`xm tmem-thaw DOMAIN` afterwards",
    ),
    KnownDefect(
        "save-end-frees-twice",
        "tmemc_save_subop",
        "4.0",
        "4.12",
        "SAVE_END frees the invalidated handles and keeps them listed: a second one corrupts memory",
        "none: SAVE_END is sent once",
    ),
    KnownDefect(
        "uncompressed-not-restored",
        "tmemc_restore_put_page",
        "4.6",
        "4.12",
        "a page that does not compress, or any without compression, is refused with EINVAL; in 4.12 it cannot be saved "
        "either",
        "`swapoff` in the guest before it is moved",
    ),
    KnownDefect(
        "migration-loses-tmem",
        "libxc migration v2",
        "4.6",
        "4.12",
        "live migration and save carry no tmem: a guest's persistent pages, its swapped-out memory, are lost",
        "`xm tmem-check` warns; `swapoff` in the guest before moving it",
    ),
    KnownDefect(
        "last-pool-id",
        "tmemc_set_pools",
        "4.9",
        "4.12",
        "SET_POOLS answers the last pool's id instead of how many were made, SET_AUTH always 1",
        "none: the answer is not used",
    ),
    KnownDefect(
        "restore-charges-caller",
        "tmemc_restore_put_page",
        "4.0",
        "4.7",
        "the descriptors of restored pages are charged to the domain that restores",
        "none",
    ),
    KnownDefect(
        "settings-panic",
        "tmemc_save_subop",
        "4.0",
        "4.0",
        "asking for the weight, cap or flags of a domain without a client panics the host",
        "none: this release is not asked; move to 4.1",
    ),
    # Deduplication and trailing zeros
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
        "pgp_free_data",
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
    # The host
    KnownDefect(
        "dying-client-listed",
        "tmem_destroy",
        "4.0",
        "4.12",
        "destroying a domain that is being live-migrated leaves a pointer to its client behind",
        "end or cancel the migration first",
    ),
    KnownDefect(
        "read-only-get",
        "do_tmem_get",
        "4.0",
        "4.12",
        "a get into a frame that cannot be written takes the page from its pool and leaves it on the lists: the host "
        "may crash",
        "a guest's fault, and any guest may commit it",
    ),
)

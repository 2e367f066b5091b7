# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of Xen's control operations: lists, settings, freezing, authorising."""

from __future__ import annotations

from xm_tmem.listing.defects.known import KnownDefect

CONTROL = (
    KnownDefect(
        "cap-ignored",
        "tmemc_set_var",
        "4.0",
        "4.7",
        "caps are stored and listed, and nothing enforces them",
        "use weights",
        ("cap",),
    ),
    KnownDefect(
        "destroy-thaws",
        "tmemc_freeze_pools",
        "4.0",
        "4.12",
        "DESTROY thaws the client and destroys nothing, whatever the hypervisor's log says",
        "`xm tmem-flush` gives ephemeral memory back; persistent pages go with their domain",
        ("destroy",),
    ),
    KnownDefect(
        "freeze-misses-newcomers",
        "tmemc_freeze_pools",
        "4.0",
        "4.12",
        (
            "freezing all clients freezes those that are there: a domain that uses tmem for the first time "
            "later is not frozen"
        ),
        "`xm tmem-freeze --wait DOMAIN`, or freeze again",
        ("freeze",),
    ),
    KnownDefect(
        "freeze-key-unbound",
        "tmem_freeze_all",
        "4.0",
        "4.3",
        "the hypervisor has a key handler that freezes everything, and no key is bound to it",
        "`xm tmem-freeze -a`",
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
        "compression-fixed-with-dedup",
        "tmemc_set_var",
        "4.0",
        "4.7",
        "with deduplication on, compression cannot be changed, and setting it succeeds all the same",
        "look at the listing afterwards; boot without tmem_dedup to change it",
    ),
    KnownDefect(
        "dead-weight",
        "client_free",
        "4.0",
        "4.12",
        "the weight of a destroyed domain stays in the sum that shares are taken of",
        "set a domain's weight to 0 before it is destroyed",
        ("weight",),
    ),
    KnownDefect(
        "shared-lines-garbled",
        "tmemc_list_shared",
        "4.0",
        "4.12",
        ("the second and later S= lines are written over the first: wrong slot, wrong uuid, keys cut in two"),
        "none: such lines are not believed, and the pools are recovered from the P= lines",
    ),
    KnownDefect(
        "listing-cut-silently",
        "tmemc_list, tmemc_list_client",
        "4.0",
        "4.12",
        (
            "lines that do not fit the buffer are left out without a sign; C= lines are written all the same, "
            "past its end"
        ),
        "none: listings are fetched with a buffer to spare and a guard behind it",
        ("truncated",),
    ),
    KnownDefect(
        "long-form-cut",
        "tmemc_list",
        "4.0",
        "4.7",
        "the flag for the long form is cut to a byte: 256 asks for the short one",
        "none: 1 is sent",
    ),
    KnownDefect(
        "bare-t",
        "tmemc_list_global_perf",
        "4.4",
        "4.12",
        (
            "the last line is T without its =, since the timings were removed and the comma that is "
            "overwritten with them"
        ),
        "none",
    ),
    KnownDefect(
        "owners-pool-id",
        "tmemc_list_client",
        "4.0",
        "4.12",
        (
            "the P= line of a shared pool shows the owner's pool id for every sharer, so that an id can occur "
            "twice in one client"
        ),
        "tell shared pools by their uuid",
    ),
    KnownDefect(
        "list-though-off",
        "tmem_control",
        "4.6",
        "4.12",
        (
            "control operations work as if tmem were on when it was off at boot: a listing of zeros, freezes "
            "that succeed"
        ),
        "`xm info` asks the hypervisor itself whether tmem is on",
        ("tmem-off",),
    ),
    KnownDefect(
        "list-panic",
        "tmemc_list_shared",
        "4.5",
        "4.5",
        "listing all clients after a domain that shared a pool was destroyed panics the host",
        "list one domain at a time, or move to 4.6",
    ),
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
        (
            "the settings of a domain without a client, and of all, are answered as weight 0 and no "
            "compression"
        ),
        "none: clients are looked up first",
    ),
    KnownDefect(
        "settings-panic",
        "tmemc_save_subop",
        "4.0",
        "4.0",
        "asking for the weight, cap or flags of a domain without a client panics the host",
        "none: this release is not asked; move to 4.1",
    ),
    KnownDefect(
        "pools-one-too-many",
        "tmemc_get_pool",
        "4.8",
        "4.12",
        "asked for no pool at all, GET_POOLS writes one",
        "none: it is asked with room for all",
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
        "authorised-twice",
        "tmemc_shared_pool_auth",
        "4.9",
        "4.12",
        "a uuid can be authorised twice for one domain, and denying it once leaves one of the two",
        "deny it as often as it was allowed",
    ),
)

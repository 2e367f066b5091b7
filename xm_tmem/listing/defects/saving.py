# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of saving, restoring and migrating."""

from __future__ import annotations

from xm_tmem.listing.defects.known import KnownDefect

SAVING = (
    KnownDefect(
        "first-page-skipped",
        "tmemc_save_get_next_page",
        "4.0",
        "4.12",
        (
            "the first persistent page of each pool is not saved; of a pool of one page an empty answer comes "
            "first"
        ),
        "`xm tmem-save` counts what is missing and says so",
        ("migration",),
    ),
    KnownDefect(
        "second-save-empty",
        "tmemc_save_get_next_page",
        "4.0",
        "4.12",
        "a second save of the same domain finds no pages: the place in the list is never reset",
        "save once, or restore and save the copy",
        ("migration",),
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
        "tmem_copy_to_client, tmem_copy_from_client",
        "4.6",
        "4.12",
        (
            "a page that does not compress, or any without compression, is refused with EINVAL; in 4.12 it "
            "cannot be saved either"
        ),
        "`swapoff` in the guest before it is moved",
    ),
    KnownDefect(
        "restore-charges-caller",
        "tmh_persistent_pool_page_get",
        "4.0",
        "4.7",
        "the descriptors of restored pages are charged to the domain that restores",
        "none",
    ),
    KnownDefect(
        "dying-client-listed",
        "tmem_destroy",
        "4.0",
        "4.12",
        "destroying a domain that is being live-migrated leaves a pointer to its client behind",
        "end or cancel the migration first",
    ),
    KnownDefect(
        "destroy-while-saving",
        "pool_flush",
        "4.0",
        "4.12",
        "destroying a pool during a live save does not free it, and its guest has lost it all the same",
        "none: its memory comes back when the domain ends",
    ),
    KnownDefect(
        "flushed-twice-told",
        "pgp_delist",
        "4.0",
        "4.12",
        (
            "a put that fails during a live save is reported as a flush (up to 4.3), or its handle is "
            "forgotten (4.12)"
        ),
        "none: flushing a page that is not there does no harm",
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""Oddities of the old tools, xm, xl, libxl, libxc and xen-tmem-list-parse. Here to explain what scripts have seen."""

from __future__ import annotations

from xm_tmem.listing.defects.known import KnownDefect

TOOLS = (
    KnownDefect(
        "settings-clobbered",
        "libxl_tmem_set",
        "4.8",
        "4.12",
        (
            "xl tmem-set -a with a weight turns compression off everywhere; with compression it zeroes every "
            "weight"
        ),
        "`xm tmem-set` reads and writes each domain by itself",
        ("tmem-set",),
    ),
    KnownDefect(
        "freeable-zero",
        "libxl_tmem_freeable",
        "4.8",
        "4.12",
        "xl tmem-freeable prints 0 whatever could be freed, and -3 when it fails",
        "`xm tmem-freeable` asks the hypervisor itself",
        ("freeable",),
    ),
    KnownDefect(
        "authorise-help-inverted",
        "xl tmem-shared-auth",
        "4.0",
        "4.8",
        ("help and manual say 0 allows and 1 denies; the hypervisor means the opposite (the manual to 4.12)"),
        "`--allow` and `--deny` say what they do",
        ("shared-auth",),
    ),
    KnownDefect(
        "uuid-digits",
        "xc_tmem_uuid_parse",
        "4.0",
        "4.8",
        "the digits a to f of a uuid are read as 0 to 5",
        "`xm tmem-uuid UUID` shows what such a tool would send",
        ("uuid",),
    ),
    KnownDefect(
        "uuid-order",
        "xc_tmem_uuid_parse",
        "4.0",
        "4.12",
        (
            "the old tools and Linux guests disagree which half of a uuid comes first, and in which byte "
            "order, so that authorising the uuid blkid prints never matches"
        ),
        "`xm tmem-uuid UUID` shows every spelling",
        ("uuid",),
    ),
    KnownDefect(
        "migration-loses-tmem",
        "libxc migration v2",
        "4.6",
        "4.12",
        (
            "live migration and save carry no tmem: a guest's persistent pages, its swapped-out memory, are "
            "lost"
        ),
        "`xm tmem-check` warns; `swapoff` in the guest before moving it",
        ("migration",),
    ),
    KnownDefect(
        "old-parser-number-0",
        "parse_shared_pool",
        "4.0",
        "4.12",
        (
            "xen-tmem-list-parse calls every shared pool number 0, since it looks for another key than Xen "
            "writes"
        ),
        "`xm tmem-list` shows the slot",
    ),
    KnownDefect(
        "old-parser-long-lines",
        "main",
        "4.0",
        "4.12",
        "xen-tmem-list-parse takes a line of more than 4095 bytes for several",
        "`xm tmem-list` reads lines of any length",
    ),
    KnownDefect(
        "old-parser-anywhere",
        "parse",
        "4.0",
        "4.12",
        (
            "xen-tmem-list-parse takes a key's letters wherever they stand first, and memory nobody set for a "
            "missing number"
        ),
        "`xm tmem-list` reads keys where keys stand",
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""What an errno means when tmem answers it: seldom what its name says. Xen's numbers; observed on 4.0 to 4.12."""

from __future__ import annotations

from typing import NamedTuple


class KnownError(NamedTuple):
    """An errno of tmem. `causes` are alternatives, each with the releases it is true of; `advice` is what to do."""

    name: str
    number: int
    causes: tuple[str, ...]
    advice: str


KNOWN_ERRORS = (
    KnownError(
        "EPERM",
        1,
        (
            "the caller is not privileged, which control operations want since 4.1.4, 4.2.1 and 4.3",
            "the domain does not exist or has never used tmem (from 4.8 on its settings answer ENOENT instead)",
            "the operation is not known to this release",
            "FLUSH of one domain, which no release supports",
            "NEW_POOL with flags that are not allowed, or RESTORE_BEGIN of a client that is there (up to 4.7)",
        ),
        "look the domain up first (`xm list`); only then think of privilege",
    ),
    KnownError(
        "ENOENT",
        2,
        (
            "settings of a domain that has never used tmem, or of all when there is no client (from 4.8 on)",
            "SAVE_BEGIN or SAVE_END without a client to save (4.12)",
            "a weight of 4294967294 read back through SAVE_GET_CLIENT_WEIGHT: the number is taken for an error",
            "the file /dev/xen/privcmd is not there: no Xen, or its module is not loaded",
        ),
        "`xm list` says which domains use tmem, `xm doctor` what is missing on this host",
    ),
    KnownError(
        "E2BIG", 7, ("GET_POOLS, SET_POOLS or SET_AUTH for more than 16 pools",), "ask for 16 at most"
    ),
    KnownError(
        "ENOMEM",
        12,
        (
            "a put found no memory: the guest keeps the page, and `px` counts up",
            "a put of a page that compresses to 4033 to 4063 bytes, though memory is free",
            "shared pools authorised for all domains at once, which always fails from 4.9 on",
            "SET_POOLS or SET_AUTH for a domain that does not exist (from 4.9 on)",
        ),
        "see `Ta` and `Ec` for what is free or can be freed; authorise domains one by one",
    ),
    KnownError(
        "EACCES",
        13,
        (
            "the toolstack speaks another version of the sysctl interface than the hypervisor",
            "the device /dev/xen/privcmd may be opened by root alone",
        ),
        "be root in dom0; if you are, the connection takes the hypervisor for another release",
    ),
    KnownError(
        "EFAULT",
        14,
        (
            "a pointer, or the guest frame a page is copied from or to, cannot be used; `Cf` counts up for pages",
        ),
        "nothing at the toolstack: the guest or the caller gave a bad address",
    ),
    KnownError(
        "EEXIST",
        17,
        ("RESTORE_BEGIN for a domain that has a client already (from 4.8 on)",),
        "restore into a new domain",
    ),
    KnownError(
        "ENODEV",
        19,
        (
            "tmem is off: the hypervisor was booted without tmem=1",
            "the guest has no pool of that id, or the domain is dying",
        ),
        "boot Xen with tmem=1 (`xm info` shows its command line)",
    ),
    KnownError(
        "EINVAL",
        22,
        (
            "GET_POOLS of a domain that has never used tmem, or a length that is no multiple of 32",
            "RESTORE_PUT_PAGE of a page that does not compress, or for a client without compression (from 4.6 on)",
            "SAVE_GET_NEXT_PAGE of an uncompressed page (4.12)",
        ),
        "save and restore on a model, or on Xen up to 4.5; switch compression on before restoring",
    ),
    KnownError(
        "ENOTTY", 25, ("the file opened as privcmd is something else",), "`xm doctor` names the right one"
    ),
    KnownError(
        "ENOSPC",
        28,
        (
            "a put over a held page of a client that is being migrated: the old page is flushed, the new one refused",
        ),
        "none needed: the guest keeps the page, and the migration learns of the flush",
    ),
    KnownError("ERANGE", 34, ("settings that claim more than 16 pools (from 4.8 on)",), "claim 16"),
    KnownError(
        "ENOSYS",
        38,
        (
            "tmem was not compiled in: the default from 4.12 on, and gone from 4.13 on",
            "the hypervisor has no such hypercall or command",
        ),
        "use a hypervisor built with CONFIG_TMEM, or a model",
    ),
    KnownError(
        "EOPNOTSUPP",
        95,
        (
            "a control operation through the guests' hypercall, from 4.6 on: it proves that tmem is on",
            "TMEM_AUTH or TMEM_RESTORE_NEW from 4.9 on",
            "settings of another version than 1 (from 4.8 on)",
        ),
        "none: the toolstack chooses the way by release",
    ),
    KnownError(
        "EFROZEN",
        1000,
        (
            "the client is frozen and refuses a new page; replacing one that is held still works",
            "the client is frozen and a flush was asked for: it was done all the same",
        ),
        "`xm tmem-thaw DOMAIN` when new pages are wanted",
    ),
    KnownError(
        "EEMPTY",
        1001,
        ("a get from a pool that holds no page at all; `gt` does not count it",),
        "none: it is a miss",
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""The dictionary of tmem: every key of a listing, every error, every exit status, and the known oddities.

Keys come from the tag table and exit statuses from the errors' own docstrings; the errors of hypercalls and the
oddities are told here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from xm_tmem import errors
from xm_tmem.listing.records import ClientRecord, GlobalRecord, PerfRecord, PoolRecord, SharedPoolRecord
from xm_tmem.listing.tags import Record, Tag

_LINES: tuple[tuple[type[Record], str], ...] = (
    (GlobalRecord, "G="),
    (ClientRecord, "C="),
    (PoolRecord, "P="),
    (SharedPoolRecord, "S="),
    (PerfRecord, "T="),
)


class Entry(NamedTuple):
    """A word and what it means. `also`: other words for the same; `where`: which line, call or releases."""

    word: str
    kind: str  # key, error, status or oddity
    where: str
    also: tuple[str, ...]
    meaning: str
    caveat: str


def entries() -> Iterator[Entry]:
    """Everything in the dictionary, in reading order."""
    for record_type, line in _LINES:
        for tag in record_type.tags:
            yield _key(line, tag)
    for name, number, meaning in _ERRNOS:
        yield Entry(name, "error", "hypercalls", (str(number),), meaning, "")
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.TmemError) and kind is not errors.TmemError:
            told = " ".join((kind.__doc__ or "").split())
            yield Entry(kind.__name__, "status", f"exit status {kind.exit_status}", (), told, "")
    for word, where, meaning, advice in _ODDITIES:
        yield Entry(word, "oddity", where, (), meaning, advice)


def look_up(word: str) -> list[Entry]:
    """Every entry for `word`: exactly, or else in any case, or else those that contain it."""
    everything = list(entries())
    exact = [entry for entry in everything if word == entry.word or word in entry.also]
    if exact:
        return exact
    lowered = word.lower()
    any_case = [
        e for e in everything if lowered == e.word.lower() or lowered in (also.lower() for also in e.also)
    ]
    if any_case:
        return any_case
    return [e for e in everything if lowered in e.word.lower() or any(lowered in also for also in e.also)]


def _key(line: str, tag: Tag) -> Entry:
    releases = "" if (tag.since, tag.until) == ("4.0", "4.12") else f", Xen {tag.since} to {tag.until}"
    unit = f" ({tag.unit})" if tag.unit not in ("calls", "id", "text") else ""
    return Entry(tag.key, "key", f"{line} line{releases}", (tag.name,), f"{tag.help}{unit}", tag.caveat)


# What the hypervisor's errors mean when they come from tmem.
_ERRNOS = (
    (
        "EPERM",
        1,
        "no such domain, no tmem client, an unknown command, or not privileged: Xen does not tell which",
    ),
    ("ENOENT", 2, "SET_CLIENT_INFO and SAVE_* of a domain without a tmem client (4.8 on)"),
    ("E2BIG", 7, "more than 16 pools at once (SET_POOLS)"),
    (
        "ENOMEM",
        12,
        "no memory for the page; or, from SET_AUTH of all domains in 4.9 and later, never possible",
    ),
    (
        "EACCES",
        13,
        "the sysctl interface version is not this release's; or the device may be opened by root only",
    ),
    ("EFAULT", 14, "a buffer or a guest frame that cannot be read or written"),
    ("EEXIST", 17, "RESTORE_BEGIN of a client that is there already (4.8 on)"),
    ("ENODEV", 19, "tmem is off at boot; or, for a guest, no such pool"),
    ("EINVAL", 22, "an argument out of range; a page that could not be restored uncompressed (4.6 on)"),
    ("ENOSPC", 28, "a replacing put to a domain that is being migrated: the old page is gone"),
    ("ERANGE", 34, "SET_CLIENT_INFO with more than 16 pools"),
    ("ENOSYS", 38, "this Xen was built without tmem, or has none any more (4.13 on)"),
    ("EOPNOTSUPP", 95, "a tmem_op that has moved to sysctl (4.6 on), or a struct of an unknown version"),
    ("EFROZEN", 1000, "the client is frozen: the new page was refused; a flush was done all the same"),
    ("EEMPTY", 1001, "a get from a pool that holds nothing"),
)
_ODDITIES = (
    (
        "weight",
        "all releases",
        (
            "The quota test is inverted (client_over_quota): of two clients the one *below* its share by weight gives "
            "up its own oldest page when it puts a new one; the one above it takes from the oldest of all."
        ),
        "Do not raise a weight to protect a domain; a model with quirks: documented does what the name promises.",
    ),
    (
        "cap",
        "until Xen 4.7",
        "A cap is stored and listed and never enforced; 4.8 dropped it.",
        "Nothing to do: limit a guest by its own settings.",
    ),
    (
        "destroy",
        "all releases",
        "DESTROY only thaws (tmemc_freeze_pools): no pool and no page goes away.",
        "tmem-flush takes memory back; pools end with their guest.",
    ),
    (
        "freeze",
        "all releases",
        (
            "A frozen client refuses new pages. Replacing puts, gets and flushes go on, and a flush that was done "
            "answers EFROZEN. Freezing all clients says nothing about one that comes later."
        ),
        "Freeze such a domain by itself; tmem-freeze --wait waits for its client.",
    ),
    (
        "truncated",
        "all releases",
        "A listing longer than the buffer loses lines without a word, and C= lines are written past its end.",
        "xm asks with a large buffer, and domain by domain where that is not enough.",
    ),
    (
        "shared-lines",
        "all releases",
        "From the second shared pool on, S= lines are written over each other (tmemc_list_shared).",
        "xm leaves them out and tells shared pools from the P= lines.",
    ),
    (
        "all-zero",
        "Xen 4.6 to 4.12",
        "With tmem off at boot the control calls work as if it were on: a listing of zeros, and success.",
        "xm info tells whether tmem is on; boot with tmem=1.",
    ),
    (
        "freeable",
        "xl of Xen 4.8 to 4.12",
        "xl printed 0 whatever the hypervisor answered.",
        "xm tmem-freeable prints the answer.",
    ),
    (
        "clobber",
        "xl of Xen 4.8 to 4.12",
        "`tmem-set -a -w N` switched compression off for all, `-a -p 1` set every weight to 0.",
        "xm reads each domain first and sends only what differs.",
    ),
    (
        "uuid",
        "all releases",
        (
            "libxc and Linux put a uuid's bytes into the hypercall's two words differently, so that authorising what "
            "blkid prints never matched a Linux guest's pool; libxc of 4.0 to 4.8 read a to f as 0 to 5 besides."
        ),
        "--uuid-order linux, or the text that tmem-uuid shows.",
    ),
    (
        "shared-auth",
        "xm, and xl until 4.8",
        "The help had the numbers the wrong way round: 1 allows, 0 denies.",
        "--allow and --deny leave no doubt.",
    ),
    (
        "migration",
        "all releases",
        (
            "SAVE_GET_NEXT_PAGE skips a pool's first page, and a second save of the same domain sends nothing. From "
            "4.6 on the toolstack's own migration has no tmem at all: persistent pages are lost."
        ),
        "Do not migrate a domain with persistent pages by other means than xm's own.",
    ),
)

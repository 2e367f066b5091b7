# SPDX-License-Identifier: GPL-2.0-only
"""The tag table: every key of every line of a LIST answer, declared once; parser, formats and help read it here.

Models    the lines of tmemc_list (tmemc_list_global, _shared, _client, _global_perf), Xen 4.0 to 4.12.
Units     pages of guest data (4096 bytes each, however little memory a compressed or deduplicated one takes),
          frames of host memory, bytes, processor cycles, calls.
Rules     Add a tag here and every format has it. Never reuse a key or a name. The same two letters mean different
          things on different lines, and case matters.
"""

from __future__ import annotations

from xm_tmem.listing.tags import Record, Tag, tag

_DEDUP_GONE = "always 0 from 4.8 on, which has neither deduplication nor trailing-zero elimination"
_NOT_LOWERED = "up to 4.7, evicting a deduplicated compressed page does not lower it"
_SINCE_401 = {"since": "4.0.1"}


class GlobalRecord(Record, line="G"):
    """A `G=` line: the whole host (C: tmemc_list_global). Counts since boot."""

    __slots__ = ()
    ops: int | None = tag("Tt", "tmem hypercalls of all guests", caveat="control calls count too up to 4.5")
    errored_ops: int | None = tag(
        "Te", "tmem hypercalls that answered an error", caveat="EEMPTY and EFROZEN count"
    )
    failed_copies: int | None = tag("Cf", "page copies from or to a guest that failed")
    alloc_failed: int | None = tag("Af", "allocations of tmem's own structures that failed")
    alloc_page_failed: int | None = tag("Pf", "allocations of a page frame that failed")
    avail_pages: int | None = tag(
        "Ta", "frames on tmem's own free list", unit="frames", kind="gauge", metric="available"
    )
    low_on_memory: int | None = tag(
        "Lm", "times tmem was low on memory", caveat="no release ever counts it up"
    )
    evicted_pages: int | None = tag("Et", "ephemeral pages evicted", unit="pages")
    evict_attempts: int | None = tag("Ea", "attempts to evict a page")
    relinq_pages: int | None = tag("Rt", "frames given back to Xen's heap on demand", unit="frames")
    relinq_attempts: int | None = tag("Ra", "demands of Xen's heap for memory back")
    max_evicts_per_relinq: int | None = tag(
        "Rx", "most evictions one demand took", unit="pages", kind="high-water"
    )
    flush_pools: int | None = tag("Fp", "pools destroyed", caveat="no release ever counts it up")
    eph_count: int | None = tag("Ec", "ephemeral pages held", unit="pages", kind="gauge", metric="ephemeral")
    eph_count_max: int | None = tag(
        "Em", "most ephemeral pages held at once", unit="pages", kind="high-water", metric="ephemeral_max"
    )
    obj_count: int | None = tag(
        "Oc", "objects (files, swap areas) with pages", unit="objects", kind="gauge", metric="held"
    )
    obj_count_max: int | None = tag(
        "Om", "most objects at once", unit="objects", kind="high-water", metric="held_max"
    )
    rtree_node_count: int | None = tag(
        "Nc", "radix-tree nodes in use", unit="nodes", kind="gauge", metric="rtree"
    )
    rtree_node_count_max: int | None = tag(
        "Nm", "most radix-tree nodes at once", unit="nodes", kind="high-water", metric="rtree_max"
    )
    pgp_count: int | None = tag(
        "Pc", "pages held, ephemeral and persistent", unit="pages", kind="gauge", metric="held"
    )
    pgp_count_max: int | None = tag(
        "Pm", "most pages held at once", unit="pages", kind="high-water", metric="held_max"
    )
    page_count: int | None = tag(
        "Fc",
        "page frames that hold uncompressed data",
        unit="frames",
        kind="gauge",
        metric="frame",
        **_SINCE_401,
    )
    page_count_max: int | None = tag(
        "Fm", "most such frames at once", unit="frames", kind="high-water", metric="frame_max", **_SINCE_401
    )
    pcd_count: int | None = tag(
        "Sc",
        "distinct page contents held (deduplication)",
        unit="descriptors",
        kind="gauge",
        metric="content",
        caveat=_DEDUP_GONE,
        **_SINCE_401,
    )
    pcd_count_max: int | None = tag(
        "Sm",
        "most distinct page contents at once",
        unit="descriptors",
        kind="high-water",
        metric="content_max",
        caveat=_DEDUP_GONE,
        **_SINCE_401,
    )
    good_eph_puts: int | None = tag("Ep", "successful puts into ephemeral pools", **_SINCE_401)
    deduped_puts: int | None = tag(
        "Gd", "puts whose contents were held already", caveat=_DEDUP_GONE, **_SINCE_401
    )
    pcd_tze_bytes: int | None = tag(
        "Zt",
        "size of the distinct contents after trailing zeros were cut",
        unit="bytes",
        kind="gauge",
        metric="content_trimmed",
        caveat=_DEDUP_GONE,
        **_SINCE_401,
    )
    pcd_compressed_bytes: int | None = tag(
        "Gz",
        "size of the distinct contents after compression",
        unit="bytes",
        kind="gauge",
        metric="content_compressed",
        caveat=_DEDUP_GONE,
        **_SINCE_401,
    )


class ClientRecord(Record, line="C"):
    """A `C=` line: one client, that is a domain that has used tmem (C: tmemc_list_client)."""

    __slots__ = ()
    cli_id: int = tag("CI", "domain id", unit="id", kind="id")
    weight: int | None = tag(
        "ww",
        "share of the ephemeral memory, relative to the other clients'",
        unit="number",
        kind="setting",
        caveat="0 exempts a client from the quota; the quota test is inverted in every release",
    )
    cap: int | None = tag(
        "ca",
        "most pages allowed, 0 for no limit",
        unit="number",
        kind="setting",
        until="4.7",
        caveat="no release ever enforced it",
    )
    compress: int | None = tag("co", "are new pages compressed", unit="flag", kind="setting")
    frozen: int | None = tag("fr", "are new puts refused", unit="flag", kind="setting")
    total_cycles: int | None = tag(
        "Tc",
        "processor cycles spent in tmem for it",
        unit="cycles",
        metric="spent",
        caveat="always 0 from 4.4 on",
    )
    succ_eph_gets: int | None = tag("Ge", "gets that found a page in an ephemeral pool")
    succ_pers_puts: int | None = tag("Pp", "successful puts into persistent pools")
    succ_pers_gets: int | None = tag(
        "Gp", "gets that found a page in a persistent pool", caveat="saving a domain counts as gets"
    )
    eph_count: int | None = tag(
        "Ec",
        "ephemeral pages held",
        unit="pages",
        kind="gauge",
        metric="ephemeral",
        caveat="pages of a shared pool count for the client that owns the pool",
    )
    eph_count_max: int | None = tag(
        "Em", "most ephemeral pages held at once", unit="pages", kind="high-water", metric="ephemeral_max"
    )
    compressed_pages: int | None = tag(
        "cp",
        "pages held in compressed form",
        unit="pages",
        kind="gauge",
        metric="compressed",
        caveat=_NOT_LOWERED,
    )
    compressed_bytes: int | None = tag(
        "cb",
        "size of those pages",
        unit="bytes",
        kind="gauge",
        metric="compressed",
        caveat=_NOT_LOWERED,
    )
    compress_poor: int | None = tag(
        "cn", "pages that did not compress well and were kept whole", unit="pages"
    )
    compress_nomem: int | None = tag("cm", "puts that failed because the compressed page found no memory")


class PoolCounters(Record):
    """What a `P=` and an `S=` line have in common: counts since the pool was made."""

    __slots__ = ()
    pgp_count: int | None = tag("Pc", "pages held", unit="pages", kind="gauge", metric="held")
    pgp_count_max: int | None = tag(
        "Pm", "most pages held at once", unit="pages", kind="high-water", metric="held_max"
    )
    obj_count: int | None = tag(
        "Oc", "objects (files, swap areas) with pages", unit="objects", kind="gauge", metric="held"
    )
    obj_count_max: int | None = tag(
        "Om", "most objects at once", unit="objects", kind="high-water", metric="held_max"
    )
    objnode_count: int | None = tag(
        "Nc", "radix-tree nodes in use", unit="nodes", kind="gauge", metric="rtree"
    )
    objnode_count_max: int | None = tag(
        "Nm", "most radix-tree nodes at once", unit="nodes", kind="high-water", metric="rtree_max"
    )
    good_puts: int | None = tag("ps", "puts that succeeded")
    puts: int | None = tag("pt", "puts")
    dup_puts_flushed: int | None = tag("pd", "puts over a held page that lost both, old page and new")
    dup_puts_replaced: int | None = tag("pr", "puts over a held page that replaced it")
    no_mem_puts: int | None = tag(
        "px",
        "puts refused for lack of memory",
        caveat="a put refused because the client is frozen counts too: always up to 4.3, from 4.4 on only "
        "where the object has other pages",
    )
    found_gets: int | None = tag("gs", "gets that found their page")
    gets: int | None = tag("gt", "gets", caveat="a get from an empty pool is not counted")
    flushes_found: int | None = tag("fs", "page flushes that found their page")
    flushes: int | None = tag("ft", "page flushes")
    flush_objs_found: int | None = tag("os", "object flushes that found their object")
    flush_objs: int | None = tag("ot", "object flushes")

    pool_type: str | None

    @property
    def persistent(self) -> bool | None:
        """Are its pages kept until the guest flushes them? None where the line does not say."""
        return None if self.pool_type is None else self.pool_type[0] == "P"

    @property
    def shared(self) -> bool | None:
        """May several clients use it? None where the line does not say."""
        return None if self.pool_type is None else self.pool_type[1] == "S"


_POOL_TYPE = "first letter P(ersistent) or E(phemeral), second P(rivate) or S(hared)"


class PoolRecord(PoolCounters, line="P"):
    """A `P=` line: one pool as one of its clients sees it (C: tmemc_list_client).

    `pool_id` is None where the record is a sum of pools (see `derive.total`).
    """

    __slots__ = ()
    cli_id: int = tag("CI", "domain id of the client", unit="id", kind="id")
    pool_id: int | None = tag(
        "PI",
        "pool id, 0 to 15 within its client",
        unit="id",
        kind="id",
        caveat="of a shared pool every sharer's line shows the owner's id, so an id can occur twice in one client",
    )
    pool_type: str | None = tag("PT", _POOL_TYPE, unit="letters", kind="id")
    uuid_lo: int | None = tag(
        "U0", "shared pool's uuid, first word; 0 of a private pool", unit="hex", kind="id"
    )
    uuid_hi: int | None = tag(
        "U1", "shared pool's uuid, second word; 0 of a private pool", unit="hex", kind="id"
    )


class SharedPoolRecord(PoolCounters, line="S"):
    """An `S=` line: one shared pool (C: tmemc_list_shared)."""

    __slots__ = ()
    slot: int | None = tag(
        "SI",
        "place in the host's table of shared pools, 0 to 15",
        unit="id",
        kind="id",
        caveat="the second and later S= lines are garbled in every release and are not believed",
    )
    pool_type: str | None = tag("PT", _POOL_TYPE, unit="letters", kind="id")
    uuid_lo: int | None = tag("U0", "uuid, first word", unit="hex", kind="id")
    uuid_hi: int | None = tag("U1", "uuid, second word", unit="hex", kind="id")
    sharers: tuple[int, ...] | None = tag(
        "SC",
        "domain ids of the clients that share it",
        unit="ids",
        kind="id",
        caveat="repeated, once for each",
    )


class CycleCounter:
    """How long one kind of operation took; None where there was no sample."""

    __slots__ = ("max_cycles", "min_cycles", "samples", "sum_cycles")

    def __init__(self, samples: int, sum_cycles: int, max_cycles: int | None, min_cycles: int | None) -> None:
        self.samples, self.sum_cycles = samples, sum_cycles
        self.max_cycles, self.min_cycles = max_cycles, min_cycles

    @property
    def mean_cycles(self) -> float | None:
        return self.sum_cycles / self.samples if self.samples else None


TIMED = {
    "succ_get": ("G", "gets that found a page"),
    "succ_put": ("P", "puts that succeeded"),
    "failed_get": ("g", "gets that found nothing"),
    "failed_put": ("p", "puts that failed"),
    "flush": ("F", "page flushes"),
    "flush_obj": ("O", "object flushes"),
    "page_copy": ("C", "copies of a page from or to a guest"),
    "compress": ("c", "compressions"),
    "decompress": ("d", "decompressions"),
}
"""What `T=` times: the stem of the long names, with the first letter of the keys and what is timed."""


def _timing_tags() -> list[Tag]:
    tags = []
    for stem, (letter, what) in TIMED.items():
        tags += [
            Tag(
                f"{letter}n",
                f"{what}: samples",
                unit="calls",
                kind="counter",
                name=f"{stem}_count",
                until="4.3",
            ),
            Tag(
                f"{letter}t",
                f"{what}: cycles",
                unit="cycles",
                kind="counter",
                name=f"{stem}_cycles",
                until="4.3",
            ),
            Tag(
                f"{letter}x",
                f"{what}: most cycles of one",
                unit="cycles",
                kind="high-water",
                name=f"{stem}_cycles_max",
                until="4.3",
                caveat="32 bits wide in Xen",
            ),
            Tag(
                f"{letter}m",
                f"{what}: fewest cycles of one",
                unit="cycles",
                kind="low-water",
                name=f"{stem}_cycles_min",
                until="4.3",
                caveat="Xen prints 2147483647 for none; a record has None",
            ),
        ]
    return tags


class PerfRecord(Record, line="T", more=_timing_tags()):
    """A `T=` line: the cycles of tmem's operations since boot (C: tmemc_list_global_perf, 4.0 to 4.3)."""

    __slots__ = ()

    def timing(self, stem: str) -> CycleCounter | None:
        """The four values of one of `TIMED`; None where the line has none. Raises KeyError for another stem."""
        start = self.by_name[f"{stem}_count"]
        count, total, most, fewest = self[start : start + 4]
        return None if count is None or total is None else CycleCounter(count, total, most, fewest)


RECORD_TYPES: tuple[type[Record], ...] = (
    GlobalRecord,
    SharedPoolRecord,
    ClientRecord,
    PoolRecord,
    PerfRecord,
)
"""In the order of a listing's lines."""


class Listing:
    """One LIST answer, understood as far as it can be. Not changed once made.

    raw       the text as it came, up to its NUL
    shared    `S=` lines, only those that can be believed; derive.shared_pools has all shared pools
    unknown   lines of no known type, or without the ids that a line of its type must have
    garbled   second and later `S=` lines that Xen wrote over each other
    problems  why the text looks cut short, each a sentence; empty: it looks whole
    """

    __slots__ = ("clients", "garbled", "global_", "perf", "pools", "problems", "raw", "shared", "unknown")

    def __init__(
        self,
        raw: bytes,
        *,
        global_: GlobalRecord | None,
        shared: tuple[SharedPoolRecord, ...],
        clients: tuple[ClientRecord, ...],
        pools: tuple[PoolRecord, ...],
        perf: PerfRecord | None,
        unknown: tuple[str, ...],
        garbled: tuple[str, ...],
        problems: tuple[str, ...],
    ) -> None:
        self.raw, self.global_, self.perf = raw, global_, perf
        self.shared, self.clients, self.pools = shared, clients, pools
        self.unknown, self.garbled, self.problems = unknown, garbled, problems

    @property
    def truncated(self) -> bool:
        """Does the text look cut short? A cut between lines can go unnoticed: who fetched it knows better."""
        return bool(self.problems)

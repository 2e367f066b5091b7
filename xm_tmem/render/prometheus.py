# SPDX-License-Identifier: GPL-2.0-only
"""A report as metrics in Prometheus' text format, or in OpenMetrics'; names, help and types from the tag table.

Units     A count of pages stays a count of pages: it says how much guest data there is, and a compressed page takes
          less than 4096 bytes. Frames are host memory and become bytes. Cycles stay cycles: their length is unknown.
Labels    domid and name; pool and type. A shared pool has one of its own, `shared_pool`, a checksum of its uuid: the
          uuid is all a guest needs to join the pool, and metrics travel far.
Left out  the `P=` lines of shared pools: each sharer's repeats the counters of the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from zlib import crc32

from xm_tmem.listing import derive
from xm_tmem.listing.records import (
    TIMED,
    ClientRecord,
    GlobalRecord,
    PerfRecord,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.report import Report
from xm_tmem.listing.tags import Record, Tag
from xm_tmem.render.cells import visible
from xm_tmem.units import PAGE_BYTES

_PREFIX: dict[type[Record], str] = {
    GlobalRecord: "xen_tmem",
    ClientRecord: "xen_tmem_client",
    PoolRecord: "xen_tmem_pool",
    SharedPoolRecord: "xen_tmem_shared_pool",
}
_SUFFIX = {"frames": "bytes", "calls": "", "flag": "", "number": ""}  # of other units the unit itself
_FACTOR = {"frames": PAGE_BYTES}
ENDINGS = {"counter": "_total", "info": "_info"}  # what a sample's name has behind that of its family

Labels = tuple[tuple[str, str], ...]  # name and value of each, without hostile characters
Sample = tuple[Labels, int | float]


class Family(NamedTuple):
    """A metric: `name` without the "_total" of a counter."""

    name: str
    kind: str  # counter, gauge, info
    help: str
    samples: Iterable[Sample]


def render(report: Report, *, openmetrics: bool = False) -> str:
    """The report as metrics, `xen_tmem_up` 1 among them."""
    return _text(families(report), openmetrics)


def render_down(connection: str, *, openmetrics: bool = False) -> str:
    """What a scrape shows while no listing can be had: `xen_tmem_up` 0."""
    return _text(families_down(connection), openmetrics)


def metric_name(record_type: type[Record], tag: Tag) -> str:
    """The name of a tag's metric, without the "_total" of a counter."""
    stem = (tag.metric or tag.name).removesuffix("_pages").removesuffix("_bytes").removesuffix("_count")
    suffix = _SUFFIX.get(tag.unit, tag.unit)
    return "_".join(filter(None, (_PREFIX[record_type], stem, suffix)))


def families_down(connection: str) -> list[Family]:
    """What there is to say of a host whose listing cannot be had."""
    return [_up(connection, 0)]


def families(report: Report) -> Iterator[Family]:
    """Every metric of the report, also those without a sample."""
    listing = report.listing
    yield _up(report.connection, 1)
    about = _labels(connection=report.connection, release=report.release or "unknown")
    yield Family("xen_tmem", "info", "where the listing is from", [(about, 1)])
    yield Family(
        "xen_tmem_listing_truncated", "gauge", "does the listing lack lines", [((), int(report.truncated))]
    )
    if listing.global_ is not None:
        yield from _of_records(GlobalRecord, {(): listing.global_})
    yield from _of_records(
        ClientRecord,
        {_labels(domid=client.cli_id, name=report.name(client.cli_id)): client for client in listing.clients},
    )
    private = (pool for pool in listing.pools if not pool.shared)
    yield from _of_records(PoolRecord, {_pool_labels(report, pool): pool for pool in private})
    shared = derive.shared_pools(listing)
    yield from _of_records(SharedPoolRecord, {_shared_labels(pool): pool for pool in shared})
    members = [
        (_labels(shared_pool=_checksum(pool), domid=cli_id, name=report.name(cli_id)), 1)
        for pool in shared
        for cli_id in dict.fromkeys(pool.sharers or ())  # a client that joined twice is listed twice
    ]
    yield Family("xen_tmem_shared_pool_member", "gauge", "1 for each client of a shared pool", members)
    if listing.perf is not None:
        yield from _of_timings(listing.perf)


def _up(connection: str, value: int) -> Family:
    return Family(
        "xen_tmem_up", "gauge", "could the listing be read", [(_labels(connection=connection), value)]
    )


def _of_records(record_type: type[Record], records: dict[Labels, Any]) -> Iterator[Family]:
    for position, tag in enumerate(record_type.tags):
        if tag.kind == "id":
            continue
        factor = _FACTOR.get(tag.unit, 1)
        samples = [
            (labels, record[position] * factor)
            for labels, record in records.items()
            if record[position] is not None
        ]
        kind = "counter" if tag.kind == "counter" else "gauge"
        yield Family(metric_name(record_type, tag), kind, tag.help, samples)


def _of_timings(perf: PerfRecord) -> Iterator[Family]:
    timings = [
        (_labels(operation=stem), timing) for stem in TIMED if (timing := perf.timing(stem)) is not None
    ]
    for name, kind, text, member in (
        ("samples", "counter", "operations timed", "samples"),
        ("cycles", "counter", "processor cycles the operations took", "sum_cycles"),
        ("max_cycles", "gauge", "most cycles one took", "max_cycles"),
        ("min_cycles", "gauge", "fewest cycles one took", "min_cycles"),
    ):
        samples = [
            (labels, value) for labels, timing in timings if (value := getattr(timing, member)) is not None
        ]
        yield Family(f"xen_tmem_operation_{name}", kind, text, samples)


def _pool_labels(report: Report, pool: PoolRecord) -> Labels:
    kind = {True: "persistent", False: "ephemeral"}.get(pool.persistent)  # type: ignore[arg-type]
    return _labels(domid=pool.cli_id, name=report.name(pool.cli_id), pool=pool.pool_id, type=kind)


def _shared_labels(pool: SharedPoolRecord) -> Labels:
    return _labels(shared_pool=_checksum(pool), type="persistent" if pool.persistent else "ephemeral")


def _checksum(pool: SharedPoolRecord) -> str:
    return f"{crc32(f'{pool.uuid_lo or 0:x}.{pool.uuid_hi or 0:x}'.encode('ascii')):08x}"


def _labels(**labels: object) -> Labels:
    return tuple((name, visible(str(value))) for name, value in labels.items() if value is not None)


def _labels_text(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _text(families: Iterable[Family], openmetrics: bool) -> str:
    parts = []
    texts: dict[Labels, str] = {}  # a record's labels are those of each of its values
    for family in families:
        samples = list(family.samples)
        if not samples:
            continue
        name = family.name + ENDINGS.get(family.kind, "")
        shown, kind = (
            (family.name, family.kind) if openmetrics else (name, family.kind.replace("info", "gauge"))
        )
        text = family.help.replace("\\", "\\\\")
        parts.append(f"# HELP {shown} {text}.\n# TYPE {shown} {kind}\n")
        for labels, value in samples:
            if (written := texts.get(labels)) is None:
                written = texts[labels] = _labels_text(labels)
            parts.append(f"{name}{written} {value}\n")
    return "".join(parts) + ("# EOF\n" if openmetrics else "")

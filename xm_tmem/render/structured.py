# SPDX-License-Identifier: GPL-2.0-only
"""Reports for programs: JSON, JSON lines, YAML, CSV. Long stable names; base units (pages, bytes, cycles); no rounding.

JSON and YAML are one document, described by docs/listing-schema.json; every list is there, empty if need be. JSON
lines have one record to a line, each with where and when it is from. In CSV a row is a pool with its client.
Ratios are numbers, switches true or false, uuid words hexadecimal text (64 bits do not fit a JavaScript number), an
unknown value null or, in CSV, nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xm_tmem.listing import derive
from xm_tmem.listing.fields import FIELDS
from xm_tmem.listing.records import (
    RECORD_TYPES,
    TIMED,
    ClientRecord,
    GlobalRecord,
    PerfRecord,
    PoolCounters,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.report import Report
from xm_tmem.listing.select import Selection
from xm_tmem.listing.tags import Record
from xm_tmem.render.cells import visible

SCHEMA = "xm-tmem/listing/1"
TIMING_MEMBERS = ("samples", "sum_cycles", "max_cycles", "min_cycles", "mean_cycles")


def document(report: Report, selection: Selection) -> dict[str, Any]:
    """The report as one document. The selection's filter and order apply, its columns and units do not."""
    listing, rows = report.listing, selection.rows(report)
    totals = derive.Totals.of(listing.clients)
    clients = {row.client.cli_id: row.client for row in rows if row.client is not None}
    return {
        "schema": SCHEMA,
        **origin(report),
        "truncated": report.truncated,
        "problems": list(listing.problems),
        "host": None if listing.global_ is None else _host(listing.global_),
        "clients": [_client(each, totals, report.name(each.cli_id)) for each in clients.values()],
        "pools": [
            _pool(row.pool, row.name) for row in rows if row.pool is not None and not selection.by_client
        ],
        "shared_pools": [_shared_pool(each) for each in derive.shared_pools(listing)],
        "timings": [] if listing.perf is None else _timings(listing.perf),
        "unknown_lines": list(listing.unknown),
        "garbled_lines": list(listing.garbled),
    }


def origin(report: Report) -> dict[str, Any]:
    """Where and when a report is from."""
    return {
        "connection": report.connection,
        "release": report.release,
        "timestamp": timestamp_text(report.timestamp),
    }


def timestamp_text(timestamp: float) -> str:
    """Seconds since 1970 as RFC 3339 text in UTC, to the millisecond."""
    milliseconds = round(timestamp * 1000)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}Z"


def render_json(report: Report, selection: Selection) -> str:
    """One JSON document, a record to a line. ASCII."""
    return json_text(document(report, selection))


def json_text(document: Mapping[str, Any]) -> str:
    """`document` as JSON, each element of its lists on a line of its own: readable, and quick to write."""
    from json import JSONEncoder

    encode = JSONEncoder().encode
    members = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            items = ",\n    ".join(map(encode, value))
            members.append(f'  "{name}": [\n    {items}\n  ]')
        else:
            members.append(f'  "{name}": {encode(value)}')
    return "{\n" + ",\n".join(members) + "\n}\n"


def render_jsonl(report: Report, selection: Selection) -> str:
    """A JSON object to a line; its "record" says what it is: host, client, pool, shared_pool or timing."""
    from json import JSONEncoder

    encode, common = JSONEncoder().encode, origin(report)
    return "".join(
        f"{encode({'record': kind, **common, **record})}\n" for kind, record in _flat(report, selection)
    )


def _flat(report: Report, selection: Selection) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = document(report, selection)
    if whole["host"] is not None:
        yield "host", whole["host"]
    for kind, name in (
        ("client", "clients"),
        ("pool", "pools"),
        ("shared_pool", "shared_pools"),
        ("timing", "timings"),
    ):
        for record in whole[name]:
            yield kind, record


def render_yaml(report: Report, selection: Selection) -> str:
    """The JSON document as YAML. ASCII."""
    from xm_tmem.render.yaml_writer import yaml_text

    return yaml_text(document(report, selection))


def render_csv(
    report: Report,
    selection: Selection,
    *,
    every_field: bool = False,
    headings: bool = True,
    whose: bool = False,
) -> str:
    """A line of names, then the selection's rows; with `every_field` all fields instead of its columns.

    `whose`: the connection comes first in each row, for rows of several hosts.
    """
    from csv import writer
    from io import StringIO

    fields = tuple(FIELDS.values()) if every_field else selection.columns
    out = StringIO()
    lines = writer(out, lineterminator="\n")
    host = [_csv_cell(report.connection, "text")] if whose else []
    if headings:
        lines.writerow([*(["connection"] if whose else []), *(field.name for field in fields)])
    for row in selection.rows(report):
        lines.writerow([*host, *(_csv_cell(field.of(row), field.unit) for field in fields)])
    return out.getvalue()


def _csv_cell(value: Any, unit: str) -> Any:
    if value is None:
        return ""
    if unit == "flag":
        return "true" if value else "false"
    if unit == "hex":
        return f"{value:x}"
    if unit == "text":
        # A spreadsheet would take a name that begins like a formula for one.
        return f"'{visible(value)}" if value[:1] in ("=", "+", "-", "@") else visible(value)
    return value


def _converters(record_type: type[Record]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The values of a type of record that JSON wants otherwise than the record has them."""
    by_unit: dict[str, Callable[[Any], Any]] = {"flag": bool, "hex": "{:x}".format, "ids": list}
    return tuple((tag.name, by_unit[tag.unit]) for tag in record_type.tags if tag.unit in by_unit)


_CONVERTERS = {record_type: _converters(record_type) for record_type in RECORD_TYPES}


def _named(record: Record) -> dict[str, Any]:
    """A record under its long names, in the types JSON has."""
    values = record.named()
    for name, convert in _CONVERTERS[type(record)]:
        if values[name] is not None:
            values[name] = convert(values[name])
    if record.unknown:
        values["unknown"] = dict(record.unknown)
    return values


def _host(host: GlobalRecord) -> dict[str, Any]:
    return {**_named(host), **{name: ask(host) for name, _, ask in derive.HOST_RATIOS}}


def _client(client: ClientRecord, totals: derive.Totals, name: str | None) -> dict[str, Any]:
    return {
        "cli_id": client.cli_id,
        "name": name,
        **_named(client),
        "share_held": derive.share_held(client, totals),
        "share_by_weight": derive.share_by_weight(client, totals),
        "compression_ratio": derive.compression_ratio(client),
    }


def _pool(pool: PoolRecord, name: str | None) -> dict[str, Any]:
    return {"cli_id": pool.cli_id, "name": name, **_named(pool), **_of_any_pool(pool)}


def _shared_pool(pool: SharedPoolRecord) -> dict[str, Any]:
    return {**_named(pool), **_of_any_pool(pool)}


def _of_any_pool(pool: PoolCounters) -> dict[str, Any]:
    return {
        "persistent": pool.persistent,
        "shared": pool.shared,
        "hit_rate": derive.hit_rate(pool),
        "put_success": derive.put_success(pool),
    }


def _timings(perf: PerfRecord) -> list[dict[str, Any]]:
    timed = {stem: perf.timing(stem) for stem in TIMED}
    return [
        {"operation": stem, **{name: getattr(timing, name) for name in TIMING_MEMBERS}}
        for stem, timing in timed.items()
        if timing is not None
    ]

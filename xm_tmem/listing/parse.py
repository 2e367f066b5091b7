# SPDX-License-Identifier: GPL-2.0-only
"""A LIST answer's text as records: tolerant of every release from 4.0 to 4.12, and of any bytes at all.

The text is hostile: it comes from a hypervisor, a socket or a file. Whatever is not understood is kept as text, in
the record's or the listing's `unknown`; nothing raises. Two paths give the same records: a fast one for lines of
the usual shape (nearly all, see `alike`), and a careful one for the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from xm_tmem.listing.alike import Rows, alike
from xm_tmem.listing.records import (
    ClientRecord,
    GlobalRecord,
    Listing,
    PerfRecord,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.tags import Record, Tag

U64_MAX = 2**64 - 1
NO_SAMPLE = 2**31 - 1  # what Xen prints for the fewest cycles when there was no sample
_RECORD_OF_LINE: dict[str, type[Record]] = {
    "G=": GlobalRecord,
    "C=": ClientRecord,
    "P=": PoolRecord,
    "T=": PerfRecord,
}
_IDS_OF_LINE = {"C=": ("CI",), "P=": ("CI", "PI")}


def parse_listing(text: bytes) -> Listing:
    """`text` up to its first NUL as a Listing. Never raises."""
    raw = bytes(text).partition(b"\0")[0]
    lines = raw.decode("ascii", "backslashreplace").split("\n")
    unfinished = lines[-1] != ""
    if not unfinished:
        lines.pop()

    records = _records(lines)
    clients = tuple(record for record in records if isinstance(record, ClientRecord))
    pools = tuple(record for record in records if isinstance(record, PoolRecord))
    host: GlobalRecord | None = None
    perf: PerfRecord | None = None
    shared: list[SharedPoolRecord] = []
    garbled: list[str] = []
    unknown: list[str] = []
    ended = False
    others = [
        number for number, record in enumerate(records) if not isinstance(record, (PoolRecord, ClientRecord))
    ]
    for number in others:
        line, record = lines[number], records[number]
        if isinstance(record, GlobalRecord) and host is None:
            host = record
        elif isinstance(record, PerfRecord) and perf is None:
            perf = record
        elif line.startswith("S="):
            pool = _read_shared(line, shared)
            if pool is None:
                garbled.append(line)
            else:
                shared.append(pool)
        elif (
            line == "T"
        ):  # QUIRK tmemc_list_global_perf: from 4.4 on "=" is overwritten as if it were a comma
            ended = True
        else:
            unknown.append(line)

    problems = ["the text is empty"] if not raw else ["the last line is not finished"] if unfinished else []
    if raw and (host is not None) != (ended or perf is not None):
        problems.append("the G= line is missing" if host is None else "the T line is missing")
    problems += _missing_lines(clients, pools)
    return Listing(
        raw,
        global_=host,
        shared=tuple(shared),
        clients=clients,
        pools=pools,
        perf=perf,
        unknown=tuple(unknown),
        garbled=tuple(garbled),
        problems=tuple(problems),
    )


def _decimal(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII) or abs(value := int(text)) > U64_MAX:
        raise ValueError
    return value


def _unsigned_32(text: str) -> int:
    """A 32-bit number without sign, which Xen prints as if it had one."""
    value = _decimal(text)
    return value & (2**32 - 1) if value < 0 else value


def _identity(text: str) -> int:
    if (value := _decimal(text)) < 0:
        raise ValueError
    return value


def _hexadecimal(text: str) -> int:
    if text == "0":  # of every private pool
        return 0
    if not re.fullmatch(r"[0-9A-Fa-f]{1,16}", text, re.ASCII):
        raise ValueError
    return int(text, 16)


def _pool_type(text: str) -> str:
    if text not in ("EP", "ES", "PP", "PS"):
        raise ValueError
    return text


_NOT_DECIMAL: dict[str, Callable[[str], Any]] = {"hex": _hexadecimal, "letters": _pool_type}
_PATTERNS = {"hex": "[0-9A-Fa-f]{1,16}", "letters": "[EP][PS]"}  # decimals of 19 digits are less than 2**64
_CONVERTERS = {**_NOT_DECIMAL, "number": _unsigned_32, "id": _identity}


def _records(lines: Sequence[str]) -> list[Record | None]:
    """The record of each line; None for a line of another kind, and for one that is not understood."""
    records: list[Record | None] = [None] * len(lines)
    for head, ids in _IDS_OF_LINE.items():
        record_type = _RECORD_OF_LINE[head]
        numbers = [number for number, line in enumerate(lines) if line.startswith(head)]
        some = [lines[number] for number in numbers]
        for keys, fitting, rows in alike(some, lambda key, of=record_type: _pattern(of, key)):  # type: ignore[misc]
            if not set(ids) <= set(keys):
                continue
            for at, record in zip(fitting, _read_together(record_type, keys, rows), strict=True):
                records[numbers[at]] = record
    return [
        _read_carefully(line) if record is None else record
        for line, record in zip(lines, records, strict=True)
    ]


def _read_together(record_type: type[Record], keys: Sequence[str], rows: Rows) -> Iterator[Record]:
    """The record of each row, whose texts are those of `keys` and fit their patterns."""
    texts = dict(zip(keys, zip(*rows, strict=True), strict=True))
    values = [_column(texts[tag.key], tag) if tag.key in texts else repeat(None) for tag in record_type.tags]
    return map(record_type, zip(*values, repeat(())))


def _column(texts: Sequence[str], tag: Tag) -> Iterable[Any]:
    """The values of `tag`, whose texts fit its pattern."""
    if tag.unit == "letters":
        return texts
    convert = _NOT_DECIMAL.get(tag.unit, int)
    distinct = set(texts)
    if len(distinct) == 1:
        return repeat(convert(texts[0]), len(texts))
    if len(distinct) * 4 > len(texts):
        return map(convert, texts)
    return map(
        {text: convert(text) for text in distinct}.__getitem__, texts
    )  # of idle pools: nearly all are zeros


def _pattern(record_type: type[Record], key: str) -> str | None:
    """Of the values of `key` that need no care; None for a key that is not in the table."""
    position = record_type.by_key.get(key)
    return None if position is None else _PATTERNS.get(record_type.tags[position].unit, "[0-9]{1,19}")


def _read_carefully(line: str) -> Record | None:
    """A line whatever its order and completeness; None where an id is missing that its type of line must have."""
    record_type = _RECORD_OF_LINE.get(line[:2])
    if record_type is None:
        return None
    record = _fill(record_type, line[2:])
    if any(record[record_type.by_key[key]] is None for key in _IDS_OF_LINE.get(line[:2], ())):
        return None
    return _without_empty_minima(record) if isinstance(record, PerfRecord) else record


def _fill(record_type: type[Record], fields: str) -> Record:
    """A record of "key:text,key:text"; of a repeated key the first counts (C: strstr in xen-tmem-list-parse)."""
    values: list[Any] = [None] * len(record_type.tags)
    unknown = []
    for field in fields.split(",") if fields else ():
        key, _, text = field.partition(":")
        position = record_type.by_key.get(key)
        if position is None or values[position] is not None:
            unknown.append((key, text))
            continue
        try:
            values[position] = _CONVERTERS.get(record_type.tags[position].unit, _decimal)(text)
        except ValueError:
            unknown.append((key, text))
    return record_type((*values, tuple(unknown)))


def _without_empty_minima(perf: PerfRecord) -> PerfRecord:
    values = [None if value == NO_SAMPLE else value for value in perf]
    return PerfRecord(values)


_SHARED = (
    r"S=(SI:[0-9]{1,2},PT:[EP]S,U0:[0-9a-f]{1,16},U1:[0-9a-f]{1,16})"
    r"((?:,SC:[0-9]{1,5})*)((?:,(?!SC|SI|PT|U0|U1)[A-Za-z][A-Za-z0-9]:[0-9]{1,20})*)"
)


def _read_shared(line: str, believed: list[SharedPoolRecord]) -> SharedPoolRecord | None:
    """An `S=` line's record, or None where the line cannot be believed.

    QUIRK tmemc_list_shared: the write offset is not reset from pool to pool, so from the second pool on a line has
    the head of the first with the tail of another, in the short form with half a line more. Such a line repeats the
    first slot or lacks a whole uuid, however its cut falls. A hypervisor without the defect is believed.
    """
    match = re.fullmatch(_SHARED, line)  # compiled by the first such line: most hosts have none
    if match is None:
        return None
    identity, sharers, counters = match.groups()
    record: SharedPoolRecord = SharedPoolRecord(_fill(SharedPoolRecord, identity + counters))
    if any(key in SharedPoolRecord.by_key for key, _ in record.unknown):
        return None
    if any(record.slot <= other.slot or record[2:4] == other[2:4] for other in believed):  # type: ignore[operator]
        return None
    values = list(record)
    values[SharedPoolRecord.by_name["sharers"]] = tuple(int(each) for each in sharers.split(",SC:")[1:])
    return SharedPoolRecord(values)


def _missing_lines(clients: tuple[ClientRecord, ...], pools: tuple[PoolRecord, ...]) -> Iterator[str]:
    """What shows that lines were left out.

    QUIRK tmemc_list: a line that does not fit the caller's buffer is left out, and nothing tells; `C=` lines are
    written all the same, past the end.
    """
    with_pools = {pool.cli_id for pool in pools}
    strangers = with_pools - {client.cli_id for client in clients}
    if strangers:
        yield f"no C= line for client {_some(strangers)}"
    bare = {client.cli_id for client in clients if client.eph_count and client.cli_id not in with_pools}
    if bare:
        yield f"no P= line for client {_some(bare)}, which holds pages"


def _some(numbers: set[int]) -> str:
    listed = sorted(numbers)
    return ", ".join(map(str, listed[:5])) + (", …" if len(listed) > 5 else "")

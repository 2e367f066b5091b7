# SPDX-License-Identifier: GPL-2.0-only
"""A LIST answer's text as records: tolerant of every release from 4.0 to 4.12, and of any bytes at all.

The text is hostile: it comes from a hypervisor, a socket or a file. Whatever is not understood is kept as text, in
the record's or the listing's `unknown`; nothing raises. Two paths give the same records: a fast one for lines that
have the keys of the line before (nearly all), and a careful one for the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

from xm_tmem.listing.records import (
    ClientRecord,
    GlobalRecord,
    Listing,
    PerfRecord,
    PoolRecord,
    SharedPoolRecord,
)
from xm_tmem.listing.tags import Record

U64_MAX = 2**64 - 1
NO_SAMPLE = 2**31 - 1  # what Xen prints for the fewest cycles when there was no sample
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:,=\n"
_NOT_SEPARATORS = bytes(byte for byte in range(256) if byte not in b":,\n")
_RECORD_OF_LINE: dict[str, type[Record]] = {
    "G=": GlobalRecord,
    "C=": ClientRecord,
    "P=": PoolRecord,
    "T=": PerfRecord,
}
_ONCE = ("G=", "T=")
_IDS_OF_LINE = {"C=": ("cli_id",), "P=": ("cli_id", "pool_id")}


def parse_listing(text: bytes) -> Listing:
    """`text` up to its first NUL as a Listing. Never raises."""
    raw = bytes(text).partition(b"\0")[0]
    lines = raw.decode("ascii", "backslashreplace").split("\n")
    unfinished = lines[-1] != ""
    if not unfinished:
        lines.pop()
    shapes = raw.translate(None, _NOT_SEPARATORS).split(b"\n")  # of each line its colons and commas
    plain = not raw.translate(None, _PLAIN)  # int() takes more than digits: "1_0", "+1", " 1"

    found: dict[str, list[Any]] = {head: [] for head in _RECORD_OF_LINE}
    plans: dict[str, _Plan] = {}
    shared: list[SharedPoolRecord] = []
    garbled: list[str] = []
    unknown: list[str] = []
    ended = False
    for line, shape in zip(lines, shapes, strict=False):
        head = line[:2]
        plan = plans.get(head)
        record = plan.read(line, shape) if plan is not None and plain else None
        if record is None and head in found:
            record = _read_carefully(head, line)
            if record is not None and shape and not record.unknown:
                plans[head] = _Plan(type(record), line, shape)
        if record is not None and not (found[head] and head in _ONCE):
            found[head].append(record)
        elif head == "S=":
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

    host: GlobalRecord | None = found["G="][0] if found["G="] else None
    perf: PerfRecord | None = found["T="][0] if found["T="] else None
    clients, pools = tuple(found["C="]), tuple(found["P="])
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
_CONVERTERS = {**_NOT_DECIMAL, "number": _unsigned_32, "id": _identity}


class _Plan:
    """How to read a line of plain characters with exactly the keys of one that was read carefully."""

    __slots__ = ("keys", "not_decimal", "order", "record_type", "shape")

    def __init__(self, record_type: type[Record], line: str, shape: bytes) -> None:
        self.record_type, self.shape = record_type, shape
        self.keys = line.replace(":", ",").split(",")[::2]  # the first with the line's type before it: "P=CI"
        at = {key[-2:]: position for position, key in enumerate(self.keys)}
        absent = len(self.keys)  # `read` puts None there, and an empty `unknown` behind it
        self.order = itemgetter(*(at.get(tag.key, absent) for tag in record_type.tags), absent + 1)
        self.not_decimal = [
            (at[tag.key], _NOT_DECIMAL[tag.unit])
            for tag in record_type.tags
            if tag.key in at and tag.unit in _NOT_DECIMAL
        ]

    def read(self, line: str, shape: bytes) -> Record | None:
        """The line's record, or None: read it carefully."""
        parts = line.replace(":", ",").split(",")
        if parts[::2] != self.keys or shape != self.shape:
            return None
        texts = parts[1::2]
        try:
            others = [(position, convert(texts[position])) for position, convert in self.not_decimal]
            for position, _ in others:
                texts[position] = "0"
            values: list[Any] = list(map(int, texts))
        except ValueError:
            return None
        if max(values) > U64_MAX:
            return None
        for position, value in others:
            values[position] = value
        values += (None, ())
        return self.record_type(self.order(values))


def _read_carefully(head: str, line: str) -> Record | None:
    """A line whatever its order and completeness; None where an id is missing that its type of line must have."""
    record_type = _RECORD_OF_LINE[head]
    record = _fill(record_type, line[2:])
    if any(getattr(record, name) is None for name in _IDS_OF_LINE.get(head, ())):
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

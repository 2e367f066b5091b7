# SPDX-License-Identifier: GPL-2.0-only
"""The fields a listing can be filtered, sorted and shown by: those of the tag table and those derived from it.

A row is a client with one of its pools, or with the sum of them. A field has one name everywhere; some have a shorter
one too, which is also the heading of their column. The two letters of Xen's text are understood as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xm_tmem.errors import BadInput
from xm_tmem.listing import derive
from xm_tmem.listing.records import ClientRecord, PoolRecord
from xm_tmem.listing.report import Report


class Row:
    """A client with one pool, with the sum of its pools (whose pool id is None), or without any.

    `client` is None where the listing lacks its line, `name` where nobody knows it.
    """

    __slots__ = ("client", "name", "pool", "totals")

    def __init__(
        self, client: ClientRecord | None, pool: PoolRecord | None, name: str | None, totals: derive.Totals
    ) -> None:
        self.client, self.pool, self.name, self.totals = client, pool, name, totals


class Field:
    """Something a row can be asked.

    short  heading of its column, "" for the name
    unit   one of a tag's units, or ratio or text
    of     the answer of a row
    """

    __slots__ = ("help", "name", "of", "short", "unit")

    def __init__(self, name: str, short: str, unit: str, help: str, of: Callable[[Row], Any]) -> None:  # noqa: A002
        self.name, self.short, self.unit, self.help, self.of = name, short, unit, help, of

    @property
    def heading(self) -> str:
        return self.short or self.name


def rows_of(report: Report, *, by_client: bool = False) -> list[Row]:
    """The rows of a report: one for each pool, and for each client without any; or one for each client."""
    listing, names = report.listing, report.names
    totals = derive.Totals.of(listing.clients)
    pools_of: dict[int, list[PoolRecord]] = {client.cli_id: [] for client in listing.clients}
    for pool in listing.pools:
        pools_of.setdefault(pool.cli_id, []).append(pool)
    clients = {client.cli_id: client for client in reversed(listing.clients)}  # of two, the first
    rows = []
    for cli_id, pools in pools_of.items():
        client, name = clients.get(cli_id), names.get(cli_id)
        if by_client:
            rows.append(Row(client, derive.total(cli_id, pools), name, totals))
        elif pools:
            rows += [Row(client, pool, name, totals) for pool in pools]
        else:
            rows.append(Row(client, None, name, totals))
    return rows


def find_field(word: str) -> Field:
    """The field called `word`: its name, its short name or its two letters. Raises BadInput, with a suggestion."""
    field = FIELDS.get(word) or _BY_OTHER_NAME.get(word)
    if field is None:
        raise BadInput(f"there is no field {word!r}: {_suggestion(word)}")
    return field


def _suggestion(word: str) -> str:
    from difflib import get_close_matches  # only a user's mistake needs it

    known = [*FIELDS, *(name for name in _BY_OTHER_NAME if len(name) > 2)]
    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else "`xm tmem-explain` lists them"


def _of_client(position: int) -> Callable[[Row], Any]:
    return lambda row: None if row.client is None else row.client[position]


def _of_pool(position: int) -> Callable[[Row], Any]:
    return lambda row: None if row.pool is None else row.pool[position]


def _domain_id(row: Row) -> int | None:
    record = row.client or row.pool
    return None if record is None else record.cli_id


def _kind_of_pool(row: Row) -> str | None:
    pool = row.pool
    return None if pool is None else _KINDS.get(pool.pool_type or "")


def _uuid(row: Row) -> str | None:
    pool = row.pool
    if pool is None or not pool.shared or pool.uuid_lo is None or pool.uuid_hi is None:
        return None
    return f"{pool.uuid_lo:x}.{pool.uuid_hi:x}"


_KINDS = {"EP": "ephemeral", "PP": "persistent", "ES": "ephemeral-shared", "PS": "persistent-shared"}
_SHORT = {
    "cli_id": "domain",
    "pool_id": "pool",
    "pgp_count": "pages",
    "pgp_count_max": "pages_max",
    "eph_count": "ephemeral",
    "eph_count_max": "ephemeral_max",
    "no_mem_puts": "refused",
}


def _all_fields() -> Iterator[Field]:
    yield Field("cli_id", "domain", "id", "domain id", _domain_id)
    yield Field("name", "", "text", "domain name", lambda row: row.name)
    for position, tag in enumerate(ClientRecord.tags[1:], start=1):
        yield Field(tag.name, _SHORT.get(tag.name, ""), tag.unit, tag.help, _of_client(position))
    held, due = (
        "part of all ephemeral pages that it holds",
        "part of the ephemeral memory that its weight stands for",
    )
    yield Field("share_held", "held", "ratio", held, _share(derive.share_held))
    yield Field("share_by_weight", "due", "ratio", due, _share(derive.share_by_weight))
    yield Field(
        "compression_ratio",
        "packed_to",
        "ratio",
        "compressed size over original size of the pages held in compressed form",
        lambda row: None if row.client is None else derive.compression_ratio(row.client),
    )
    for position, tag in enumerate(PoolRecord.tags[1:], start=1):
        yield Field(tag.name, _SHORT.get(tag.name, ""), tag.unit, tag.help, _of_pool(position))
    yield Field("type", "", "text", "ephemeral or persistent, and -shared where it is", _kind_of_pool)
    yield Field("uuid", "", "text", "a shared pool's uuid: its two words in hexadecimal", _uuid)
    yield Field("persistent", "", "flag", "are pages kept until flushed", _pool_flag("persistent"))
    yield Field("shared", "", "flag", "may several clients use it", _pool_flag("shared"))
    yield Field("hit_rate", "", "ratio", "gets that found their page", _of_counters(derive.hit_rate))
    yield Field("put_success", "put_ok", "ratio", "puts that succeeded", _of_counters(derive.put_success))


def _share(ask: Callable[[ClientRecord, derive.Totals], float | None]) -> Callable[[Row], Any]:
    return lambda row: None if row.client is None else ask(row.client, row.totals)


def _of_counters(ask: Callable[[PoolRecord], float | None]) -> Callable[[Row], Any]:
    return lambda row: None if row.pool is None else ask(row.pool)


def _pool_flag(name: str) -> Callable[[Row], Any]:
    return lambda row: None if row.pool is None else getattr(row.pool, name)


FIELDS = {field.name: field for field in _all_fields()}
_BY_OTHER_NAME = {field.short: field for field in FIELDS.values() if field.short}
_BY_OTHER_NAME |= {tag.key: FIELDS[tag.name] for tag in (*ClientRecord.tags, *PoolRecord.tags)}

POOL_COLUMNS = (
    *("cli_id", "name", "frozen", "pool_id", "type"),
    *("pgp_count", "hit_rate", "put_success"),
)
CLIENT_COLUMNS = (
    *("cli_id", "name", "frozen", "weight", "share_by_weight", "share_held"),
    *("eph_count", "pgp_count", "hit_rate"),
)
"""What is shown where no columns are asked for: together some 80 characters."""

# SPDX-License-Identifier: GPL-2.0-only
"""The container's items: what the chunks of `chunks.py` hold, read and written.

Units     pages of 4096 bytes, in batches of up to 256 for each checksum.
Order     HEAD, { POOL, PAGE* }*, INVL*, LOST*, DONE; the file ends with DONE.
Records   HEAD and DONE are JSON so that a person can read them with `strings`; every field is checked for type and
          range, and a field not known here is an error, as it may change the meaning of the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import BinaryIO

from hypervisor_model.public.sysctl import TMEM_POOL_INFO
from hypervisor_model.public.tmem import (
    MAX_POOLS_PER_DOMAIN,
    TMEM_HANDLE,
    TMEM_POOL_PERSIST,
    TMEM_POOL_SHARED,
    TMEM_POOL_VERSION_SHIFT,
    TMEM_SPEC_VERSION,
    oid_from_bytes,
    oid_to_bytes,
)
from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput
from xm_tmem.ids import FIRST_RESERVED_DOMAIN_ID, PoolId, SharedUuid
from xm_tmem.streams import chunks
from xm_tmem.streams.items import (
    MAX_INVALIDATIONS,
    MAX_POOL_PAGES,
    End,
    Head,
    Item,
    LostPage,
    Origin,
    StreamFormat,
)
from xm_tmem.streams.source import Source
from xm_tmem.units import PAGE_BYTES

_MAX_TEXT = 1024
_U32 = 0xFFFFFFFF


class ContainerWriter:
    """Writes one container; memory: one chunk of pages."""

    def __init__(self, file: BinaryIO, *, compress: bool = False) -> None:
        self._chunks = chunks.ChunkWriter(file, compress=compress)
        self._kind = b""  # of the batch being gathered
        self._handles: list[bytes] = []
        self._pages: list[bytes] = []

    def write(self, item: Item) -> None:
        if isinstance(item, SavedPage):
            if len(item.page) != PAGE_BYTES:
                raise BadInput(f"a page of {len(item.page)} bytes")
            self._pages.append(item.page)
            self._gather(chunks.PAGE, item, chunks.PAGES_PER_CHUNK)
        elif isinstance(item, Invalidation):
            self._gather(chunks.INVL, item, chunks.HANDLES_PER_CHUNK)
        elif isinstance(item, LostPage):
            self._gather(chunks.LOST, item, chunks.HANDLES_PER_CHUNK)
        elif isinstance(item, PoolInfo):
            self._flush()
            flags = TMEM_POOL_PERSIST * item.persistent | TMEM_POOL_SHARED * item.shared
            flags |= TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT
            n_pages = item.n_pages if item.persistent else 0
            packed = TMEM_POOL_INFO.pack(flags, item.pool_id, n_pages, item.uuid.lo, item.uuid.hi)
            self._chunks.write(chunks.POOL, 1, packed)
        elif isinstance(item, Head):
            self._write_record(chunks.HEAD, _head_record(item))
        else:
            self._flush()
            missing = {str(pool_id): pages for pool_id, pages in item.missing.items() if pages}
            record = {"pages": item.pages, "invalidations": item.invalidations, "missing": missing}
            self._write_record(chunks.DONE, record)

    def _gather(self, kind: bytes, item: SavedPage | Invalidation | LostPage, most: int) -> None:
        if kind != self._kind:
            if self._kind and kind != chunks.PAGE:
                self._flush()
            self._kind = kind
        self._handles.append(TMEM_HANDLE.pack(item.pool_id, item.index, oid_to_bytes(item.oid)))
        if len(self._handles) == most:
            self._flush()

    def _flush(self) -> None:
        if self._handles:
            self._chunks.write(self._kind, len(self._handles), b"".join(self._handles + self._pages))
            self._handles.clear()
            self._pages.clear()
        self._kind = b""

    def _write_record(self, kind: bytes, record: dict[str, object]) -> None:
        self._chunks.write(kind, 1, json.dumps(record, sort_keys=True).encode("ascii"))


def read_container(source: Source) -> Iterator[Item]:
    """The items of a container, to its end. Raises BadInput at the first thing wrong, before yielding of it."""
    reader = chunks.ChunkReader(source)
    at = source.offset
    kind, _, payload = reader.read()
    if kind != chunks.HEAD:
        raise source.error("the first chunk is no HEAD", at)
    head = _head(_Record(source, at, payload))
    yield head
    account = _Account(source, live=head.origin is not None and head.origin.live)
    while True:
        at = source.offset
        kind, count, payload = reader.read()
        if kind == chunks.PAGE:
            account.expect(kind, at)
            start = count * TMEM_HANDLE.size
            for number, (pool_id, index, oid) in enumerate(TMEM_HANDLE.iter_unpack(payload[:start])):
                account.count_page(pool_id, at)
                begin = start + number * PAGE_BYTES
                yield SavedPage(
                    PoolId(pool_id), oid_from_bytes(oid), index, payload[begin : begin + PAGE_BYTES]
                )
        elif kind == chunks.POOL:
            account.expect(kind, at)
            yield account.open_pool(payload, at)
        elif kind in (chunks.INVL, chunks.LOST):
            account.expect(kind, at)
            make: Callable[[PoolId, int, int], Item] = Invalidation if kind == chunks.INVL else LostPage
            for pool_id, index, oid in TMEM_HANDLE.iter_unpack(payload):
                account.count_handle(kind, pool_id, at)
                yield make(PoolId(pool_id), oid_from_bytes(oid), index)
        elif kind == chunks.DONE:
            end = account.close(_Record(source, at, payload), head.client.nr_pools, at)
            if not source.at_end():
                raise source.error("bytes follow the end of the container")
            yield end
            return
        else:
            raise source.error("a second HEAD", at)


class _Account:
    """What was read so far, against what was announced."""

    _STAGES = (chunks.POOL, chunks.PAGE, chunks.INVL, chunks.LOST)

    def __init__(self, source: Source, *, live: bool) -> None:
        self._source = source
        self._live = live
        self._stage = 0
        self._pools: dict[int, PoolInfo] = {}
        self._last = -1
        self._found: dict[int, int] = {}
        self._handles = {chunks.INVL: 0, chunks.LOST: 0}

    def expect(self, kind: bytes, at: int) -> None:
        """Pools and pages alternate, then invalidations, then lost pages."""
        stage = self._STAGES.index(kind)
        if stage < self._stage and self._stage > 1:
            raise self._source.error("a chunk out of order", at)
        self._stage = stage

    def open_pool(self, payload: bytes, at: int) -> PoolInfo:
        flags, pool_id, n_pages, lo, hi = TMEM_POOL_INFO.unpack(payload)
        kind = flags & (TMEM_POOL_PERSIST | TMEM_POOL_SHARED)
        persistent = bool(kind & TMEM_POOL_PERSIST)
        if flags - kind != TMEM_SPEC_VERSION << TMEM_POOL_VERSION_SHIFT:
            raise self._source.error(f"pool flags {flags:#x}", at)
        if not self._last < pool_id < MAX_POOLS_PER_DOMAIN or n_pages > (MAX_POOL_PAGES if persistent else 0):
            raise self._source.error(f"pool {pool_id} of {n_pages} pages after pool {self._last}", at)
        self._last = pool_id
        self._found[pool_id] = 0
        pool = PoolInfo(
            PoolId(pool_id), persistent, bool(kind & TMEM_POOL_SHARED), n_pages, SharedUuid(lo, hi)
        )
        self._pools[pool_id] = pool
        return pool

    def count_page(self, pool_id: int, at: int) -> None:
        if pool_id != self._last or self._found[pool_id] == self._pools[pool_id].n_pages:
            raise self._source.error(f"a page of pool {pool_id} out of place", at)
        self._found[pool_id] += 1

    def count_handle(self, kind: bytes, pool_id: int, at: int) -> None:
        pool = self._pools.get(pool_id)
        if pool is None or not pool.persistent:
            raise self._source.error(
                f"a handle of pool {pool_id}, which is no persistent pool of this container", at
            )
        self._handles[kind] += 1
        if self._handles[kind] > (MAX_INVALIDATIONS if kind == chunks.INVL else MAX_POOL_PAGES):
            raise self._source.error(f"more than {MAX_INVALIDATIONS} invalidations", at)

    def close(self, record: _Record, nr_pools: int | None, at: int) -> End:
        """The totals, if they agree with what came."""
        pages = record.integer("pages", MAX_POOLS_PER_DOMAIN * MAX_POOL_PAGES)
        invalidations = record.integer("invalidations", MAX_INVALIDATIONS)
        missing: dict[PoolId, int] = {}
        lost = record.table("missing")
        for text in lost.names():
            if not (text.isascii() and text.isdigit()) or int(text[:5]) not in self._pools:
                raise chunks.bad_record(self._source, at, "pages missing of a pool that is not there")
            missing[PoolId(int(text))] = lost.integer(text, MAX_POOL_PAGES)
        record.finish()
        agree = (
            pages == sum(self._found.values())
            and invalidations == self._handles[chunks.INVL]
            and nr_pools in (None, len(self._pools))
        )
        for pool_id, pool in self._pools.items():
            accounted = self._found[pool_id] + missing.get(PoolId(pool_id), 0)
            agree &= accounted <= pool.n_pages if self._live else accounted == pool.n_pages
        if not agree:
            raise self._source.error("the totals do not agree with what the container holds", at)
        return End(pages, invalidations, missing)


class _Record:
    """A JSON object whose fields are taken one by one; what is left over or of the wrong kind is an error."""

    def __init__(self, source: Source, at: int, payload: bytes | dict[str, object]) -> None:
        self._source, self._at = source, at
        if isinstance(payload, bytes):
            try:
                payload = json.loads(payload.decode("ascii"))
            except (ValueError, RecursionError):
                raise chunks.bad_record(source, at, "no JSON") from None
        if not isinstance(payload, dict):
            raise chunks.bad_record(source, at, "no JSON object")
        self._fields: dict[str, object] = payload

    def _bad(self, name: str) -> BadInput:
        return chunks.bad_record(self._source, self._at, f"field {name[:40]!a}")

    def names(self) -> list[str]:
        return list(self._fields)

    def integer(self, name: str, most: int) -> int:
        value = self._fields.pop(name, None)
        if type(value) is not int or not 0 <= value <= most:
            raise self._bad(name)
        return value

    def boolean(self, name: str) -> bool:
        value = self._fields.pop(name, None)
        if not isinstance(value, bool):
            raise self._bad(name)
        return value

    def text(self, name: str) -> str:
        value = self._fields.pop(name, None)
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            raise self._bad(name)
        return value

    def optional(self, name: str) -> bool:
        """Is there a value? Takes the field away if it is null."""
        if self._fields.get(name, self) is None:
            del self._fields[name]
            return False
        return True

    def table(self, name: str) -> _Record:
        value = self._fields.pop(name, None)
        if not isinstance(value, dict):
            raise self._bad(name)
        return _Record(self._source, self._at, value)

    def finish(self) -> None:
        for name in self._fields:
            raise self._bad(name)


def _head_record(head: Head) -> dict[str, object]:
    client = head.client
    record: dict[str, object] = {
        "client": {
            "weight": client.weight,
            "cap": client.cap,
            "compress": client.compress,
            "frozen": client.frozen,
            "nr_pools": client.nr_pools,
        },
        "origin": None,
    }
    if head.origin is not None:
        origin = head.origin
        record["origin"] = {
            "connection": origin.connection[:_MAX_TEXT],
            "xen_version": origin.xen_version[:_MAX_TEXT],
            "release": origin.release[:_MAX_TEXT],
            "domain_id": origin.domain_id,
            "domain_name": origin.domain_name and origin.domain_name[:_MAX_TEXT],
            "domain_uuid": origin.domain_uuid and origin.domain_uuid[:_MAX_TEXT],
            "live": origin.live,
        }
    return record


def _head(record: _Record) -> Head:
    client = record.table("client")
    settings = ClientInfo(
        weight=client.integer("weight", _U32),
        cap=client.integer("cap", _U32) if client.optional("cap") else None,
        compress=client.boolean("compress"),
        frozen=client.boolean("frozen"),
        nr_pools=client.integer("nr_pools", MAX_POOLS_PER_DOMAIN) if client.optional("nr_pools") else None,
    )
    client.finish()
    origin = None
    if record.optional("origin"):
        where = record.table("origin")
        origin = Origin(
            connection=where.text("connection"),
            xen_version=where.text("xen_version"),
            release=where.text("release"),
            domain_id=where.integer("domain_id", FIRST_RESERVED_DOMAIN_ID - 1),
            domain_name=where.text("domain_name") if where.optional("domain_name") else None,
            domain_uuid=where.text("domain_uuid") if where.optional("domain_uuid") else None,
            live=where.boolean("live"),
        )
        where.finish()
    record.finish()
    return Head(StreamFormat.CONTAINER, settings, origin)

# SPDX-License-Identifier: GPL-2.0-only
"""`xm tmem-stream`: what is in a save stream, and where it breaks."""

from __future__ import annotations

from typing import Any

import click

from xm_tmem.cli.copying import STANDARD, reading, writing
from xm_tmem.cli.grid import serialise
from xm_tmem.cli.results import checked_format
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, word
from xm_tmem.errors import BadInput, CheckFailed
from xm_tmem.render.sections import Block, Column, Fact, Facts, Section
from xm_tmem.streams.inspection import Extraction, Summary, summarise
from xm_tmem.streams.items import StreamFormat
from xm_tmem.streams.reader import convert, open_writer, rewindable

FORMATS = {fmt.value.lower(): fmt for fmt in StreamFormat}
POOL_COLUMNS = (
    ("pool_id", "id", "its id in the client"),
    ("persistent", "flag", "are its pages kept until the guest flushes them"),
    ("shared", "flag", "may several clients use it"),
    ("uuid", "text", "its key, as libxc writes it"),
    ("announced", "pages", "pages it had when the save began"),
    ("pages", "pages", "pages in the stream"),
    ("zero_pages", "pages", "of them all zeros"),
    ("invalidations", "pages", "pages flushed after they were copied"),
    ("missing", "pages", "pages that are not in the stream"),
)


@click.command(
    "tmem-stream",
    cls=Verb,
    connects=False,
    examples=[
        ("xm tmem-stream web.tmem", "read all of it and say what it holds; exit status 7 if it is broken"),
        ("xm tmem-stream -o json old.save", "the same of a stream as Xen 4.1 wrote it, for a program"),
        ("xm tmem-stream --extract pages web.tmem", "each page as a file, named by its handle"),
        ("xm tmem-stream --convert container web.tmem old.save", "give a stream of libxc's checksums"),
    ],
)
@click.option("--extract", metavar="DIR", help="Write each page to a file in DIR.")
@click.option(
    "--convert",
    "convert_to",
    nargs=2,
    type=(word(tuple(FORMATS)), str),
    metavar="A|B|container OUT",
    help="Write it in a format.",
)
@click.option("--compress", is_flag=True, help="With --convert: deflate the container.")
@click.option("--force", is_flag=True, help="With --convert: replace OUT if it is there.")
@click.argument("file", metavar="FILE")
@click.pass_obj
def tmem_stream(
    session: Session,
    extract: str | None,
    convert_to: tuple[str, str] | None,
    compress: bool,
    force: bool,
    file: str,
) -> None:
    """Verify a save stream of any format and say what it holds.

    FILE is a container of tmem-save or a stream of formats A (Xen 4.0 to 4.7) and B (4.8 to 4.12); - is standard
    input. It is described as far as it can be read.
    """
    checked_format(session, "tmem-stream")
    name = "standard input" if file == STANDARD else file
    with reading(file) as stream:
        if convert_to is not None:
            fmt, path = FORMATS[convert_to[0].lower()], convert_to[1]
            if extract is not None:
                raise BadInput("--extract and --convert are two things: run xm twice")
            if compress and fmt is not StreamFormat.CONTAINER:
                raise BadInput(f"format {fmt.value} cannot be compressed: use the container")
            with rewindable(stream) as whole, writing(path, replace=force) as out:
                convert(whole, name, open_writer(out, fmt, compress=compress))
            return
        sink = None if extract is None else Extraction(extract)
        summary = summarise(stream, name, sink=sink)
    _show(session, name, summary)
    if summary.broken is not None:
        raise CheckFailed(summary.broken)


def _show(session: Session, name: str, summary: Summary) -> None:
    facts = _facts(name, summary)
    rows = _pool_rows(summary)
    if session.machine:
        record: dict[str, Any] = {fact.name: fact.value for fact in facts}
        pools = [dict(zip((column[0] for column in POOL_COLUMNS), row, strict=True)) for row in rows]
        lost = [
            {"pool_id": page.pool_id, "oid": f"{page.oid:x}", "index": page.index} for page in summary.lost
        ]
        whole = {"schema": "xm-tmem/stream/1", **record, "pools": pools, "lost": lost}
        session.write(serialise(session.format, whole, pools))
        return
    blocks: list[Block] = [Facts("", tuple(fact for fact in facts if fact.value not in (None, "")))]
    if rows:
        columns = (Column(*POOL_COLUMNS[n], [row[n] for row in rows]) for n in range(len(POOL_COLUMNS)))
        blocks.append(Section("pools", tuple(columns)))
    if summary.lost:
        blocks.append(
            Section(
                "pages the hypervisor would not give",
                (
                    Column("pool_id", "id", "its pool", [page.pool_id for page in summary.lost]),
                    Column("oid", "hex", "its object", [page.oid for page in summary.lost]),
                    Column("index", "number", "its place in it", [page.index for page in summary.lost]),
                ),
            )
        )
    session.write_blocks(blocks)


def _facts(name: str, summary: Summary) -> list[Fact]:
    head = summary.head
    client = head.client if head is not None else None
    origin = head.origin if head is not None else None
    end = summary.end
    return [
        Fact("file", "text", "what was read", name),
        Fact("format", "text", "how it is spelt", head.format.value if head is not None else None),
        Fact("whole", "flag", "could it be read to its end", summary.broken is None),
        Fact("complete", "flag", "does it lack no page", end.complete if end is not None else None),
        Fact("size_bytes", "bytes", "bytes read", summary.size_bytes),
        Fact("connection", "text", "the host it was saved from", origin.connection if origin else None),
        Fact("xen_version", "text", "that host's release", origin.xen_version if origin else None),
        Fact("domain_id", "id", "the domain", origin.domain_id if origin else None),
        Fact("domain_name", "text", "its name", origin.domain_name if origin else None),
        Fact("domain_uuid", "text", "its uuid", origin.domain_uuid if origin else None),
        Fact("live", "flag", "did it run meanwhile", origin.live if origin else None),
        Fact("weight", "number", "the client's weight", client.weight if client else None),
        Fact("cap", "number", "its cap", client.cap if client else None),
        Fact("compress", "flag", "are its pages compressed", client.compress if client else None),
        Fact("frozen", "flag", "was it frozen before", client.frozen if client else None),
        Fact("pages", "pages", "persistent pages in the stream", summary.pages),
        Fact("invalidations", "pages", "pages flushed after they were copied", summary.invalidations),
    ]


def _pool_rows(summary: Summary) -> list[tuple[Any, ...]]:
    missing = summary.end.missing if summary.end is not None else {}
    return [
        (
            item.pool.pool_id,
            item.pool.persistent,
            item.pool.shared,
            item.pool.uuid.to_text(),
            item.pool.n_pages,
            item.pages,
            item.zero_pages,
            item.invalidations,
            missing.get(item.pool.pool_id, 0) if summary.end is not None else None,
        )
        for item in summary.pools
    ]

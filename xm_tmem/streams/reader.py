# SPDX-License-Identifier: GPL-2.0-only
"""A stream of any format, recognised by its first bytes; a stream read in full before it is believed; conversion."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from xm_tmem.backends.interface import PoolInfo, SavedPage
from xm_tmem.streams.chunks import MAGIC, is_container
from xm_tmem.streams.container import ContainerWriter, read_container
from xm_tmem.streams.items import Head, Item, StreamFormat, Writer
from xm_tmem.streams.legacy import LegacyWriter, read_legacy
from xm_tmem.streams.source import Source

Progress = Callable[[int], None]
"""Called now and then with the number of pages done so far."""

_REPORT_EVERY = 256  # pages


def read_stream(source: Source) -> Iterator[Item]:
    """The items of `source`, of whatever format. Raises BadInput, with the byte offset, at the first thing wrong."""
    if is_container(source.peek(len(MAGIC))):
        return read_container(source)
    return read_legacy(source)


def open_writer(file: BinaryIO, fmt: StreamFormat, *, compress: bool = False) -> Writer:
    """A writer of `fmt`; only the container can be compressed."""
    if fmt is StreamFormat.CONTAINER:
        return ContainerWriter(file, compress=compress)
    return LegacyWriter(file, fmt)


@contextmanager
def rewindable(file: BinaryIO) -> Iterator[BinaryIO]:
    """`file`, or a copy of it on disk (in TMPDIR) if it is a pipe: what is read twice has to be."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        yield copy


def verify(file: BinaryIO, name: str, progress: Progress | None = None) -> int:
    """Read the whole stream, return to its start, and say how many pools it has. Raises BadInput."""
    start = file.tell()
    pools = pages = 0
    for item in read_stream(Source(file, name)):
        if isinstance(item, SavedPage):
            pages += 1
            if progress is not None and pages % _REPORT_EVERY == 0:
                progress(pages)
        pools += isinstance(item, PoolInfo)
    file.seek(start)
    return pools


def convert(file: BinaryIO, name: str, writer: Writer, progress: Progress | None = None) -> None:
    """Write what `file` holds with `writer`; `file` is read twice, the first time only to see that it is whole.

    Raises BadInput, before anything is written if the stream is wrong.
    """
    nr_pools = verify(file, name)
    pages = 0
    for item in read_stream(Source(file, name)):
        if isinstance(item, Head):
            item = Head(item.format, item.client._replace(nr_pools=nr_pools), item.origin)
        writer.write(item)
        if isinstance(item, SavedPage):
            pages += 1
            if progress is not None and pages % _REPORT_EVERY == 0:
                progress(pages)

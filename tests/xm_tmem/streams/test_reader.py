# SPDX-License-Identifier: GPL-2.0-only
"""Formats are recognised, converted into each other, read from pipes, described and extracted."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from tests.xm_tmem.streams.samples import head_a, page_record, pool_a, read_all, saved_client, write_all
from tests.xm_tmem.streams.test_legacy import INVALIDATIONS, STREAM_A, STREAM_B
from xm_tmem.backends.interface import Invalidation, PoolInfo, SavedPage
from xm_tmem.errors import BadInput, Failed
from xm_tmem.streams.inspection import Extraction, summarise
from xm_tmem.streams.items import Head, StreamFormat
from xm_tmem.streams.reader import convert, open_writer, rewindable, verify
from xm_tmem.streams.source import Source

FORMATS = list(StreamFormat)


def converted(raw: bytes, fmt: StreamFormat) -> bytes:
    out = io.BytesIO()
    convert(io.BytesIO(raw), "sample", open_writer(out, fmt))
    return out.getvalue()


@pytest.mark.parametrize("start", FORMATS)
@pytest.mark.parametrize("goal", FORMATS)
def test_conversion_keeps_pools_pages_and_invalidations(start: StreamFormat, goal: StreamFormat) -> None:
    raw = write_all(saved_client(3, 0, 300, live=True, invalid=2), start)
    result = converted(raw, goal)
    kept = (PoolInfo, SavedPage, Invalidation)
    before, after = ([item for item in read_all(r) if isinstance(item, kept)] for r in (raw, result))
    assert after == before
    head = read_all(result)[0]
    assert isinstance(head, Head)
    assert (head.format, head.client.weight, head.client.compress) == (goal, 70, True)


def test_a_to_b_and_back_is_the_identity_but_for_what_b_lacks() -> None:
    a = STREAM_A + INVALIDATIONS
    b = converted(a, StreamFormat.B)
    assert b == STREAM_B + INVALIDATIONS
    back = converted(b, StreamFormat.A)
    assert back == a.replace(b"\x07\0\0\0\x09\0\0\0", b"\x07\0\0\0\0\0\0\0")  # the cap


def test_what_is_missing_stays_missing() -> None:
    a = head_a() + pool_a(0, 5) + page_record(1, 1, bytes(4096)) + b"\xff" * 24 + b"\xff" * 4
    container = converted(a, StreamFormat.CONTAINER)
    assert converted(container, StreamFormat.A) == a


def test_a_broken_stream_converts_to_nothing() -> None:
    out = io.BytesIO()
    raw = write_all(saved_client(600), StreamFormat.CONTAINER)
    with pytest.raises(BadInput):
        convert(io.BytesIO(raw[:-1]), "sample", open_writer(out, StreamFormat.A))
    assert out.getvalue() == b""


def test_a_pipe_is_read_as_a_file_is() -> None:
    raw = write_all(saved_client(100), StreamFormat.CONTAINER)
    read_end, write_end = os.pipe()

    def feed() -> None:
        with open(write_end, "wb") as pipe:
            pipe.write(raw)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(read_end, "rb", buffering=0) as pipe:
        source = Source(pipe, "pipe")  # unbuffered: reads come back short
        assert source.take(20, "start") + source.peek(50)[:0] + source.take(len(raw) - 20, "rest") == raw
        assert source.at_end()
    feeder.join()


def test_a_pipe_can_be_read_twice_through_a_copy() -> None:
    raw = write_all(saved_client(3), StreamFormat.CONTAINER)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with rewindable(Pipe(raw)) as file:
        assert verify(file, "pipe") == 1
        assert file.read() == raw


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_summary_counts_what_is_there(fmt: StreamFormat) -> None:
    raw = write_all(saved_client(9, 0, live=True, invalid=2), fmt)
    summary = summarise(io.BytesIO(raw), "sample")
    assert summary.broken is None
    assert (summary.pages, summary.invalidations, summary.size_bytes) == (9, 2, len(raw))
    assert [(pool.pages, pool.objects, pool.zero_pages) for pool in summary.pools] == [(9, 2, 0), (0, 0, 0)]


def test_a_summary_of_a_broken_stream_says_how_far_it_goes() -> None:
    raw = write_all(saved_client(300, 300), StreamFormat.CONTAINER)
    summary = summarise(io.BytesIO(raw[:-3000]), "sample")
    assert summary.pages == 300 + 256
    assert summary.end is None
    assert summary.broken is not None
    assert f"byte {len(raw) - 3000}: " in summary.broken


def test_pages_are_extracted_for_the_owner_only_and_never_over_a_file(tmp_path: Path) -> None:
    raw = write_all(saved_client(3, 1), StreamFormat.A)
    directory = tmp_path / "pages"
    summarise(io.BytesIO(raw), "sample", sink=Extraction(str(directory)))
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.page"))
    assert names == [
        *(f"pool-0/{0:048x}-{index:08x}.page" for index in range(3)),
        f"pool-1/{0:048x}-{0:08x}.page",
    ]
    page = next(item for item in read_all(raw) if isinstance(item, SavedPage))
    first = directory / names[0]
    assert first.read_bytes() == page.page
    assert (first.stat().st_mode & 0o777, directory.stat().st_mode & 0o777) == (0o600, 0o700)
    with pytest.raises(Failed, match="is there already"):
        summarise(io.BytesIO(raw), "sample", sink=Extraction(str(directory)))

# SPDX-License-Identifier: GPL-2.0-only
"""Ten thousand damaged A and B streams: each is read, or refused with an offset, quickly and in constant memory."""

from __future__ import annotations

import random
import re
import tracemalloc

import pytest

from tests.xm_tmem.streams.samples import read_all, saved_client, write_all
from tests.xm_tmem.streams.test_legacy import INVALIDATIONS, STREAM_A, STREAM_B
from xm_tmem.backends.interface import PoolInfo, SavedPage
from xm_tmem.errors import BadInput
from xm_tmem.streams.items import End, Head, StreamFormat

MUTANTS = 5000  # of each format


def mutate(raw: bytes, choose: random.Random) -> bytes:
    """One to three of: bytes changed (frames more often than page contents), cut out, doubled, cut off, added."""
    mutant = bytearray(raw)
    for _ in range(choose.randint(1, 3)):
        at = (
            choose.randrange(min(len(mutant), 120))
            if choose.random() < 0.7
            else choose.randrange(len(mutant))
        )
        kind = choose.randrange(5)
        length = choose.choice((1, 4, 24, 28, 4096))
        if kind == 0:
            mutant[at] = choose.randrange(256)
        elif kind == 1:
            mutant[at : at + 4] = choose.choice((b"\xff" * 4, bytes(4), choose.randbytes(4)))
        elif kind == 2:
            del mutant[at : at + length]
        elif kind == 3:
            mutant[at:at] = mutant[at : at + length]
        else:
            mutant[at:] = choose.choice((b"", choose.randbytes(length)))
        if not mutant:
            return b""
    return bytes(mutant)


@pytest.mark.parametrize("fmt", [StreamFormat.A, StreamFormat.B])
def test_a_mutant_is_read_consistently_or_refused_with_an_offset(fmt: StreamFormat) -> None:
    choose = random.Random(20)
    small = (STREAM_A if fmt is StreamFormat.A else STREAM_B) + INVALIDATIONS
    several = write_all(saved_client(0, 1, 3), fmt)
    read, refusals = 0, []
    tracemalloc.start()
    try:
        for number in range(MUTANTS):
            mutant = mutate(small if number % 2 else several, choose)
            try:
                items = read_all(mutant)
            except BadInput as error:
                refusals.append(str(error))
                continue
            assert isinstance(items[0], Head)
            end = items[-1]
            assert isinstance(end, End)
            pages = [item for item in items if isinstance(item, SavedPage)]
            announced = sum(item.n_pages for item in items if isinstance(item, PoolInfo))
            assert len(pages) == end.pages == announced - sum(end.missing.values())
            assert all(len(page.page) == 4096 for page in pages)
            read += 1
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read > MUTANTS // 50
    assert len(refusals) > MUTANTS // 2
    assert [text for text in refusals if not re.fullmatch(r"sample: byte \d+: .+", text)] == []
    assert peak_bytes < 1 << 20

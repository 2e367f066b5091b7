# SPDX-License-Identifier: GPL-2.0-only
"""Few keys, on the edges: with many a state machine hits nothing twice, and faults slip through."""

from __future__ import annotations

from hypothesis import strategies as st

from hypervisor_model.public.tmem import oid_from_words

oids = st.sampled_from([1, 2, oid_from_words(0, 0, 1 << 63)])
indexes = st.sampled_from([0, 1, 63, 64])

# A page of zeros, one that trims, two that compress, two that don't, and two equal but for the last byte.
_NOISE = bytes((i * i * 31 + i * 7 + (i >> 3)) % 251 for i in range(4096))
PAGES = (
    bytes(4096),
    b"trim" + bytes(4092),
    b"ab" * 2048,
    b"abc" * 1365 + b"a",
    _NOISE,
    _NOISE[::-1],
    _NOISE[:-1] + b"\x01",
)
page_numbers = st.integers(0, len(PAGES) - 1)  # numbers: a failing example has to be readable

# SPDX-License-Identifier: GPL-2.0-only
"""Listings to test with: the recorded ones kept beside the golden files, mutilated ones, and Xen's way with `S=`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from xm_tmem.listing.records import SharedPoolRecord

FOLDER = Path(__file__).parents[2] / "golden" / "listings"


def recorded(name: str) -> bytes:
    """One of the texts that real hypervisors wrote: a release, "4.12-shared", …"""
    return (FOLDER / f"{name}.txt").read_bytes()


NAMES = sorted(file.stem for file in FOLDER.glob("*.txt"))


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A recorded text with pieces cut out, doubled and overwritten."""
    text = bytearray(recorded(draw(st.sampled_from(NAMES))))
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 40))
        match draw(st.sampled_from(("cut", "double", "write"))):
            case "cut":
                del text[start:end]
            case "double":
                text[start:start] = text[start:end]
            case _:
                text[start:start] = draw(
                    st.binary(max_size=4) | st.sampled_from([b"9" * 30, b":", b",", b"-", b"\n"])
                )
    return bytes(text)


class Shared(NamedTuple):
    """A shared pool as a hypervisor has it."""

    slot: int
    lo: int
    hi: int
    sharers: tuple[int, ...]
    counters: tuple[int, ...]  # 17 of them


COUNTER_KEYS = tuple(tag.key for tag in SharedPoolRecord.tags[5:])


@st.composite
def shared_pools(draw: st.DrawFn) -> list[Shared]:
    """Up to sixteen shared pools of different uuids, in the order of their slots."""
    words = st.sampled_from([0, 1, 0xABC, 0x1122334455667788]) | st.integers(0, 2**64 - 1)
    uuids = draw(st.lists(st.tuples(words, words), min_size=1, max_size=16, unique=True))
    slots = sorted(draw(st.sets(st.integers(0, 15), min_size=len(uuids), max_size=len(uuids))))
    some = st.integers(0, 10**6)
    return [
        Shared(
            slot,
            lo,
            hi,
            tuple(draw(st.lists(st.integers(0, 0x7FEF), min_size=1, max_size=4, unique=True))),
            tuple(draw(st.lists(some, min_size=17, max_size=17))),
        )
        for slot, (lo, hi) in zip(slots, uuids, strict=True)
    ]


def counters_text(pool: Shared) -> str:
    return ",".join(f"{key}:{value}" for key, value in zip(COUNTER_KEYS, pool.counters, strict=True))


def shared_lines(pools: list[Shared], *, use_long: bool, defect: bool) -> str:
    """The `S=` lines. With `defect` as Xen writes them: each line begins behind the one before, in one buffer."""
    buffer, end, text = "", 0, ""
    for pool in pools:
        head = f"S=SI:{pool.slot},PT:ES,U0:{pool.lo:x},U1:{pool.hi:x}"
        tail = "".join(f",SC:{each}" for each in pool.sharers)
        tail += f",{counters_text(pool)}\n" if use_long else "\n"
        if not defect:
            end = 0
        buffer = buffer[:end] + head  # written behind the last line …
        buffer = (
            buffer[: len(head)] + tail + buffer[len(head) + len(tail) :]
        )  # … and continued as if at the start
        end = len(head) + len(tail)
        text += buffer[:end]
    return text


def pool_lines(pools: list[Shared], *, use_long: bool) -> str:
    """The `C=` and `P=` lines of the pools' sharers."""
    text = ""
    for client in sorted({client for pool in pools for client in pool.sharers}):
        text += f"C=CI:{client},ww:0,co:0,fr:0,Tc:0,Ge:0,Pp:0,Gp:0\n"
        for number, pool in enumerate(pools):
            if client in pool.sharers:
                line = f"P=CI:{client},PI:{number},PT:ES,U0:{pool.lo:x},U1:{pool.hi:x}"
                text += line + (f",{counters_text(pool)}\n" if use_long else "\n")
    return text

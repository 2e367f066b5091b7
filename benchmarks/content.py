# SPDX-License-Identifier: GPL-2.0-only
"""What looking into pages costs: LZO1X, deduplication, trailing-zero elimination.

Text      the sources of this project, by pages.
Code      the Python interpreter's executable, by pages.
Random    what cannot be compressed.
LZO1X     both variants that Xen has had.
Puts are compared with those of a host without the option, in the same turns; half of the pages put to the host that
deduplicates are there already.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.builds import ROOT, Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.timing import in_turns, median, ratio
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.lib import lzo1x

PAGE_BYTES = 4096
PAGES_PER_OBJECT = 256
TURN = 512  # puts in a turn
LZO_GOAL_US = {"compiled": 100.0}
DEDUP_GOAL_US = 2.5


def pages_of(data: bytes, count: int) -> list[bytes]:
    """`count` whole pages, evenly spread over `data`."""
    whole = len(data) // PAGE_BYTES
    chosen = range(0, whole, max(1, whole // count))[:count]
    return [data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] for page in chosen]


def kinds(count: int) -> dict[str, list[bytes]]:
    """Pages of each kind."""
    sources = b"".join(file.read_bytes() for file in sorted((ROOT / "hypervisor_model").rglob("*.py")))
    draw = random.Random(1)
    return {
        "text": pages_of(sources, count),
        "code": pages_of(Path(os.path.realpath(sys.executable)).read_bytes(), count),
        "random": [draw.randbytes(PAGE_BYTES) for _ in range(count)],
    }


def measure(pages: int, rounds: int) -> dict[str, Any]:
    """Microseconds per page."""
    answer: dict[str, Any] = {"4.12's": {}, "4.3's": {}, "lz4": {}}
    lz4 = _lz4()
    for kind, contents in kinds(pages).items():
        taken = in_turns(
            {
                "4.12's": _over(lzo1x.compress_412, contents),
                "4.3's": _over(lzo1x.compress_43, contents),
                **({"lz4": _over(lz4, contents)} if lz4 else {}),
            },
            rounds,
        )
        for name, ns in taken.items():
            answer[name][kind] = median(ns) / 1e3
    taken = in_turns(
        {
            "plain": _putter("tmem=1", _half_known()),
            "dedup": _putter("tmem=1 tmem_dedup=1", _half_known()),
            "tze": _putter("tmem=1 tmem_dedup=1 tmem_tze=1", _half_empty()),
            "dedup of half": _putter("tmem=1 tmem_dedup=1", _half_empty()),
        },
        rounds * 3,
    )
    answer["put_us"] = median(taken["plain"]) / 1e3
    answer["dedup_us"] = median(taken["dedup"]) / 1e3
    answer["dedup_more_us"] = _more(taken["dedup"], taken["plain"])
    answer["dedup_ratio"] = ratio(taken["dedup"], taken["plain"])
    answer["tze_more_us"] = _more(taken["tze"], taken["dedup of half"])
    return answer


def _more(subject: Sequence[float], reference: Sequence[float]) -> float:
    return median([one - other for one, other in zip(subject, reference, strict=True)]) / 1e3


def _lz4() -> Callable[[bytes], bytes] | None:
    try:
        compress: Callable[[bytes], bytes] = import_module("lz4.block").compress
    except ImportError:
        return None
    return compress


def _over(compress: Callable[[bytes], bytes], contents: Sequence[bytes]) -> Callable[[], int]:
    def act() -> int:
        for page in contents:
            compress(page)
        return len(contents)

    return act


def _half_known() -> Callable[[], bytes]:
    """Random pages, every second one of 1,000 that recur."""
    draw = random.Random(2)
    known = [draw.randbytes(PAGE_BYTES) for _ in range(1000)]
    number = 0

    def page() -> bytes:
        nonlocal number
        number += 1
        return bytes(bytearray(draw.choice(known))) if number % 2 else draw.randbytes(PAGE_BYTES)

    return page


def _half_empty() -> Callable[[], bytes]:
    """Random pages whose second half is zero."""
    draw = random.Random(3)
    return lambda: draw.randbytes(PAGE_BYTES // 2) + bytes(PAGE_BYTES // 2)


def _putter(command_line: str, page: Callable[[], bytes]) -> Callable[[], int]:
    """What puts TURN pages to a host with these options; they are made beforehand, and the oldest go."""
    guest = Hypervisor(frames=1 << 16, command_line=command_line, exact=False).create_domain(1)
    pool = guest.new_pool()
    prepared = [page() for _ in range(16 * TURN)]
    turn = 0

    def act() -> int:
        nonlocal turn
        first = turn % 16 * TURN
        for number, contents in enumerate(prepared[first : first + TURN]):
            guest.put(pool, number, turn, contents)
        turn += 1
        return TURN

    for _ in range(4):
        act()
    return act


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """All figures of every build."""
    lines: list[Figure] = []
    for build in builds:
        if build.why_not:
            lines.append(not_measured(f"content, {build.name}", build.why_not))
            continue
        answer = build.measure("content", pages=10 if quick else 40, rounds=3 if quick else 7)
        limit = LZO_GOAL_US.get(build.name)
        for variant in ("4.12's", "4.3's"):
            for kind, us in answer[variant].items():
                lz4_us = answer["lz4"].get(kind)
                lines.append(
                    Figure(
                        f"LZO1X, {variant}, of a page of {kind}, {build.name}",
                        us,
                        "us",
                        us / lz4_us if lz4_us else None,
                        "lz4, in C" if lz4_us else "",
                        None if limit is None else Goal(limit, "us"),
                        build.note,
                    )
                )
        lines += [
            Figure(
                f"dedup over a plain put, {build.name}",
                answer["dedup_more_us"],
                "us",
                answer["dedup_ratio"],
                f"a put, {answer['put_us']:.1f} us",
                Goal(DEDUP_GOAL_US, "us"),
            ),
            Figure(f"tze over a put with dedup, {build.name}", answer["tze_more_us"], "us"),
        ]
    return lines

# SPDX-License-Identifier: GPL-2.0-only
"""What a build of Linux reads and needs, counted in a tree that was built: what R5's working set was taken from.

    python -m benchmarks.kernel_tree /path/to/linux

Prints how many headers a source includes and how large they are, how many sources include those of each rank of
popularity, how many sources ago a header was read last, and how many pages the zcache of 2013 would refuse.
What the compiler needs while it runs is watched by `benchmarks.compiler_memory`.
Units     pages of 4 KiB; shares in percent of the sources.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hypervisor_model.lib.lzo1x import compress_412

PAGE: Final = 4096
RANKS: Final = (100, 200, 300, 400, 500, 600, 800, 1_000)
DISTANCES: Final = (1, 8, 36, 100, 300)
# Of a compressed page in a frame of zbud: less its header, the least rest that it tracks, and zcache's own header.
LARGEST: Final = PAGE - 64 - 64 - 24
HALF: Final = (PAGE - 64) // 2 - 24
SAMPLE: Final = 4_000


class Source(NamedTuple):
    """One compiled source: the command, and the headers it read."""

    command: str
    headers: frozenset[str]


def read_tree(tree: Path) -> list[Source]:
    """The sources of a built tree in the order of their paths, from what kbuild left beside each object."""
    sources: list[Source] = []
    for path in sorted(tree.rglob(".*.o.cmd")):
        text = path.read_text(errors="replace")
        command = re.search(r"^cmd_\S+ := (.*)$", text, re.MULTILINE)
        name = re.search(r"^source_\S+ := (\S+\.c)$", text, re.MULTILINE)
        needed = re.search(r"^deps_\S+ := \\\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
        if command is None or name is None or needed is None or name[1].startswith("scripts/"):
            continue
        words = (word for word in needed[1].split() if word.endswith(".h"))
        sources.append(Source(command[1], frozenset(os.path.normpath(word) for word in words)))
    return sources


def pages_of(tree: Path, header: str) -> int:
    """At least one page, as reading an empty file would still be a read."""
    try:
        return max(1, -(-(tree / header).stat().st_size // PAGE))
    except OSError:
        return 1


def print_headers(tree: Path, sources: Sequence[Source]) -> None:
    included = Counter(header for source in sources for header in source.headers)
    each = statistics.mean(len(source.headers) for source in sources)
    pages = statistics.mean(pages_of(tree, header) for header in included)
    print(
        f"{len(sources)} sources include {each:.0f} headers each, {len(included)} different ones of {pages:.2f} pages"
    )
    shares = [count / len(sources) for _, count in included.most_common()]
    print(f"{'rank':>6} {'included by':>12}")
    for rank in RANKS:
        if rank <= len(shares):
            print(f"{rank:6} {100 * shares[rank - 1]:10.1f} %")
    print_distances(sources)


def print_distances(sources: Sequence[Source]) -> None:
    last: dict[str, int] = {}
    found: Counter[str] = Counter()
    for number, source in enumerate(sources):
        for header in source.headers:
            distance = number - last[header] if header in last else 0
            found[_bucket(distance)] += 1
            last[header] = number
    print("headers of a source by how many sources ago they were read last:")
    for name in ("never", *(f"<= {limit}" for limit in DISTANCES), "longer"):
        print(f"{name:>8} {found[name] / len(sources):8.2f}")


def _bucket(distance: int) -> str:
    if distance == 0:
        return "never"
    return next((f"<= {limit}" for limit in DISTANCES if distance <= limit), "longer")


def print_compressed(name: str, files: Iterable[Path]) -> None:
    pages = []
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        pages += [content[start : start + PAGE].ljust(PAGE, b"\0") for start in range(0, len(content), PAGE)]
    if not pages:
        print(f"pages of {name}: none found")
        return
    print_lzo(f"pages of {name}", pages)


def print_lzo(name: str, pages: Sequence[bytes]) -> None:
    """How far these compress, and what zcache makes of them."""
    chosen = random.Random("pages").sample(pages, min(SAMPLE, len(pages)))
    sizes = [len(compress_412(page)) for page in chosen]
    refused, halved = (sum(size > limit for size in sizes) / len(sizes) for limit in (LARGEST, HALF))
    zeros = sum(not any(page) for page in chosen) / len(chosen)
    print(
        f"{name} under LZO: {statistics.mean(sizes):.0f} bytes, {100 * refused:.1f} % refused, "
        f"{100 * (1 - halved):.0f} % in half a frame; {100 * zeros:.0f} % are zero"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernel_tree", description="Count what a built kernel tree needed."
    )
    parser.add_argument("tree", type=Path, help="a tree of Linux in which `make` has run")
    options = parser.parse_args()
    sources = read_tree(options.tree)
    if not sources:
        parser.error(f"no object of a C source was built in {options.tree}")
    print_headers(options.tree, sources)
    included = sorted({header for source in sources for header in source.headers})
    print_compressed("headers", (options.tree / header for header in included))
    if shutil.which("gcc") is None:
        parser.error("gcc is not installed")
    found = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True)
    print_compressed("the compiler", [Path(found.stdout.strip())])
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-only
"""How a compiler uses its memory, watched while it compiles sources of a built kernel tree again.

    python -m benchmarks.compiler_memory /path/to/linux [--sources 200]

Stops cc1 every STEP_MS of its CPU time, and reads how many of its pages it has and how many it has used since they were
last marked unused (/proc/PID/clear_refs).  Prints how its heap grows, how much of it is used again, which heap_reuse
and young_share of a modelled compilation (hypervisor_model/guests/workloads/compile.py) come nearest to that, and how
far its anonymous pages compress.  Needs Linux and the rights to read another process of the same user.
Units     pages of 4 KiB; CPU time in parts of a compilation, of which the model has 24 steps.
"""

import argparse
import json
import math
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kernel_tree import PAGE, Source, print_lzo, read_tree

STEP_MS: Final = 8
POLL_S: Final = 0.001
STEPS: Final = 24
WINDOWS: Final = (1, 2, 4, 6)  # steps
PARTS: Final = 3
LONG: Final = 8  # stops between two marks, for every other source: what is used within a longer time
SAMPLED: Final = 100  # anonymous pages of one compiler
FEWEST: Final = 10  # stops; shorter compilations tell nothing


class Stop(NamedTuple):
    """What cc1 had when it was stopped, in pages."""

    cpu_ns: int
    anon: int
    anon_used: int
    file: int
    file_used: int
    is_marked: bool
    """All were marked unused now."""


def stop(pid: int, cpu_ns: int, mark: bool) -> Stop:
    """Read a stopped process; then mark its pages unused, if so wanted."""
    kb: dict[tuple[bool, str], int] = defaultdict(int)
    is_file = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        mapping = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ (\d+)", line)
        if mapping is not None:
            is_file = mapping[1] != "0"
            continue
        name, value, *_ = line.split()
        if name in ("Rss:", "Referenced:"):
            kb[is_file, name] += int(value)
    if mark:
        Path(f"/proc/{pid}/clear_refs").write_text("1")
    anon, anon_used, file, file_used = (
        kb[kind, name] * 1024 // PAGE for kind in (False, True) for name in ("Rss:", "Referenced:")
    )
    return Stop(cpu_ns, anon, anon_used, file, file_used, mark)


def anonymous_pages(pid: int, count: int) -> list[bytes]:
    """Some of the pages that a stopped process has written to and no file has."""
    addresses: list[int] = []
    with open(f"/proc/{pid}/pagemap", "rb") as present, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            mapping = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ 0\b", line)
            if mapping is None:
                continue
            for address in range(int(mapping[1], 16), int(mapping[2], 16), PAGE):
                present.seek(address // PAGE * 8)
                if int.from_bytes(present.read(8), "little") >> 63:
                    addresses.append(address)
        pages = []
        for address in random.Random(len(addresses)).sample(addresses, min(count, len(addresses))):
            memory.seek(address)
            pages.append(memory.read(PAGE))
    return pages


def watch(folder: Path, number: int, command: Sequence[str]) -> int:
    """Run one part of the compiler; note what cc1 had at each stop."""
    process = subprocess.Popen(command)
    if Path(command[0]).name != "cc1":
        return process.wait()
    pid, stops, pages = process.pid, list[Stop](), list[bytes]()
    sample_at = random.Random(number).randrange(FEWEST, 3 * FEWEST)
    due_ns = STEP_MS * 1_000_000
    every = LONG if number & 1 else 1
    try:
        while process.poll() is None:
            cpu_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
            if cpu_ns >= due_ns:
                os.kill(pid, signal.SIGSTOP)
                stops.append(stop(pid, cpu_ns, len(stops) % every == 0))
                if len(stops) == sample_at:
                    pages = anonymous_pages(pid, SAMPLED)
                os.kill(pid, signal.SIGCONT)
                due_ns = cpu_ns + STEP_MS * 1_000_000
            time.sleep(POLL_S)
    except (OSError, ValueError):  # it has ended
        pass
    result = process.wait()
    (folder / f"{number}.json").write_text(json.dumps([each for each in stops if each.anon]))
    (folder / f"{number}.pages").write_bytes(b"".join(pages))
    return result


def compile_again(tree: Path, sources: Sequence[Source], folder: Path) -> None:
    """With the command that the build used; nothing but gcc is run, whatever the tree says."""
    for number, source in enumerate(sources):
        words = shlex.split(source.command.split(";")[0])
        if not re.fullmatch(r"(.+-)?g?cc(-\d+)?", Path(words[0]).name) or "-o" not in words:
            continue
        kept = [word for word in words if not word.startswith("-Wp,-MD")]
        kept[kept.index("-o") + 1] = os.devnull
        wrapper = f"{sys.executable},-m,benchmarks.compiler_memory,--watch,{folder},{number}"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        subprocess.run(
            [*kept, "-wrapper", wrapper], cwd=tree, env=environment, stderr=subprocess.DEVNULL, check=False
        )


class Window(NamedTuple):
    """Between two stops: so many steps, from which part of the compilation on, and what of the heap was used."""

    steps: int
    part: int
    size: int  # of the heap at its beginning
    used: int  # pages of these


def windows_of(stops: Sequence[Stop]) -> Iterator[Window]:
    life_ns = stops[-1].cpu_ns
    begin: Stop | None = None
    for each in stops:
        if begin is not None:
            used = each.anon_used - (each.anon - begin.anon)  # what is new is used
            steps = round(STEPS * (each.cpu_ns - begin.cpu_ns) / life_ns)
            yield Window(steps, PARTS * begin.cpu_ns // life_ns, begin.anon, max(0, used))
        if each.is_marked:
            begin = each


def share_used(windows: Sequence[Window]) -> float:
    """Of the heap, with every part of a compilation counting alike: few long windows begin late in one."""
    parts = [[each for each in windows if each.part == part] for part in range(PARTS)]
    used = sum(statistics.mean(each.used for each in part) for part in parts if part)
    return used / sum(statistics.mean(each.size for each in part) for part in parts if part)


def distinct_share(reuse: float, young: float, steps: int) -> float:
    """Which share of a modelled heap is used within so many steps."""
    old_rate, quarter = reuse * (1 - young), 0.25
    young_rate = reuse * young / quarter + old_rate
    return quarter * (1 - math.exp(-young_rate * steps)) + (1 - quarter) * (1 - math.exp(-old_rate * steps))


def nearest(shares: Mapping[int, float]) -> tuple[float, float]:
    """The heap_reuse and the young_share whose shares come nearest to these."""
    candidates = ((reuse / 100, young / 100) for reuse in range(2, 121, 2) for young in range(50, 101))
    return min(
        candidates,
        key=lambda each: sum(
            (distinct_share(each[0], each[1], steps) - share) ** 2 for steps, share in shares.items()
        ),
    )


def print_report(compilations: Sequence[Sequence[Stop]]) -> None:
    ends = [stops[-1] for stops in compilations]
    for name, sizes in (("anonymous", [end.anon for end in ends]), ("file", [end.file for end in ends])):
        mean = statistics.mean(sizes)
        print(
            f"{name} pages of the compiler in the end: {mean:.0f} +- {100 * statistics.pstdev(sizes) / mean:.0f} %"
        )
    growth: dict[int, list[float]] = defaultdict(list)
    windows: dict[int, list[Window]] = defaultdict(list)
    for stops in compilations:
        for each in stops:
            growth[10 * each.cpu_ns // (stops[-1].cpu_ns + 1)].append(each.anon / stops[-1].anon)
        for window in windows_of(stops):
            windows[window.steps].append(window)
    print(
        "its heap, in percent of its end, in each tenth of the time:",
        *(f"{100 * statistics.mean(growth[tenth]):.0f}" for tenth in sorted(growth)),
    )
    shares = {steps: share_used(windows[steps]) for steps in WINDOWS if windows[steps]}
    used = ", ".join(f"{100 * share:.0f} % in {steps}" for steps, share in shares.items())
    reuse, young = nearest(shares)
    print(f"of what it had, used again within so many steps: {used}")
    print(f"nearest: heap_reuse {reuse:.2f}, young_share {young:.2f}")


def main() -> int:
    if sys.argv[1:2] == ["--watch"]:
        return watch(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compiler_memory", description="Watch a compiler's memory."
    )
    parser.add_argument("tree", type=Path, help="a tree of Linux in which `make` has run")
    parser.add_argument("--sources", type=int, default=200, metavar="N", help="how many to compile again")
    options = parser.parse_args()
    sources = read_tree(options.tree)
    if not sources or shutil.which("gcc") is None:
        parser.error(f"no object of a C source was built in {options.tree}, or there is no gcc")
    chosen = random.Random("heaps").sample(sources, min(options.sources, len(sources)))
    with tempfile.TemporaryDirectory() as name:
        compile_again(options.tree, chosen, Path(name))
        notes = [json.loads(path.read_text()) for path in sorted(Path(name).glob("*.json"))]
        pages = b"".join(path.read_bytes() for path in sorted(Path(name).glob("*.pages")))
    compilations = [[Stop(*each) for each in stops] for stops in notes if len(stops) >= FEWEST]
    if not compilations:
        parser.error("no source could be compiled again with gcc, or each took too little time")
    print_report(compilations)
    print_lzo(
        "anonymous pages of the compiler",
        [pages[start : start + PAGE] for start in range(0, len(pages), PAGE)],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

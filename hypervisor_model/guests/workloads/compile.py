# SPDX-License-Identifier: GPL-2.0-only
"""make -jN of something like the Linux kernel: N jobs, each one compilation after the other.

A compilation reads its source once, headers by popularity, the compiler's own pages again and again, and grows a heap
of which it uses the young part most; it leaves an object file behind.  At the end one job links.
Units     pages, nanoseconds of modelled CPU time.  `shrunk(n)` makes everything n times smaller, the page n times as
          dear: for long runs, in which one page then stands for n.
Left out  make itself, the shell, pipes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from hypervisor_model.guests.handle import EXECUTABLE, anon_key, file_key
from hypervisor_model.guests.work import Action, Await, Commit, Open, Release, Remove, Touch

TOOLS_INODE = 2
HEADER_INODE = 1_000
SOURCE_INODE = 100_000
OBJECT_INODE = 1_000_000


@dataclass(frozen=True, slots=True)
class CompileShape:
    """One build. The defaults are a kernel of about 2010 built with gcc 4."""

    sources: int = 2_000
    source_pages: int = 6
    headers: int = 1_500
    header_pages: int = 4
    headers_each: int = 180
    header_core: int = 0
    """Above 0, a source includes about so many headers, most of them the same as its neighbours do: the one of rank r
    with the probability 1 / (1 + (r / header_core) ** 6), as counted in Linux 3.6 (`python -m benchmarks.kernel_tree`).
    Else it includes `headers_each`, drawn by 1 / (r + 4)."""
    tool_pages: int = 4_000  # cc1, as, ld and their libraries
    tool_touches: int = 3_000  # in one compilation
    tool_core: int = 0
    """Above 0, the tools' pages are used by chance, the one of rank r by 1 / (r + tool_core), and those of near ranks
    do not lie together. Else they are used in runs."""
    are_tools_mapped: bool = True  # else they are files as any other
    heap_pages: int = 8_000  # of one compilation, at its end, on average
    heap_spread: float = (
        0.6  # sources differ: the heap is heap_pages * (1 - spread) to heap_pages * (1 + spread)
    )
    heap_steps: int = 24
    heap_reuse: float = (
        0.5  # pages of the heap touched again in a step, in parts of what it has grown by then
    )
    young_share: float = 0.8  # of those that are of the youngest quarter
    object_pages: int = 12
    cpu_ms: int = 1_500  # of one compilation
    link_share: float = 1.0  # of the objects that linking reads

    def shrunk(self, scale: int) -> "CompileShape":
        """The same build with every number of pages and of touches divided by `scale`.

        A page then stands for pages that lie apart: there is nothing to read around it.
        """
        return replace(
            self,
            are_tools_mapped=False,
            source_pages=max(1, self.source_pages // scale),
            headers=max(8, self.headers // scale),
            headers_each=max(1, self.headers_each // scale),
            header_core=self.header_core // scale,
            tool_pages=self.tool_pages // scale,
            tool_touches=self.tool_touches // scale,
            tool_core=self.tool_core // scale,
            heap_pages=self.heap_pages // scale,
            object_pages=max(1, self.object_pages // scale),
        )

    def coarser(self, grain: int) -> "CompileShape":
        """The same build on a machine whose pages are `grain` times larger: as many files, each of fewer pages."""
        return replace(
            self,
            source_pages=max(1, self.source_pages // grain),
            header_pages=max(1, self.header_pages // grain),
            tool_pages=self.tool_pages // grain,
            tool_touches=self.tool_touches // grain,
            tool_core=self.tool_core // grain,
            heap_pages=self.heap_pages // grain,
            object_pages=max(1, self.object_pages // grain),
        )


class Build:
    """What the jobs of one make share: the tree, and which source is next.

    With `image_seed`, a source includes the same headers and needs the same heap in every build of that tree.
    """

    def __init__(
        self,
        seed: str,
        shape: CompileShape,
        *,
        builds: int | None = 1,
        mount: int = 0,
        image_seed: str | None = None,
    ) -> None:
        self.shape = shape
        self.mount = mount
        self.rng = random.Random(seed)
        self.image_seed = image_seed
        self.next_source = 0
        self.builds_left = builds
        self.builds_done = 0
        self._headers = range(shape.headers)
        self._header_weights = list(accumulate(1 / (rank + 4) for rank in self._headers))
        self._header_chances = [
            _chance(rank / shape.header_core) for rank in self._headers if shape.header_core
        ]
        self._tools: list[int] = []
        self._tool_weights: list[float] = []
        if shape.tool_core:
            self._tools = random.Random("tools").sample(range(shape.tool_pages), shape.tool_pages)
            self._tool_weights = list(
                accumulate(1 / (rank + shape.tool_core) for rank in range(shape.tool_pages))
            )

    def jobs(self, count: int, region: int = 1, *, apart_ns: int = 0) -> list["Job"]:
        """So many jobs, each beginning `apart_ns` after the one before; their heaps are `region` and those after it."""
        return [Job(self, region + number, number * apart_ns) for number in range(count)]

    def header_keys(self) -> list[int]:
        """Every page of every header, of the least popular first."""
        pages = range(self.shape.header_pages)
        return [
            file_key(self.mount, HEADER_INODE + header) + page
            for header in reversed(self._headers)
            for page in pages
        ]

    def take_source(self) -> int:
        """The number of the next source to compile; -1: this build is compiled and has to be linked."""
        number = self.next_source
        if number == self.shape.sources:
            self.next_source = 0
            return -1
        self.next_source += 1
        return number

    def of_source(self, number: int) -> random.Random:
        """What decides over what is in a source."""
        return self.rng if self.image_seed is None else random.Random(f"{self.image_seed} source {number}")

    def headers_of(self, source: random.Random) -> list[int]:
        """The headers that a source includes, in the order of reading; the most popular have the lowest numbers."""
        if not self._header_chances:
            return source.choices(self._headers, cum_weights=self._header_weights, k=self.shape.headers_each)
        draw = source.random
        included = [header for header, chance in enumerate(self._header_chances) if draw() < chance]
        source.shuffle(included)
        return included

    def tool_keys(self, first: int, count: int) -> Sequence[int]:
        """So many uses of the tools' pages, whose first is `first`."""
        if self._tools:
            return [
                first + page
                for page in self.rng.choices(self._tools, cum_weights=self._tool_weights, k=count)
            ]
        # The compiler's code is used in runs: which pass works decides which pages.
        start = first + self.rng.randrange(max(1, self.shape.tool_pages - count))
        return range(start, start + count)


def _chance(rank: float) -> float:
    cube = rank * rank * rank
    return 1 / (1 + cube * cube)


class Job:
    """One of make's jobs: a thread of the guest."""

    def __init__(self, build: Build, region: int, begin_ns: int = 0) -> None:
        self._build = build
        self._heap = anon_key(region)
        self._begin_ns = begin_ns

    def unit(self) -> list[Action]:
        if self._begin_ns:
            begin_ns, self._begin_ns = self._begin_ns, 0
            return [Await(begin_ns)]
        build = self._build
        if build.builds_left == 0:
            return []
        number = build.take_source()
        if number >= 0:
            return self._compile(number)
        build.builds_done += 1
        if build.builds_left is not None:
            build.builds_left -= 1
        return self._link()

    def _compile(self, number: int) -> list[Action]:
        build, shape = self._build, self._build.shape
        source = build.of_source(number)
        heap, steps = self._heap, shape.heap_steps
        tools = file_key(build.mount, TOOLS_INODE) | (EXECUTABLE if shape.are_tools_mapped else 0)
        heap_pages = round(shape.heap_pages * (1 + shape.heap_spread * (2 * source.random() - 1)))
        cpu_ns = max(1, shape.cpu_ms * 1_000_000 // max(1, self._touches()))
        actions: list[Action] = [
            Commit(heap_pages),
            *self._read(SOURCE_INODE + number, shape.source_pages, cpu_ns),
        ]
        wanted = build.headers_of(source)
        for step in range(steps):
            for header in wanted[step::steps]:
                actions += self._read(HEADER_INODE + header, shape.header_pages, cpu_ns)
            used = build.tool_keys(tools, max(1, shape.tool_touches // steps))
            actions.append(Touch(used, cpu_ns, end=tools + shape.tool_pages))
            before, size = heap_pages * step // steps, heap_pages * (step + 1) // steps
            actions.append(Touch(range(heap + before, heap + size), cpu_ns, write=True))
            actions.append(Touch(self._reused(size), cpu_ns, write=True))
        output = file_key(build.mount, OBJECT_INODE + number)
        actions += [
            Remove(output, shape.object_pages),
            Open(output, shape.object_pages),
            Touch(range(output, output + shape.object_pages), cpu_ns, write=True),
            Release(heap, heap_pages),
        ]
        return actions

    def _touches(self) -> int:
        """About how many pages an average compilation touches."""
        shape = self._build.shape
        heap = shape.heap_pages * (1 + shape.heap_reuse * shape.heap_steps / 2)
        files = (
            shape.source_pages
            + shape.headers_each * shape.header_pages
            + shape.tool_touches
            + shape.object_pages
        )
        return round(heap + files)

    def _reused(self, size: int) -> Sequence[int]:
        """Pages of a heap of `size` that are used again, the young ones more."""
        shape, rng = self._build.shape, self._build.rng
        count = round(size * shape.heap_reuse)
        young = round(count * shape.young_share)
        quarter = max(1, size // 4)
        heap = self._heap
        keys = [heap + size - 1 - int(rng.random() * quarter) for _ in range(young)]
        keys += [heap + int(rng.random() * size) for _ in range(count - young)]
        return keys

    def _read(self, inode: int, pages: int, cpu_ns: int) -> list[Action]:
        first = file_key(self._build.mount, inode)
        return [Open(first, pages), Touch(range(first, first + pages), cpu_ns, end=first + pages)]

    def _link(self) -> list[Action]:
        """ld reads the objects once."""
        shape = self._build.shape
        actions: list[Action] = [Commit(shape.heap_pages)]
        actions.append(Touch(range(self._heap, self._heap + shape.heap_pages), 10_000, write=True))
        for number in range(round(shape.sources * shape.link_share)):
            actions += self._read(OBJECT_INODE + number, shape.object_pages, 10_000)
        actions.append(Release(self._heap, shape.heap_pages))
        return actions

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
from hypervisor_model.guests.work import Action, Commit, Open, Release, Remove, Touch

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
    header_pages: float = 4  # on average: each has as many, or one more
    headers_each: int = 180
    tool_pages: int = 4_000  # cc1, as, ld and their libraries
    tool_touches: int = 3_000  # in one compilation
    are_tools_mapped: bool = True  # else they are files as any other
    heap_pages: int = 8_000  # of one compilation, at its end, on average
    heap_spread: float = (
        0.6  # sources differ: the heap is heap_pages * (1 - spread) to heap_pages * (1 + spread)
    )
    heap_steps: int = 24
    heap_growth: int = 1  # 1: evenly; 2: fast at first, as while headers are parsed: 1 - (1 - t) ** 2
    heap_reuse: float = (
        0.5  # pages of the heap touched again in a step, in parts of what it has grown by then
    )
    young_share: float = 0.8  # of those that are of the youngest quarter
    object_pages: int = 12
    cpu_ms: int = 1_500  # of one compilation
    link_share: float = 1.0  # of the objects that linking reads

    def coarser(self, grain: int) -> "CompileShape":
        """The same build on a machine whose pages are `grain` times larger: as many files, each of fewer pages."""
        return replace(
            self,
            source_pages=max(1, self.source_pages // grain),
            header_pages=max(1, self.header_pages / grain),
            tool_pages=self.tool_pages // grain,
            tool_touches=self.tool_touches // grain,
            heap_pages=self.heap_pages // grain,
            object_pages=max(1, self.object_pages // grain),
        )

    def shrunk(self, scale: int) -> "CompileShape":
        """The same build with every number of pages and of touches divided by `scale`: fewer headers, not smaller ones.

        A page then stands for pages that lie apart: there is nothing to read around it.
        """
        return replace(
            self.coarser(scale),
            are_tools_mapped=False,
            headers=max(8, self.headers // scale),
            header_pages=self.header_pages,
            headers_each=max(1, self.headers_each // scale),
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
        self.header_weights = list(accumulate(1 / (rank + 4) for rank in range(shape.headers)))
        self.headers = range(shape.headers)
        self._least_pages = int(shape.header_pages)
        # Of every 65,536 headers so many have a page more than the least.
        self._longer = round((shape.header_pages - self._least_pages) * 65_536)

    def jobs(self, count: int, region: int = 1) -> list["Job"]:
        """So many jobs; their heaps are `region` and those after it."""
        return [Job(self, region + number) for number in range(count)]

    def take_source(self) -> int:
        """The number of the next source to compile; -1: this build is compiled and has to be linked."""
        number = self.next_source
        if number == self.shape.sources:
            self.next_source = 0
            return -1
        self.next_source += 1
        return number

    def pages_of_header(self, header: int) -> int:
        """The average of the shape, or what makes it up: headers of near numbers differ."""
        return self._least_pages + (header * 40_503 & 65_535 < self._longer)

    def of_source(self, number: int) -> random.Random:
        """What decides over what is in a source."""
        return self.rng if self.image_seed is None else random.Random(f"{self.image_seed} source {number}")


class Job:
    """One of make's jobs: a thread of the guest."""

    def __init__(self, build: Build, region: int) -> None:
        self._build = build
        self._heap = anon_key(region)

    def unit(self) -> list[Action]:
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
        build, shape, rng = self._build, self._build.shape, self._build.rng
        source = build.of_source(number)
        heap, steps = self._heap, shape.heap_steps
        tools = file_key(build.mount, TOOLS_INODE) | (EXECUTABLE if shape.are_tools_mapped else 0)
        heap_pages = round(shape.heap_pages * (1 + shape.heap_spread * (2 * source.random() - 1)))
        cpu_ns = max(1, shape.cpu_ms * 1_000_000 // max(1, self._touches()))
        actions: list[Action] = [
            Commit(heap_pages),
            *self._read(SOURCE_INODE + number, shape.source_pages, cpu_ns),
        ]
        wanted = source.choices(build.headers, cum_weights=build.header_weights, k=shape.headers_each)
        for step in range(steps):
            for header in wanted[step::steps]:
                actions += self._read(HEADER_INODE + header, build.pages_of_header(header), cpu_ns)
            # The compiler's code is used in runs: which pass works decides which pages.
            run = max(1, shape.tool_touches // steps)
            start = tools + rng.randrange(max(1, shape.tool_pages - run))
            actions.append(Touch(range(start, start + run), cpu_ns, end=tools + shape.tool_pages))
            before, size = self._grown(heap_pages, step), self._grown(heap_pages, step + 1)
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

    def _grown(self, heap_pages: int, step: int) -> int:
        """What a heap of so many pages in the end has after so many steps."""
        steps, growth = self._build.shape.heap_steps, self._build.shape.heap_growth
        whole: int = steps**growth
        lacking: int = (steps - step) ** growth
        return heap_pages * (whole - lacking) // whole

    def _touches(self) -> int:
        """About how many pages an average compilation touches."""
        shape = self._build.shape
        share = shape.heap_growth / (shape.heap_growth + 1)  # of the heap, that there is on average
        heap = shape.heap_pages * (1 + shape.heap_reuse * shape.heap_steps * share)
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

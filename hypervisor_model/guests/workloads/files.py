# SPDX-License-Identifier: GPL-2.0-only
"""Trees of many small files, and what is done to whole trees: read (grep, tar), copied, removed.

Units     pages.
Left out  directories and inodes as blocks on the disk.
"""

import random

from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.work import Action, Open, Remove, Touch

FILES_A_UNIT = 16


class FileTree:
    """Files `first_inode`.. of a file system. Sizes are those of source code: most are small, a few large."""

    def __init__(
        self, seed: str, *, files: int, mean_pages: float, mount: int = 0, first_inode: int = 16
    ) -> None:
        rng = random.Random(seed)
        draws = [rng.lognormvariate(0.0, 1.0) for _ in range(files)]
        scale = mean_pages * files / sum(draws)
        self.mount = mount
        self.files = [
            (file_key(mount, first_inode + number), max(1, round(draw * scale)))
            for number, draw in enumerate(draws)
        ]

    @property
    def pages(self) -> int:
        return sum(pages for _, pages in self.files)

    def read(self, number: int, cpu_ns: int = 2_000) -> list[Action]:
        """Open a file and read it from end to end."""
        first, pages = self.files[number]
        return [Open(first, pages), Touch(range(first, first + pages), cpu_ns, end=first + pages)]


class TreeScan:
    """Read every file of a tree in order, `passes` times, or only a share of them."""

    def __init__(self, tree: FileTree, *, passes: int = 1, share: float = 1.0, cpu_ns: int = 2_000) -> None:
        self._tree, self._left, self._cpu_ns = tree, passes, cpu_ns
        self._count = round(len(tree.files) * share)
        self._next = 0

    def unit(self) -> list[Action]:
        if self._left == 0:
            return []
        actions: list[Action] = []
        end = min(self._next + FILES_A_UNIT, self._count)
        for number in range(self._next, end):
            actions += self._tree.read(number, self._cpu_ns)
        self._next = end
        if end == self._count:
            self._next = 0
            self._left -= 1
        return actions


class TreeCopy:
    """cp -r: read each file of a share of a tree and write its copy."""

    def __init__(self, source: FileTree, target: FileTree, *, cpu_ns: int = 2_000) -> None:
        self._source, self._target, self._cpu_ns = source, target, cpu_ns
        self._next = 0

    def unit(self) -> list[Action]:
        actions: list[Action] = []
        end = min(self._next + FILES_A_UNIT, len(self._target.files))
        for number in range(self._next, end):
            first, pages = self._target.files[number]
            actions += self._source.read(number, self._cpu_ns)
            actions += [Open(first, pages), Touch(range(first, first + pages), self._cpu_ns, write=True)]
        self._next = end
        return actions


class TreeRemove:
    """rm -r."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._next = 0

    def unit(self) -> list[Action]:
        end = min(self._next + FILES_A_UNIT, len(self._tree.files))
        actions: list[Action] = [Remove(*self._tree.files[number]) for number in range(self._next, end)]
        self._next = end
        return actions

# SPDX-License-Identifier: GPL-2.0-only
"""Models of the recorded Linux guests: what ran in them, as far as the recordings' headers tell.

Memory, host and the order of the work are those of the recordings; sizes of trees and files were read off their gets.
The number of inodes a guest remembers and the memory its kernel keeps are fitted.
Units     pages.
"""

from collections.abc import Callable, Mapping
from typing import Final

from hypervisor_model.evaluation.traffic import Metered
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.contents import Contents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.lru import PageLists, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.work import Action, Open, Remove, Touch, Unmount, Workload
from hypervisor_model.guests.workloads.compile import Build, CompileShape
from hypervisor_model.guests.workloads.database import BulkLoad, ExternalSort
from hypervisor_model.guests.workloads.files import FileTree, TreeCopy, TreeRemove, TreeScan
from hypervisor_model.guests.workloads.synthetic import InTurn, Scan, Usemem, Zipf
from hypervisor_model.hypervisor import Hypervisor

MB: Final = 256
SWAP: Final = 1024 * MB


class Once:
    """Actions done one after the other, in one unit."""

    def __init__(self, *actions: Action) -> None:
        self._actions = list(actions)

    def unit(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions


def _guest(
    memtotal_kb: int,
    host_mb: int,
    workloads: list[Workload],
    *,
    reserved: int,
    inode_limit: int = 0,
    mounts: int = 1,
    max_mb: int = 384,
    image: int | None = None,
    swap_readahead: int = 8,
    anon_repeat: int = 0,
    lists: PageLists | None = None,
) -> tuple[Guest, Metered]:
    hypervisor = Hypervisor(release="4.12", frames=host_mb * MB, exact=False, contents="tokens")
    totalram = memtotal_kb // 4
    handle = Metered(hypervisor.create_domain(1, max_pages=max_mb * MB, tot_pages=totalram))
    cleancache = Cleancache(handle)
    for _ in range(mounts):
        cleancache.init_fs()
    memory = GuestMemory(
        totalram,
        reserved=reserved,
        disk=Disk(seek_ns=100_000, page_ns=10_000),  # the recorded guests had theirs in RAM
        contents=Contents(1, image=image, anon_repeat=anon_repeat),
        cleancache=cleancache,
        frontswap=Frontswap(handle),
        swap=SwapDevice(SWAP),
        lists=lists,
        readahead=32,
        swap_readahead=swap_readahead,
        inode_limit=inode_limit,
    )
    return Guest(memory, workloads), handle


def compile_guest() -> tuple[Guest, Metered]:
    """zlib and Lua built, each twice, in 70 MiB."""
    shape = CompileShape(
        sources=26,
        source_pages=8,
        headers=300,
        header_pages=3,
        headers_each=25,
        tool_pages=6_000,
        tool_touches=1_600,
        heap_pages=7_200,
        heap_steps=4,
        heap_reuse=0.15,
        object_pages=8,
        cpu_ms=800,
    )
    boot = FileTree("boot and configure", files=1_200, mean_pages=7)
    work = InTurn(
        [TreeScan(boot), *Build("recorded compile", shape, builds=2).jobs(1), TreeScan(boot, share=0.3)]
    )
    return _guest(71_520, 672, [work], reserved=6_500, inode_limit=800, max_mb=512)


def grep_guest() -> tuple[Guest, Metered]:
    """grep over kernel sources thrice, tar of another tree, cp -r of a third, grep and rm of the copy, tar again."""
    sources = FileTree("grep sources", files=18_000, mean_pages=2.59)
    other = FileTree("grep other", files=7_500, mean_pages=2.7, first_inode=30_000)
    third = FileTree("grep third", files=3_000, mean_pages=3.2, first_inode=50_000)
    copy = FileTree("grep third", files=3_000, mean_pages=3.2, first_inode=60_000)
    work = InTurn(
        [
            TreeScan(sources, passes=3),
            TreeScan(other),
            TreeCopy(third, copy),
            TreeScan(copy, share=0.4),
            TreeRemove(copy),
            TreeScan(other),
        ]
    )
    return _guest(107_104, 320, [work], reserved=5_000, inode_limit=12_300)


def db_guest() -> tuple[Guest, Metered]:
    """A table of 130 MiB loaded with an index, scanned, dumped to text; the text sorted, larger than memory."""
    table, text = 32_600, 22_200
    text_inode, sorted_inode = 50, 51
    text_first = file_key(0, text_inode)
    source = FileTree("db source", files=9_000, mean_pages=2.7, first_inode=1_000)
    work = InTurn(
        [
            BulkLoad("db load", pages=table, batch=64, index_touches=1_000),
            Scan(pages=table, passes=2, inode=2),
            TreeScan(source),
            Once(Open(text_first, text), Touch(range(text_first, text_first + text), 2_000, write=True)),
            ExternalSort(input_inode=text_inode, output_inode=sorted_inode, pages=text, run_pages=4_000),
            ExternalSort(input_inode=sorted_inode, output_inode=52, pages=text - 4_000, run_pages=4_000),
            Once(Remove(text_first, text), Remove(file_key(0, 2), table)),
        ]
    )
    return _guest(107_104, 320, [work], reserved=10_000, inode_limit=6_000)


def hog_guest() -> tuple[Guest, Metered]:
    """A process of one and a half times memory, twice, and the files of its program."""
    pages = 42_000
    hogs: list[Workload] = [
        Usemem(region=1, pages=pages, steps=1, passes=4, cpu_ns=40_000, lifetimes=2),
        Zipf("hog program", pages=8_000, accesses=140_000, skew=1.3, cpu_ns=100_000),
    ]
    return _guest(112_364, 128, hogs, reserved=5_000, max_mb=512, anon_repeat=110, lists=TwoLists())


def twofs_guest() -> tuple[Guest, Metered]:
    """Two file systems with equal files: grep on one, the other, both; a build on the second; umount; grep again."""
    files, mean = 4_400, 2.93
    first = FileTree("twofs", files=files, mean_pages=mean)
    second = FileTree("twofs", files=files, mean_pages=mean, mount=1)
    shape = CompileShape(
        sources=35,
        source_pages=4,
        headers=150,
        header_pages=3,
        headers_each=12,
        tool_pages=7_000,
        tool_touches=900,
        heap_pages=5_500,
        heap_reuse=0.1,
        object_pages=8,
        cpu_ms=800,
    )
    build = Build("twofs", shape, mount=1)
    work = InTurn(
        [
            TreeScan(first),
            TreeScan(second),
            TreeScan(first),
            TreeScan(second),
            *build.jobs(1),
            Once(Unmount(1)),
            TreeScan(first),
        ]
    )
    return _guest(92_780, 272, [work], reserved=5_000, inode_limit=5_800, mounts=2, image=1)


MODELS: Final[Mapping[str, Callable[[], tuple[Guest, Metered]]]] = {
    "compile-4.12": compile_guest,
    "grep-4.12": grep_guest,
    "db-4.12": db_guest,
    "hog-4.12-tight": hog_guest,
    "twofs-4.12": twofs_guest,
}

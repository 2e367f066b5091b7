# SPDX-License-Identifier: GPL-2.0-only
"""The guest kinds `linux` and `recorded` of a scenario file: complaints about their keys, and their drivers."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from hypervisor_model.guests.balloon import Balloon, DaemonBalloon, SelfBalloon
from hypervisor_model.guests.cleancache import Cleancache, uuid_words
from hypervisor_model.guests.contents import ANON_MIX, FILE_MIX, Contents, ExpandedContents
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.files import UnreadableFile
from hypervisor_model.guests.frontswap import Frontswap
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import TmemHandle
from hypervisor_model.guests.lru import OneList, TwoLists
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.recording import Recording, ReplayedGuest
from hypervisor_model.guests.selfballoon import Settings, mb
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.traces import TIMED, read_trace
from hypervisor_model.guests.work import Workload
from hypervisor_model.guests.workloads.analytics import Analytics
from hypervisor_model.guests.workloads.compile import Build, CompileShape
from hypervisor_model.guests.workloads.database import Oltp
from hypervisor_model.guests.workloads.files import FileTree, TreeScan
from hypervisor_model.guests.workloads.synthetic import Idle, InTurn, Scan, Usemem, Zipf
from hypervisor_model.guests.workloads.traced import Traced
from hypervisor_model.guests.xenballoond import Config, Xenballoond

if TYPE_CHECKING:
    from hypervisor_model.scenario.driver import Boot

REGIONS: Final = 256  # of memory, for each workload: as many as it may have threads
KERNEL_PAGES: Final = 4096  # what a kernel takes of a memory that is large enough


def recorded_complaint(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """A recording that cannot be read."""
    try:
        Recording(spec["file"])
    except UnreadableFile as error:
        return "file", str(error)
    return None


def make_recorded(boot: "Boot") -> ReplayedGuest:
    """The driver of a guest of kind `recorded`."""
    return ReplayedGuest(
        Recording(boot.spec["file"]),
        boot.tmem,
        speed=boot.spec["speed"],
        start_us=boot.spec["start"],
        whole_pages=boot.hypervisor.contents == "pages",
    )


def workloads_of(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The workloads of a Linux guest, however it names them."""
    return spec["workloads"] if "workloads" in spec else [spec["workload"]]


def linux_complaint(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """What the schema cannot say of the keys of a Linux guest."""
    if "workload" not in spec and "workloads" not in spec:
        return "workload", "is missing: what runs in the guest"
    if "workload" in spec and "workloads" in spec:
        return "workloads", "either these or a workload"
    kernel, memory = spec.get("kernel", 0), spec["memory"]
    if kernel and kernel >= memory:
        return "kernel", f"{kernel} pages leave nothing of the {memory} of memory"
    for place, workload in enumerate(workloads_of(spec)):
        key = "workload" if "workload" in spec else f"workloads[{place}]"
        if workload["kind"] == "analytics" and workload.get("live", 0) > workload["heap"]:
            return f"{key}.live", f"{workload['live']} pages are more than the {workload['heap']} of the heap"
        if workload.get("mount", 0) >= spec["filesystems"]:
            problem = f"no {workload['mount']} among {spec['filesystems']} counted from 0: see filesystems"
            return f"{key}.mount", problem
        if workload["kind"] == "trace":
            if workload["speed"] is not None and workload["format"] not in TIMED:
                return f"{key}.speed", f"there are no times in a {workload['format']} trace"
            if problem := _trace_problem(workload):
                return f"{key}.file", problem
    for name in ("file_content", "anonymous_content"):
        if name in spec and not any(spec[name].values()):
            return name, "pages of nothing: every share is 0"
    balloon = spec["balloon"]
    if "reserved" in balloon and balloon["generation"] != "4.x":
        return "balloon.reserved", f"the driver of Linux {balloon['generation']} keeps nothing in reserve"
    return None


def _trace_problem(workload: Mapping[str, Any]) -> str:
    """Why not even the first access of a trace can be read; empty if it can."""
    try:
        first = next(read_trace(workload["file"], workload["format"]), None)
    except UnreadableFile as error:
        return f"{error} (read as {workload['format']})"
    return "" if first else f"{workload['file']}: no access in it (read as {workload['format']})"


def make_linux(boot: "Boot") -> Guest:
    """The driver of a guest of kind `linux`."""
    spec = boot.spec
    handle = boot.tmem
    cleancache = Cleancache(handle if spec["cleancache"] else None)
    cluster = uuid_words(spec["shared_uuid"]) if "shared_uuid" in spec else None
    for mount in range(spec["filesystems"]):
        if mount or cluster is None:
            cleancache.init_fs()
        else:
            cleancache.init_shared_fs(cluster)
    page_maker = ExpandedContents if boot.hypervisor.contents == "pages" else Contents
    memory = GuestMemory(
        boot.memory,
        reserved=spec.get("kernel", min(KERNEL_PAGES, boot.memory // 2)),
        disk=Disk(seek_ns=spec["disk_seek"] * 1_000),
        contents=page_maker(
            boot.domain_id,
            image=spec.get("image"),
            cluster=None if cluster is None else crc32(repr(cluster).encode()) >> 10,
            file_mix=spec.get("file_content", FILE_MIX),
            anon_mix=spec.get("anonymous_content", ANON_MIX),
        ),
        cleancache=cleancache,
        frontswap=_frontswap(spec, handle),
        swap=SwapDevice(spec["swap"]),
        lists=TwoLists() if spec["lists"] == "active-inactive" else OneList(),
        readahead=spec["readahead"],
        inode_limit=spec["inodes"],
    )
    guest = Guest(memory, _all_threads(boot), vcpus=spec["vcpus"])
    _add_balloon(spec["balloon"], boot, guest)
    return guest


def _frontswap(spec: Mapping[str, Any], handle: TmemHandle) -> Frontswap | None:
    if not spec["frontswap"] or not spec["swap"]:
        return None
    return Frontswap(handle, writethrough=spec["writethrough"], exclusive_gets=spec["exclusive_gets"])


def _image_seed(boot: "Boot", workload: Mapping[str, Any]) -> str | None:
    """What guests with equal files have in common: the scenario's seed and the image, or the cluster's file system.

    None for files of the guest's own.
    """
    spec, scenario_seed = boot.spec, boot.seed.removesuffix(boot.name)
    if "shared_uuid" in spec and workload.get("mount") == 0:
        return f"{scenario_seed}cluster {uuid_words(spec['shared_uuid'])}"
    return f"{scenario_seed}image {spec['image']}" if "image" in spec else None


def _all_threads(boot: "Boot") -> Sequence[Workload]:
    """The threads of all workloads. Several on one file system find the same files there, each has other memory."""
    groups = []
    for place, workload in enumerate(workloads_of(boot.spec)):
        seed, image_seed = boot.seed, _image_seed(boot, workload)
        if place:
            seed, image_seed = f"{seed} {place}", image_seed or seed
        groups.append(_threads(workload, seed, image_seed, place * REGIONS + 1))
    if boot.spec["in_turn"]:
        return [
            InTurn([one for one in turns if one is not None])
            for turns in zip_longest(*groups, fillvalue=None)
        ]
    return list(chain(*groups))


def _threads(
    workload: Mapping[str, Any], seed: str, image_seed: str | None, region: int
) -> Sequence[Workload]:
    """The threads of a workload. `image_seed` says what its files are like, `seed` what is done to them when.

    `region`: the first of the regions of memory that are its own.
    """
    kind, mount = workload["kind"], workload.get("mount", 0)
    if kind == "compile":
        shape = CompileShape(sources=workload["sources"], heap_pages=workload["heap"])
        build = Build(seed, shape, builds=workload["builds"], mount=mount, image_seed=image_seed)
        return build.jobs(workload["jobs"], region)
    if kind == "oltp":
        total, clients = workload["transactions"], workload["clients"]
        return [
            Oltp(
                f"{seed} {number}",
                table_pages=workload["table"],
                transactions=None if total is None else (total + number) // clients,
                skew=workload["skew"],
                image_seed=image_seed,
                buffer_pages=workload["buffer"] // clients,
                region=region + number,
                mount=mount,
            )
            for number in range(clients)
        ]
    if kind == "zipf":
        pages, accesses = workload["file"], workload["accesses"]
        return [
            Zipf(
                seed,
                pages=pages,
                accesses=accesses,
                skew=workload["skew"],
                image_seed=image_seed,
                write_share=workload["writes"],
                mount=mount,
            )
        ]
    if kind == "scan":
        return [Scan(pages=workload["file"], passes=workload["passes"], mount=mount)]
    if kind == "grep":
        tree = FileTree(image_seed or seed, files=workload["files"], mean_pages=2.6, mount=mount)
        return [TreeScan(tree, passes=workload["passes"])]
    if kind == "usemem":
        return [
            Usemem(
                region=region,
                pages=workload["size"],
                lifetimes=workload["lifetimes"],
                delay_ns=workload["delay"] * 1_000,
                hold_ns=workload["hold"] * 1_000,
            )
        ]
    if kind == "analytics":
        return [
            Analytics(
                region=region,
                pages=workload["heap"],
                live=workload.get("live", -(-workload["heap"] // 2)),
                rounds=workload["rounds"],
                delay_ns=workload["delay"] * 1_000,
            )
        ]
    if kind == "idle":
        return [Idle(region=region, committed=workload["committed"], seconds=workload["seconds"])]
    return [
        Traced(
            workload["file"],
            workload["format"],
            limit=workload["limit"],
            mount=workload["mount"],
            speed=workload["speed"],
        )
    ]


def _add_balloon(spec: Mapping[str, Any], boot: "Boot", guest: Guest) -> None:
    if spec["kind"] == "none":
        return
    balloon = Balloon(boot.hypervisor, boot.domain_id, guest)
    if spec["kind"] == "selfballoon":
        settings = Settings(
            generation=spec["generation"],
            interval_s=spec["interval"],
            down_hysteresis=spec["down_hysteresis"],
            up_hysteresis=spec["up_hysteresis"],
            min_usable_mb=_whole_mb(spec["min_usable"]),
            reserved_mb=_whole_mb(spec["reserved"]) if "reserved" in spec else None,
            selfshrinking=spec["selfshrinking"],
            frontswap_hysteresis=spec["frontswap_hysteresis"],
            frontswap_inertia=spec["frontswap_inertia"],
        )
        SelfBalloon(balloon, settings, last_pages_stay=spec["shrink_quirk"])
        return
    config = Config(
        selfballoon=boot.balancer is None,
        interval_s=spec["interval"],
        down_hysteresis=spec["down_hysteresis"],
        up_hysteresis=spec["up_hysteresis"],
        min_mb=_whole_mb(spec["minimum"]),
        preswap_shrink=spec["preswap_shrink"],
        preswap_hysteresis=spec["preswap_hysteresis"],
        preswap_inertia=spec["preswap_inertia"],
    )
    daemon = DaemonBalloon(balloon, Xenballoond(config))
    if boot.balancer is not None:
        balloon.max_pfn = boot.max_memory
        boot.balancer.add(boot.name, boot.domain_id, daemon, weight=spec["weight"])


def _whole_mb(pages: int) -> int:
    """Pages as MiB, which is what the drivers count in; rounded up."""
    return -(-pages // mb(1))

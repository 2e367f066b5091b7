# SPDX-License-Identifier: GPL-2.0-only
"""The guest kinds `linux` and `recorded` of a scenario file: their keys, and the drivers made of them.

Left out  schemas' `kind` of the guest itself and the keys of every guest, which the scenario package has.
"""

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
from hypervisor_model.guests.selfballoon import GENERATIONS, Settings, mb
from hypervisor_model.guests.swap import SwapDevice
from hypervisor_model.guests.traces import FORMATS, read_trace
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

Schema = dict[str, Any]

KERNEL_PAGES: Final = 4096  # what a kernel takes of a memory that is large enough


def _whole(text: str, low: int, high: int, default: int) -> Schema:
    return {"description": text, "type": "integer", "minimum": low, "maximum": high, "default": default}


def _endless(text: str, default: int | None) -> Schema:
    return {
        "description": text,
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 1 << 60,
        "default": default,
    }


def _pages(text: str, default: str | None, least: int = 1) -> Schema:
    """A size; a `default` of None: left out means what `text` says."""
    schema: Schema = {
        "description": text,
        "type": "string",
        "pattern": r"^\d{1,18}(\.\d{1,9})? *([KMGT](i?B)?|pages?)$",
        "x-quantity": "pages",
        "x-minimum": least,
        "x-maximum": 1 << 28,
    }
    return schema if default is None else {**schema, "default": default}


def _time(text: str, default: str) -> Schema:
    return {
        "description": text,
        "type": "string",
        "pattern": r"^\d{1,18}(\.\d{1,9})? *(us|ms|s|min|h)$",
        "x-quantity": "time",
        "x-minimum": 0,
        "x-maximum": 3_600_000_000,
        "default": default,
    }


def _file(text: str) -> Schema:
    """A path, relative to the scenario file."""
    return {"description": text, "type": "string", "minLength": 1, "maxLength": 4096, "x-file": True}


def _flag(text: str, default: bool) -> Schema:
    return {"description": text, "type": "boolean", "default": default}


def _share(text: str, default: float) -> Schema:
    return {"description": text, "type": "number", "minimum": 0, "maximum": 8, "default": default}


def _choice(text: str, kinds: Mapping[str, tuple[str, Schema]], default: str | None = None) -> Schema:
    """Mappings told apart by their `kind`; the default one may leave it out."""
    branches = []
    for name, (summary, properties) in kinds.items():
        const = {"description": summary, "type": "string", "const": name}
        branch: Schema = {
            "description": summary,
            "type": "object",
            "properties": {"kind": {**const, "default": name} if name == default else const, **properties},
            "additionalProperties": False,
        }
        if name != default:
            branch["required"] = ["kind"]
        branches.append(branch)
    schema: Schema = {"description": text, "oneOf": branches}
    if default is not None:
        schema["default"] = {}
    return schema


REGIONS: Final = 256  # of memory, for each workload: as many as it may have threads

UUID_PATTERN: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

_MOUNT: Final = _whole("Which of the guest's file systems it works on, counted from 0.", 0, 30, 0)

WORKLOADS: Final[Mapping[str, tuple[str, Schema]]] = {
    "compile": (
        "make -jN of a kernel, over and over.",
        {
            "jobs": _whole("How many compilations run side by side.", 1, 256, 4),
            "sources": _whole("Source files in the tree.", 1, 100_000, 500),
            "builds": _endless("So many builds, one after the other; null: no end.", 1),
            "heap": _pages("What one compilation grows to.", "16MiB"),
            "mount": _MOUNT,
        },
    ),
    "oltp": (
        "Transactions on a table by popularity, with a log.",
        {
            "table": _pages("The table.", "256MiB"),
            "buffer": _pages("The database's own buffers.", "16MiB"),
            "transactions": _endless("So many; null: no end.", 20_000),
            "clients": _whole("Threads that do them.", 1, 256, 4),
            "skew": _share("How much the popular pages are preferred.", 0.8),
            "mount": _MOUNT,
        },
    ),
    "zipf": (
        "Pages of one file by popularity.",
        {
            "file": _pages("The file.", "64MiB"),
            "accesses": _endless("So many; null: no end.", 1_000_000),
            "skew": _share("The page of rank r is used in proportion to 1 / r**skew.", 1.0),
            "writes": {
                "description": "Share of writes.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0.0,
            },
            "mount": _MOUNT,
        },
    ),
    "scan": (
        "One file from end to end, again and again.",
        {
            "file": _pages("The file.", "64MiB"),
            "passes": _endless("So often; null: no end.", 4),
            "mount": _MOUNT,
        },
    ),
    "grep": (
        "A tree of small files from end to end, again and again.",
        {
            "files": _whole("Files in the tree.", 1, 1_000_000, 5_000),
            "passes": _whole("So often.", 1, 1_000_000, 3),
            "mount": _MOUNT,
        },
    ),
    "usemem": (
        "A process that grows, uses all it has, and goes.",
        {
            "size": _pages("What it grows to.", "64MiB"),
            "lifetimes": _whole("How often it comes back.", 1, 1_000_000, 1),
            "delay": _time("When it starts, and how long it stays away.", "0s"),
            "hold": _time("How long it keeps its memory at the end.", "0s"),
        },
    ),
    "analytics": (
        "Reads data into memory and computes over a part of them again and again.",
        {
            "heap": _pages("What it holds until it ends.", "64MiB"),
            "live": _pages("The part that is used again, at most the heap; left out, half of it.", None),
            "rounds": _whole("So often.", 1, 1_000_000, 10),
            "delay": _time("When it starts.", "0s"),
        },
    ),
    "idle": (
        "Holds memory and does next to nothing.",
        {
            "committed": _pages("What it was promised.", "64MiB"),
            "seconds": _endless("For so long; null: no end.", 600),
        },
    ),
    "trace": (
        "The accesses of a trace file.",
        {
            "file": _file("Where it is."),
            "format": {"description": "What it is.", "enum": list(FORMATS), "default": "csv"},
            "limit": _endless("At most so many of its lines; null: all.", None),
        },
    ),
}

BALLOONS: Final[Mapping[str, tuple[str, Schema]]] = {
    "none": ("The guest keeps what it has.", {}),
    "selfballoon": (
        "Linux's driver: give back what is not committed.",
        {
            "generation": {
                "description": "Which of its two forms.",
                "enum": list(GENERATIONS),
                "default": "4.x",
            },
            "interval": _whole("Seconds between two runs.", 1, 86_400, 5),
            "down_hysteresis": _whole("A run gives up the surplus divided by this.", 1, 1_000, 8),
            "up_hysteresis": _whole("A run asks for what is lacking divided by this.", 1, 1_000, 1),
            "min_usable": _pages(
                "It never goes below this and what the kernel takes, in whole MiB; 0MiB: the driver's own table.",
                "0MiB",
                0,
            ),
            "reserved": _pages(
                "What it keeps beyond what is committed, in whole MiB, only 4.x; left out, a tenth of its memory.",
                None,
                0,
            ),
            "selfshrinking": _flag("Take pages back out of frontswap after a while.", True),
            "frontswap_hysteresis": _whole("A shrink takes back the pages divided by this.", 1, 1_000, 20),
            "frontswap_inertia": _whole(
                "Runs in which frontswap must not grow before a shrink.", 1, 86_400, 3
            ),
            "shrink_quirk": _flag("The last pages in frontswap never come back, as in Linux.", True),
        },
    ),
    "xenballoond": (
        "The daemon of 2008: goes by what is committed, or by the host's balancer if there is one.",
        {
            "interval": _whole("Seconds between two rounds.", 1, 86_400, 1),
            "down_hysteresis": _whole("A round gives up the surplus divided by this.", 1, 1_000, 10),
            "up_hysteresis": _whole("A round asks for what is lacking divided by this.", 1, 1_000, 1),
            "minimum": _pages(
                "It never goes below this, in whole MiB; 0MiB: the script's own table.", "0MiB", 0
            ),
            "preswap_shrink": _flag("Take pages back out of frontswap after a while.", False),
            "preswap_hysteresis": _whole("A shrink takes back the pages divided by this.", 1, 1_000, 20),
            "preswap_inertia": _whole(
                "Rounds in which frontswap must not change before a shrink.", 1, 86_400, 10
            ),
            "weight": _whole("Its share, where the balancer is proportional.", 1, 65_535, 256),
        },
    ),
}

_CLASS_TEXTS: Final[Mapping[str, str]] = {
    "zero": "Nothing but zeros.",
    "text": "Compresses to half.",
    "compressible": "Compresses to a quarter.",
    "random": "Does not compress.",
    "sparse": "An eighth of noise, then zeros to the end.",
}


def _mix(text: str, default: Mapping[str, float]) -> Schema:
    """The shares of the classes of pages; those left out are 0. Without the key it is `default`."""
    own = ", ".join(f"{share:.0%} {name}" for name, share in default.items())
    shares = {
        name: {"description": what, "type": "number", "minimum": 0, "maximum": 1_000_000}
        for name, what in _CLASS_TEXTS.items()
    }
    return {
        "description": f"{text}, in shares of any unit. Left out: {own}.",
        "type": "object",
        "properties": shares,
        "additionalProperties": False,
    }


LINUX: Final[Mapping[str, Any]] = {
    "workload": _choice("What runs in it.", WORKLOADS),
    "workloads": {
        "description": "Instead of workload: several, side by side. On one file system they may meet in its "
        "files; each `mount` has its own.",
        "type": "array",
        "items": _choice("One of them.", WORKLOADS),
        "minItems": 1,
        "maxItems": 16,
    },
    "in_turn": _flag("The workloads come one after the other, each thread going on when it is done.", False),
    "vcpus": _whole("Virtual CPUs.", 1, 128, 1),
    "kernel": _pages(
        "Memory that holds neither file nor anonymous pages; left out, 16MiB, or half of a memory below 32MiB.",
        None,
        0,
    ),
    "swap": _pages("The swap device.", "512MiB", 0),
    "cleancache": _flag("Offer clean file pages to tmem.", True),
    "filesystems": _whole(
        "File systems mounted, each with a pool of its own as long as Xen gives it one: 16 in a domain, frontswap's "
        "among them. The `mount` of a workload says which it works on.",
        1,
        31,
        1,
    ),
    "shared_uuid": {
        "description": "The first file system, mount 0, is a cluster's, as ocfs2: guests that give the same uuid have "
        "equal files there and share its pool, where Xen lets them: 4.12 asks for tmem-shared-auth first, 4.3 "
        "with tmem_shared_auth only. What one writes, the others do not see.",
        "type": "string",
        "pattern": UUID_PATTERN,
        "x-expected": "a uuid (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in hexadecimal)",
    },
    "frontswap": _flag("Offer pages on their way to swap to tmem.", True),
    "writethrough": _flag("Write to the swap device what frontswap has taken, too.", False),
    "exclusive_gets": _flag(
        "A page loaded from frontswap counts as gone from it. Linux never had this on for Xen, where the copy "
        "stays: the guest pays for pages of no use until their slots are used again.",
        False,
    ),
    "lists": {
        "description": "How pages are chosen for eviction.",
        "enum": ["lru", "active-inactive"],
        "default": "lru",
    },
    "readahead": _whole("Pages of a sequential file read at once.", 1, 1_024, 32),
    "inodes": _whole(
        "Files remembered; beyond it one is pruned with its pages. 0: no limit.", 0, 10_000_000, 0
    ),
    "image": {
        "description": "Guests of the same image have equal files, as many and as large, with the same ones popular; "
        "its own if left out.",
        "type": "integer",
        "minimum": 0,
        "maximum": 32_767,
    },
    "file_content": _mix("What is in pages of files", FILE_MIX),
    "anonymous_content": _mix("What is in pages on their way to swap", ANON_MIX),
    "disk_seek": _time("A seek of its disk.", "8ms"),
    "balloon": _choice("What moves memory between guest and host.", BALLOONS, default="none"),
}

RECORDED: Final[Mapping[str, Any]] = {
    "file": _file("A tmem-ops/1 recording."),
    "speed": {
        "description": "How many times faster than recorded.",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1_000_000,
        "default": 1,
    },
    "start": _time("When it starts.", "0s"),
}


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
    for name in ("file_content", "anonymous_content"):
        if name in spec and not any(spec[name].values()):
            return name, "pages of nothing: every share is 0"
    balloon = spec["balloon"]
    if "reserved" in balloon and balloon["generation"] != "4.x":
        return "balloon.reserved", f"the driver of Linux {balloon['generation']} keeps nothing in reserve"
    return _trace_complaint(workload) if workload["kind"] == "trace" else None


def _trace_complaint(workload: Mapping[str, Any]) -> tuple[str, str] | None:
    """A trace of which not even the first access can be read."""
    try:
        first = next(read_trace(workload["file"], workload["format"]), None)
    except UnreadableFile as error:
        return "workload.file", f"{error} (read as {workload['format']})"
    if first is None:
        return "workload.file", f"{workload['file']}: no access in it (read as {workload['format']})"
    return None


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
                transactions=None if total is None else -(-total // clients),
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
    return [Traced(workload["file"], workload["format"], limit=workload["limit"])]


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

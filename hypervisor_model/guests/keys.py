# SPDX-License-Identifier: GPL-2.0-only
"""The keys that guests of the kinds `linux` and `recorded` have in a scenario file, as JSON schemas.

Left out  schemas' `kind` of the guest itself and the keys of every guest, which the scenario package has.
"""

from collections.abc import Mapping
from typing import Any, Final

from hypervisor_model.guests.contents import ANON_MIX, FILE_MIX
from hypervisor_model.guests.selfballoon import GENERATIONS
from hypervisor_model.guests.traces import FORMATS

Schema = dict[str, Any]


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
            "speed": {
                "description": "At the trace's own times, so many times as fast; null: as fast as the guest goes.",
                "type": ["number", "null"],
                "minimum": 0.000001,
                "maximum": 1_000_000,
                "default": None,
            },
            "mount": _MOUNT,
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
        "minimum": 0.000001,
        "maximum": 1_000_000,
        "default": 1,
    },
    "start": _time("When it starts.", "0s"),
}

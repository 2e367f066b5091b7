# SPDX-License-Identifier: GPL-2.0-only
"""Files of operations and their results, `tmem-trace/1`: gzip, one JSON object a line, the header first."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FORMAT: Final = "tmem-trace/1"

# What an operation's line says of its results; everything else in it is an argument.
RESULTS: Final = frozenset(
    [
        *("ret", "crc", "out", "handle", "ruuid", "rinfo", "rpools"),
        *("avail", "freeable", "tmem_list", "midsize", "mempool", "doms"),
    ]
)

Operation = dict[str, Any]


class TraceError(ValueError):
    """A file is no trace, or a damaged one."""


@dataclass(frozen=True)
class Header:
    """The host that a trace was recorded on."""

    profile: str  # the release
    boot: dict[str, int]  # tmem, compress, dedup, tze, shared_auth
    host_pages: int
    struct_sizes: dict[str, int]  # bytes

    @property
    def command_line(self) -> str:
        """The boot options as Xen takes them."""
        return " ".join(f"{_option(name)}={value}" for name, value in self.boot.items())


class Trace:
    """A trace in a file. Iterating reads it anew, an operation at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = _header(next(self._lines(), {}), path)

    def __iter__(self) -> Iterator[Operation]:
        lines = self._lines()
        next(lines)
        for number, operation in enumerate(lines, 1):
            if not isinstance(operation, dict) or "op" not in operation:
                raise TraceError(f"{self.path}: operation {number} has no op")
            yield operation

    def _lines(self) -> Iterator[Any]:
        try:
            with gzip.open(self.path, "rt", encoding="ascii") as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, EOFError, ValueError) as error:
            raise TraceError(f"{self.path}: {error}") from None


def write_trace(path: Path, header: dict[str, Any], operations: Iterable[Operation]) -> None:
    """Write a trace; the same operations give the same bytes."""
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as out:
        for line in ({"format": FORMAT, **header}, *operations):
            out.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")


def results_of(operation: Operation) -> dict[str, Any]:
    """The results that an operation's line records."""
    return {name: value for name, value in operation.items() if name in RESULTS}


def _option(name: str) -> str:
    return "tmem" if name == "tmem" else f"tmem_{name}"


def _header(line: Any, path: Path) -> Header:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise TraceError(f"{path}: not a {FORMAT} file")
    try:
        return Header(
            str(line["profile"]),
            {str(name): int(value) for name, value in line["boot"].items()},
            int(line["host_pages"]),
            {str(name): int(value) for name, value in line.get("struct_sizes", {}).items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TraceError(f"{path}: its header is damaged: {error!r}") from None

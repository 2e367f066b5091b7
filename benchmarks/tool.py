# SPDX-License-Identifier: GPL-2.0-only
"""The commands a person waits for, whole processes, each in turn with its peer.

The clock on the wall counts; where it and the CPU time of the process disagree, the machine was busy with others. The
C peer of listings is Xen's tools/misc/xen-tmem-list-parse.c, compiled from $XEN_SRC in a temporary directory.
"""

from __future__ import annotations

import compileall
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from benchmarks.builds import ROOT, Build
from benchmarks.figures import Figure, Goal, not_measured
from benchmarks.hosts import POOLS_PER_DOMAIN, model_host, raw_listing, xm
from benchmarks.timing import Command, Process, median, processes_in_turns, ratio

BARE = (sys.executable, "-c", "pass")
DOMAINS = 1000
PARSER = Path("tools", "misc", "xen-tmem-list-parse.c")
COMPLETE = 'source "$0"; COMP_WORDS=(xm tmem-fr); COMP_CWORD=1; _xm; [[ ${COMPREPLY[*]} == *tmem-freeze* ]]'


def figures(builds: tuple[Build, ...], *, quick: bool) -> list[Figure]:
    """All figures; the tool has one build only."""
    rounds = 5 if quick else 31
    for package in (
        "xm_tmem",
        "hypervisor_model",
    ):  # as an installation does, also where Python may not write it
        compileall.compile_dir(ROOT / package, quiet=1)
    with model_host(3) as environment:
        lines = [*_listings(environment, rounds), *_start_up(environment, rounds)]
    with model_host(DOMAINS) as environment, tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(raw_listing(environment))
        file.flush()
        lines += _large_listing(file, environment, rounds)
    return lines


def _compared(name: str, taken: Process, peer: str, by: Process, goal: Goal | None, note: str = "") -> Figure:
    cpu = f"in CPU time {ratio(taken.cpu_ms, by.cpu_ms):.2f} x"
    return Figure(
        name,
        median(taken.wall_ms),
        "ms",
        ratio(taken.wall_ms, by.wall_ms),
        f"{peer}, {median(by.wall_ms):.1f} ms; {cpu}",
        goal,
        note,
    )


def _listings(environment: Mapping[str, str], rounds: int) -> list[Figure]:
    if shutil.which("virsh") is None:
        return [not_measured("plain listing", "virsh is not installed (package libvirt-clients)")]
    commands: dict[str, Command] = {
        "xm list": xm("list"),
        "xm tmem-list": xm("tmem-list"),
        "virsh list": ("virsh", "-c", "test:///default", "list", "--all"),
    }
    taken = processes_in_turns(commands, rounds, env=environment)
    virsh = taken.pop("virsh list")
    return [
        _compared(f"{name}, plain", process, "virsh list", virsh, Goal(2.6))
        for name, process in taken.items()
    ]


def _start_up(environment: Mapping[str, str], rounds: int) -> list[Figure]:
    commands: dict[str, Command] = {"python": BARE, "version": xm("--version")}
    if shutil.which("bash") is not None:
        commands["completion"] = ("bash", "--norc", "-c", COMPLETE, str(ROOT / "completions" / "xm.bash"))
    taken = processes_in_turns(commands, rounds, env=environment)
    python = taken["python"]
    lines = [_compared("xm --version", taken["version"], "python -c pass", python, Goal(1.2))]
    if "completion" in taken:
        lines.append(
            _compared(
                "bash that completes a command", taken["completion"], "python -c pass", python, Goal(0.35)
            )
        )
    return lines


def _large_listing(file: IO[bytes], environment: Mapping[str, str], rounds: int) -> list[Figure]:
    what = f"{DOMAINS:,} domains with {POOLS_PER_DOMAIN} pools each"
    listing = xm("-c", f"replay:{file.name}", "tmem-list")
    terminal = [_on_terminal(listing, environment) for _ in range(1 + rounds // 3)]
    lines = [Figure(f"{what}: tmem-list, terminal", median(terminal), "ms", goal=Goal(500, "ms"))]
    commands: dict[str, Command] = {
        "tmem-list, parsed and plain": listing,
        "tmem-list-parse --compat": xm("tmem-list-parse", "--compat", file.name),
    }
    source = Path(os.environ.get("XEN_SRC", ""), PARSER)
    if not os.environ.get("XEN_SRC") or not source.exists():
        note = f"compared with the C where $XEN_SRC has {PARSER}"
        taken = processes_in_turns(commands, rounds, env=environment)
        return [
            *lines,
            *(Figure(f"{what}: {name}", median(one.wall_ms), "ms", note=note) for name, one in taken.items()),
        ]
    with tempfile.TemporaryDirectory() as directory:
        peer = os.path.join(directory, PARSER.stem)
        subprocess.run(("cc", "-O2", "-w", "-o", peer, str(source)), check=True)
        commands[PARSER.stem] = ("sh", "-c", f'exec "{peer}" <"{file.name}"')
        taken = processes_in_turns(commands, rounds, env=environment)
    by = taken.pop(PARSER.stem)
    return lines + [
        _compared(f"{what}: {name}", one, PARSER.stem, by, Goal(6)) for name, one in taken.items()
    ]


def _on_terminal(command: Command, environment: Mapping[str, str]) -> float:
    """Milliseconds until a command whose output is a terminal has ended, all of it read."""
    start = time.perf_counter()
    reader, writer = pty.openpty()
    process = subprocess.Popen(command, stdin=writer, stdout=writer, stderr=writer, env=environment)
    os.close(writer)
    output = 0
    try:
        while data := os.read(reader, 1 << 16):
            output += len(data)
    except OSError:  # Linux says EIO when the last holder of the other end has gone
        pass
    if process.wait() or not output:
        raise subprocess.CalledProcessError(process.returncode, command)
    os.close(reader)
    return (time.perf_counter() - start) * 1e3

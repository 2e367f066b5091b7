# SPDX-License-Identifier: GPL-2.0-only
"""What some tests need and a machine may lack: said in the head of the report, and where to get it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

PROGRAMS = {  # program -> the Debian package that has it
    "zsh": "zsh",
    "fish": "fish",
    "tmux": "tmux",
    "groff": "groff-base",
    "chromium": "chromium",
    "promtool": "prometheus",
    "sshd": "openssh-server",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
}
MODULES = {  # module -> the extra or package that has it
    "libvirt": "xm-tmem[libvirt]",
    "matplotlib": "xm-tmem[plot]",
    "prometheus_client": "xm-tmem[metrics]",
    "lz4": "xm-tmem[lz4]",
    "distributed": "xm-tmem[dask]",
    "zstandard": "xm-tmem[traces]",
}


def find(program: str) -> str | None:
    """Where `program` is; servers are looked for where Debian keeps them, too."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def need(program: str) -> str:
    """Where `program` is, or the test is skipped."""
    found = find(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: {PROGRAMS.get(program, program)})")
    return found


def header_lines() -> list[str]:
    """What is there, and what is skipped for want of it."""
    missing = [
        f"{program} (Debian: {package})" for program, package in PROGRAMS.items() if find(program) is None
    ]
    missing += [
        f"{module} (pip: {package})" for module, package in MODULES.items() if find_spec(module) is None
    ]
    if not missing:
        return ["optional: all there"]
    return [f"optional: tests that need {each} are skipped" for each in missing]

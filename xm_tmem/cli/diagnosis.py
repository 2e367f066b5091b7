# SPDX-License-Identifier: GPL-2.0-only
"""The findings of `xm doctor`: files, devices and programs of this machine, and a connection from end to end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

from xm_tmem.cli.session import Session
from xm_tmem.errors import TmemError
from xm_tmem.settings import config_files
from xm_tmem.version import VERSION

OK, NOTE, BAD = "ok", "note", "BAD"
DEVICES = ("/dev/xen/privcmd", "/proc/xen/privcmd")


class Finding(NamedTuple):
    """One thing that was looked at; `status` is the exit status it asks for, 0 for none."""

    check: str
    state: str
    finding: str
    advice: str = ""
    status: int = 0


def diagnose_machine(session: Session) -> list[Finding]:
    """What can be said without asking a hypervisor. Raises BadInput for a config file that cannot be read."""
    version = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding("xm", OK, f"version {VERSION}, Python {version}")]
    for path in config_files(session.environ):
        there = os.path.exists(path)
        advice = "" if there else "`xm config init` writes one; none is needed"
        findings.append(
            Finding("config", OK if there else NOTE, f"{path}{'' if there else ' is not there'}", advice)
        )
    changed = [
        f"{key} ({origin})" for key, origin in session.settings.origins.items() if origin != "built-in"
    ]
    findings.append(Finding("settings", OK, ", ".join(changed) or "all built-in"))
    findings += [*_xen_here(), *_programs(session), *_terminal()]
    return findings


def _xen_here() -> Iterator[Finding]:
    try:
        with open("/sys/hypervisor/type", encoding="ascii", errors="replace") as file:
            kind = file.read(64).strip()
    except OSError:
        kind = ""
    if kind != "xen":
        yield Finding("xen here", NOTE, "this machine does not run under Xen", "use -c, or `xm model start`")
        return
    device = next((path for path in DEVICES if os.path.exists(path)), None)
    if device is None:
        yield Finding("xen here", BAD, "Xen, but no privcmd device", "load it: modprobe xen-privcmd")
    elif not os.access(device, os.R_OK | os.W_OK):
        yield Finding("xen here", BAD, f"Xen, and {device} is not for this user", "run xm as root")
    else:
        yield Finding("xen here", OK, f"Xen, and {device} can be opened")


def _programs(session: Session) -> Iterator[Finding]:
    program = session.settings.ssh.split()[0] if session.settings.ssh.split() else "ssh"
    found = shutil.which(program)
    if found:
        yield Finding("ssh", OK, f"{found}, for xen+ssh:// connections")
    else:
        yield Finding("ssh", NOTE, f"there is no {program}", "install openssh-client to use xen+ssh://")
    try:
        import libvirt

        number = libvirt.getVersion()  # major * 1,000,000 + minor * 1,000 + release
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        yield Finding("libvirt", OK, f"the binding of libvirt {version} is there")
    except ImportError:
        yield Finding(
            "libvirt", NOTE, "no binding", "pip install 'xm-tmem[libvirt]' to have names from libvirt"
        )


def _terminal() -> Iterator[Finding]:
    encoding = (sys.stdout.encoding or "unknown") if sys.stdout is not None else "closed"
    advice = "" if encoding.lower().startswith("utf") else "names beyond ASCII are shown escaped"
    yield Finding("output", OK if not advice else NOTE, f"encoding {encoding}", advice)


def diagnose_connection(session: Session, connection: str) -> list[Finding]:
    """A connection, the host behind it, its tmem, and what it cannot be asked."""
    from xm_tmem.backends.diagnosis import examine

    try:
        backend = session.open(connection)
    except TmemError as error:
        return [Finding("connection", BAD, str(error), "", error.exit_status)]
    try:
        states = {True: OK, None: NOTE, False: BAD}
        return [
            Finding(f.check, states[f.works], f.finding, f.advice, f.exit_status) for f in examine(backend)
        ]
    finally:
        backend.close()

# SPDX-License-Identifier: GPL-2.0-only
"""A machine that boots Xen: QEMU without KVM, Linux as dom0, and what comes back over its two serial ports.

QEMU loads the hypervisor itself, as a multiboot kernel whose modules are dom0's kernel and initramfs. The first port is
the console of Xen and dom0; the second carries the suite's output between marker lines, the last with its exit status,
and files as a tar archive in base64.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

MEMORY_MB: Final = 1024
BEGIN: Final = "<<<xm-tmem: the suite begins>>>"
FILES: Final = "<<<xm-tmem: files>>>"
END: Final = "<<<xm-tmem: the suite ended with"  # then its exit status, and >>>
XEN_ARGUMENTS: Final = (
    "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0_mem=400M,max:640M no-bootscrub"
)
DOM0_ARGUMENTS: Final = (
    "console=hvc0 rdinit=/init quiet audit=0 swiotlb=1024 nokaslr mitigations=off cryptomgr.notests"
)
_LAST_LINES: Final = 40
_POLL_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 5.0
_END_LINE: Final = re.compile(re.escape(END) + r" (\d+)>>>")
_TROUBLES: Final = (  # what the console says, and what that is; the first that is found counts
    (re.compile(r"^.*(Panic on CPU|Xen BUG at|FATAL TRAP|FATAL PAGE FAULT|Xen panic).*$", re.M), "Xen panicked"),
    (re.compile(r"^.*(Kernel panic|BUG: unable to handle|Oops:).*$", re.M), "dom0's kernel crashed"),
    (re.compile(r"^.*(invalid compressed|Could not (?:set up|construct)|unsupported|not found).*DOM0.*$", re.M),
     "Xen could not start dom0"),
)  # fmt: skip


class Broken(Exception):
    """The run came to no end of its own; says how, and what was seen last."""


class Report(NamedTuple):
    """What a run brought back."""

    status: int  # of the suite
    output: str  # of the suite
    console: str
    files: dict[str, bytes]
    seconds: float


def command(
    qemu: str, xen: Path, xen_arguments: str, vmlinux: Path, initrd: Path, ports: tuple[Path, Path]
) -> list[str]:
    """QEMU's command line. Commas part modules and options, so that in values they are doubled."""
    for path in (vmlinux, initrd, *ports):
        if "," in str(path):
            raise Broken(f"QEMU cannot be told of a file with a comma in its name: {path}")
    kernel = f"{vmlinux} {DOM0_ARGUMENTS}".replace(",", ",,")
    line = [qemu, "-accel", "tcg,thread=multi", "-m", str(MEMORY_MB), "-smp", "1"]
    line += ["-nodefaults", "-display", "none", "-net", "none", "-no-reboot"]
    for number, port in enumerate(ports):
        line += ["-chardev", f"file,id=port{number},path={port}", "-serial", f"chardev:port{number}"]
    return [*line, "-kernel", str(xen), "-append", xen_arguments, "-initrd", f"{kernel},{initrd}"]


def run(
    line: list[str],
    ports: tuple[Path, Path],
    *,
    limit_seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run `line` until the suite has ended, and stop it. `tell` has the suite's lines as they come. Raises Broken."""
    start = time.monotonic()
    for port in ports:
        port.write_bytes(b"")
    trouble = ports[0].with_suffix(".qemu")
    with open(trouble, "wb") as errors:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    told = 0
    try:
        while True:
            running = process.poll() is None  # before the port is read: what was written last is seen
            output = _text(ports[1])
            told = _tell_lines(output, told, tell)
            if _END_LINE.search(output):
                break
            seconds = time.monotonic() - start
            if not running or seconds > limit_seconds:
                how = (
                    f"the machine ended after {seconds:.0f} s"
                    if not running
                    else f"no end after {limit_seconds:.0f} s"
                )
                raise Broken(_what_happened(how, _text(ports[0]), output, _text(trouble)))
            time.sleep(_POLL_SECONDS)
    finally:
        _stop(process)
    console = _text(ports[0])
    return _report(output, console, time.monotonic() - start)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


def _tell_lines(output: str, told: int, tell: Callable[[str], None]) -> int:
    """Tell the whole lines of the suite from position `told` on; the new position."""
    start = max(told, output.find(BEGIN) + len(BEGIN) + 1)
    end = output.find(FILES)
    end = output.rfind("\n") + 1 if end < 0 else end
    if BEGIN not in output or end <= start:
        return told
    tell(output[start:end])
    return end


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _report(output: str, console: str, seconds: float) -> Report:
    end = _END_LINE.search(output)
    assert end is not None
    body = output[: end.start()].partition(BEGIN + "\n")[2]
    text, _, encoded = body.partition(FILES + "\n")
    return Report(int(end[1]), text, console, _unpacked(encoded), seconds)


def _unpacked(encoded: str) -> dict[str, bytes]:
    """The files of a tar archive in base64. Raises Broken when it is damaged."""
    if not encoded.strip():
        return {}
    try:
        raw = base64.b64decode("".join(encoded.split()), validate=True)
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            contents = {member.name: archive.extractfile(member) for member in archive if member.isreg()}
            return {name: content.read() for name, content in contents.items() if content is not None}
    except (binascii.Error, tarfile.TarError, EOFError, OSError) as error:
        raise Broken(f"the files did not come back whole: {error}") from error


def _what_happened(how: str, console: str, output: str, errors: str) -> str:
    """The whole story for people: the verdict first, then what each port and QEMU said last."""
    verdict = next(
        (f"{what}: {match[0].strip()}" for pattern, what in _TROUBLES if (match := pattern.search(console))),
        None,
    )
    if verdict is None and not console.strip():
        verdict = "Xen said nothing at all"
    parts = [f"{how}; {verdict}" if verdict else f"{how}, and the console does not say why"]
    for title, text in (("QEMU", errors), ("console", console), ("suite", output)):
        lines = text.strip().split("\n")[-_LAST_LINES:]
        if any(lines):
            parts += [f"--- the end of the {title} ---", *lines]
    return "\n".join(parts)

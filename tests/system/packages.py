# SPDX-License-Identifier: GPL-2.0-only
"""Debian's packages of what a dom0 is made of, fetched once and opened beside the system, not installed.

What is wanted of each (a hypervisor, a kernel and four of its modules, busybox) goes into a cache directory:
$XDG_CACHE_HOME/xm-tmem/dom0, or that under ~/.cache. Remove it to have newer packages. QEMU itself is a program to be
run: it is installed when this is root and it is not there, which is said.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

QEMU: Final = "qemu-system-x86_64"
MODULES: Final = ("xen-privcmd", "xen-evtchn", "xenfs", "xen-gntdev")  # in the order they are loaded in
_XEN_PACKAGE: Final = "xen-hypervisor-4.17-amd64"
_KERNEL_PACKAGE: Final = "linux-image-amd64"  # empty itself: it depends on the one there is
_KERNEL_NAME: Final = re.compile(r"linux-image-[0-9][a-z0-9.+-]*-amd64")
_BUSYBOX_PACKAGE: Final = "busybox-static"
_FETCH_SECONDS: Final = 300
_ELF: Final = b"\x7fELF"
_GZIP: Final = b"\x1f\x8b"
_XZ: Final = b"\xfd7zXZ\0"


class NotHere(Exception):
    """Something that a test needs and this machine cannot have; says what."""


class Parts(NamedTuple):
    """Files that a dom0 boots from."""

    xen: Path  # Debian's, unpacked: a multiboot ELF
    vmlinux: Path
    busybox: Path
    modules: tuple[Path, ...]  # as MODULES, uncompressed


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Where packages are kept."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/", ".cache")
    return Path(base) / "xm-tmem" / "dom0"


def parts(cache: Path) -> Parts:
    """What a dom0 boots from, out of `cache`; fetched there if need be. Raises NotHere."""
    wanted = Parts(
        cache / "xen", cache / "vmlinux", cache / "busybox", tuple(cache / f"{name}.ko" for name in MODULES)
    )
    if all(path.is_file() for path in (wanted.xen, wanted.vmlinux, wanted.busybox, *wanted.modules)):
        return wanted
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        kernel = _kernel_package()
        say(f"fetching {_XEN_PACKAGE}, {kernel} and {_BUSYBOX_PACKAGE} into {cache}")
        archives = _download(Path(downloads), (_XEN_PACKAGE, kernel, _BUSYBOX_PACKAGE))
        found = {name: data for archive in archives for name, data in _files_of(archive, _is_wanted)}
    _write(wanted.xen, unpacked_hypervisor(_only(found, r"boot/xen-[0-9.]+-amd64\.gz")))
    _write(wanted.vmlinux, unpacked_kernel(_only(found, r"boot/vmlinuz-.*")))
    _write(wanted.busybox, _only(found, r"(usr/)?bin/busybox"))
    for name, path in zip(MODULES, wanted.modules, strict=True):
        module = _only(found, rf".*/{name}\.ko(\.xz)?")
        _write(path, lzma.decompress(module) if module.startswith(_XZ) else module)
    return wanted


def qemu() -> str:
    """Where QEMU is. Raises NotHere."""
    found = shutil.which(QEMU)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing qemu-system-x86 with apt-get, for want of " + QEMU)
        command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "qemu-system-x86"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)
        found = shutil.which(QEMU) if done.returncode == 0 else None
    if found is None:
        raise NotHere(f"there is no {QEMU} (Debian: qemu-system-x86)")
    return found


def hypervisor(image: Path) -> bytes:
    """A hypervisor's image as QEMU starts it, compressed or not. Raises NotHere for what is none."""
    try:
        return unpacked_hypervisor(image.read_bytes())
    except OSError as error:
        raise NotHere(f"no image of Xen: {error}") from error
    except ValueError as error:
        raise NotHere(f"{image}: {error}") from error


def unpacked_hypervisor(image: bytes) -> bytes:
    """The multiboot ELF in `image`, which may be gzip's. Raises ValueError."""
    if image.startswith(_GZIP):
        try:
            image = gzip.decompress(image)
        except (OSError, EOFError) as error:
            raise ValueError(f"a damaged gzip file ({error})") from error
    if not image.startswith(_ELF):
        raise ValueError("not an image of Xen as QEMU can start it: an ELF file, or one in gzip")
    return image


def unpacked_kernel(vmlinuz: bytes) -> bytes:
    """The ELF in a bzImage with xz, which starts faster than the whole. Raises NotHere."""
    start = vmlinuz.find(_XZ)
    while start >= 0:
        try:
            kernel = lzma.LZMADecompressor().decompress(vmlinuz[start:])
        except lzma.LZMAError:
            kernel = b""
        if kernel.startswith(_ELF):
            return kernel
        start = vmlinuz.find(_XZ, start + 1)
    raise NotHere("Debian's kernel is not compressed with xz")


def say(message: str) -> None:
    """Tell whoever runs the tests, past pytest's capture."""
    if sys.__stderr__ is not None:
        print(f"\ntest-xen: {message}", file=sys.__stderr__, flush=True)


def say_on(text: str) -> None:
    """Go on with lines that are told as they come."""
    if sys.__stderr__ is not None:
        print(text, end="", file=sys.__stderr__, flush=True)


def _kernel_package() -> str:
    """The kernel that Debian's meta package stands for at present. Raises NotHere."""
    for again in (False, True):
        text = _output(["apt-cache", "depends", "--important", _KERNEL_PACKAGE])
        match = _KERNEL_NAME.search(text.partition("Depends:")[2])
        if match:
            return match[0]
        if not again:
            _refresh()
    raise NotHere(f"apt-cache knows no {_KERNEL_PACKAGE}: packages come from Debian's archive for amd64")


def _download(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The packages `names` as files in `folder`. Raises NotHere."""
    for again in (False, True):
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *names]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotHere(f"packages cannot be fetched: {error}") from error
        if done.returncode == 0:
            return sorted(folder.glob("*.deb"))
        if not again:
            _refresh()
    raise NotHere(f"packages cannot be fetched: {done.stderr.strip()}")


def _refresh() -> None:
    """New lists of packages, if this may change them; the old ones may name versions that are gone."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("apt-get update, for newer lists of packages")
        subprocess.run(["apt-get", "update", "-qq"], check=False)


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError as error:
        raise NotHere(f"{command[0]} cannot be run: {error.strerror}") from error


def _is_wanted(name: str) -> bool:
    boot = name.startswith(("boot/xen-", "boot/vmlinuz-"))
    module = name.endswith((".ko", ".ko.xz")) and Path(name).name.partition(".")[0] in MODULES
    return boot or module or name.endswith("bin/busybox")


def _files_of(package: Path, wanted: Callable[[str], bool]) -> list[tuple[str, bytes]]:
    """The `wanted` regular files of a .deb."""
    unpacking = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE)
    assert unpacking.stdout is not None
    files: list[tuple[str, bytes]] = []
    with unpacking, tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isreg() and wanted(name):
                content = archive.extractfile(member)
                assert content is not None
                files.append((name, content.read()))
    return files


def _only(files: Mapping[str, bytes], pattern: str) -> bytes:
    """The file whose name is `pattern`, the last if there are several. Raises NotHere."""
    names = sorted(name for name in files if re.fullmatch(pattern, name))
    if not names:
        raise NotHere(f"Debian's packages hold no {pattern}")
    return files[names[-1]]


def _write(path: Path, data: bytes) -> None:
    """All of the file or nothing: another run may be looking."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)

# SPDX-License-Identifier: GPL-2.0-only
"""The file system that dom0 runs in: busybox, the Python that runs the tests, this project, and what both need.

The base (busybox, Python with its standard library and shared objects) does not change between runs and is kept in
the cache; the rest (kernel modules, project, pure-Python dependencies, the start script) follows it each time.
Compiled Python comes along where there is some: Linux keeps the times of files, by which it is known to be current.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tests.system import cpio
from tests.system.packages import MODULES, Parts

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = "usr/bin/python3"
PROJECT: Final = "project"  # in dom0: the checkout
SITE: Final = "site"  # in dom0: what the project and its tests depend on
_SOURCES: Final = ("xm_tmem", "hypervisor_model", "tests/system")
_DISTRIBUTIONS: Final = ("click", "mypy_extensions", "rich", "PyYAML", "pytest")
_BASE_VERSION: Final = 2  # of what `_base` puts in: one kept from another version is made anew
_LIBRARY: Final = re.compile(r"(?:=>\s|^\s)(/\S+)", re.MULTILINE)
# Parts of the standard library that are large and that nothing here imports, and where others' packages are.
_LEFT_OUT: Final = frozenset(
    [
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "test",
        "tkinter",
        "turtledemo",
        "lib-dynload",
        "site-packages",
        "dist-packages",
    ]
)
_EXTENSIONS_LEFT_OUT: Final = re.compile(
    r"(_tkinter|_ssl|_hashlib|_curses|_sqlite3|_dbm|_gdbm|_test|_xx|_ctypes_test|nis|readline|ossaudiodev|xx)"
)
_START: Final = """\
#!/bin/busybox sh
# The first process of dom0: devices, the modules that hypercalls need, the suite. Its output is the second port's.
export PATH=/bin:/usr/bin HOME=/root PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PYTHONPATH=/{project}:/{site}
/bin/busybox mkdir -p /proc /sys /dev /tmp /root /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in {modules}; do insmod /modules/$module.ko || echo "dom0: no module $module"; done
mount -t xenfs xenfs /proc/xen
# No xenstore runs here, and who asks the kernel's devices for it waits for ever.
rm -f /dev/xen/xenbus
mount --bind /dev/null /proc/xen/xenbus
stty -F /dev/ttyS1 raw -echo
cd /{project}
python3 -m tests.system.in_dom0 {boot} </dev/null >/dev/ttyS1 2>&1
echo "dom0: the suite ended with $?"
reboot -f
"""
_XM: Final = """\
#!/bin/busybox sh
exec python3 -m xm_tmem "$@"
"""


def write(out: Path, parts: Parts, cache: Path, *, boot: str) -> None:
    """The whole file system, for a kernel's initrd. `boot` is told to the suite (see in_dom0.py)."""
    base = cache / "base.cpio"
    stamp = cache / "base.stamp"
    wanted = f"{_BASE_VERSION} {sys.version} {sys.base_prefix}"
    if not base.is_file() or not stamp.is_file() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        with open(base, "wb") as file:
            cpio.write(file, _base(parts))
        stamp.write_text(wanted)
    with open(out, "wb") as file:
        file.write(base.read_bytes())
        cpio.write(file, _overlay(parts, boot))


def _base(parts: Parts) -> Iterator[cpio.Entry]:
    yield cpio.file("bin/busybox", parts.busybox.read_bytes(), executable=True)
    interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    yield cpio.file(PYTHON, interpreter.read_bytes(), executable=True)
    library = Path(sysconfig.get_path("stdlib"))
    inside = f"usr/lib/{library.name}"
    extensions = [
        path
        for path in sorted((library / "lib-dynload").glob("*.so"))
        if not _EXTENSIONS_LEFT_OUT.match(path.name)
    ]
    for path in extensions:
        yield cpio.file(f"{inside}/lib-dynload/{path.name}", path.read_bytes(), executable=True)
    yield from _tree(library, inside, leave_out=_LEFT_OUT)
    for path in shared_objects([interpreter, *extensions]):
        # The loader itself has to be where programs name it; all else is found in /lib.
        where = str(path).lstrip("/") if path.name.startswith("ld-linux") else f"lib/{path.name}"
        yield cpio.file(where, path.read_bytes(), executable=True)


def shared_objects(programs: Iterable[Path]) -> list[Path]:
    """What the dynamic loader loads for `programs`."""
    command = ["ldd", *map(str, programs)]
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False
    )
    return sorted({Path(name) for name in _LIBRARY.findall(done.stdout) if not name.endswith(":")})


def _overlay(parts: Parts, boot: str) -> Iterator[cpio.Entry]:
    start = _START.format(modules=" ".join(MODULES), project=PROJECT, site=SITE, boot=boot)
    yield cpio.file("init", start.encode(), executable=True)
    yield cpio.file("usr/bin/xm", _XM.encode(), executable=True)
    yield cpio.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    for name, module in zip(MODULES, parts.modules, strict=True):
        yield cpio.file(f"modules/{name}.ko", module.read_bytes())
    for name in ("setup.cfg", "tests/__init__.py"):
        yield cpio.file(f"{PROJECT}/{name}", (ROOT / name).read_bytes())
    for source in _SOURCES:
        yield from _tree(ROOT / source, f"{PROJECT}/{source}")
    yield from dependencies(_DISTRIBUTIONS)


def _tree(folder: Path, inside: str, leave_out: frozenset[str] = frozenset()) -> Iterator[cpio.Entry]:
    """The files under `folder` as they are, without extension modules and other Pythons' compiled files."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - leave_out)
        where = Path(inside, os.path.relpath(path, folder))
        for name in sorted(names):
            if _is_for_dom0(name):
                yield _copy(Path(path, name), str(where / name))


def _is_for_dom0(name: str) -> bool:
    if name.endswith(".pyc"):
        return f".{sys.implementation.cache_tag}" in name and ".opt-" not in name
    return not name.endswith((".so", ".a", ".o", ".exe"))


def _copy(path: Path, inside: str) -> cpio.Entry:
    return cpio.file(inside, path.read_bytes(), mtime=int(path.stat().st_mtime))


def dependencies(names: Iterable[str]) -> Iterator[cpio.Entry]:
    """The files of distributions and of what they depend on, without extension modules."""
    waiting, seen = list(names), set()
    while waiting:
        distribution = metadata.distribution(waiting.pop())
        if distribution.name in seen:
            continue
        seen.add(distribution.name)
        for path in distribution.files or ():
            real = Path(str(distribution.locate_file(path)))
            if ".." not in path.parts and _is_for_dom0(path.name) and real.is_file():
                yield _copy(real, f"{SITE}/{path}")
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)

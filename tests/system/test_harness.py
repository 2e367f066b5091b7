# SPDX-License-Identifier: GPL-2.0-only
"""The parts of the machine that need none: the archive, the command line, and what is made of a run's two ports."""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import re
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from tests.system import cpio, initramfs, machine, packages

PORT = """\
import sys
console, suite = (open(name, "w") for name in sys.argv[1:3])
console.write({console!r})
suite.write({suite!r})
"""


def entries(archive: bytes) -> list[tuple[str, int, bytes]]:
    """(name, mode, data) of each entry up to the trailer, read as the kernel's documentation says."""
    found: list[tuple[str, int, bytes]] = []
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + n * 8 : at + 14 + n * 8], 16) for n in range(13)]
        size, name_bytes = fields[6], fields[11]
        name = archive[at + 110 : at + 109 + name_bytes].decode()
        start = at + (110 + name_bytes + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, fields[1], archive[start : start + size]))
        at = start + (size + 3) // 4 * 4


def test_an_archive_has_every_entry_behind_its_directories() -> None:
    out = io.BytesIO()
    wanted = [cpio.file("a/b/c", b"12345", executable=True), cpio.file("a/d", b""), cpio.link("l", "a/d")]
    cpio.write(out, [*wanted, cpio.file("a/d", b"a second one")])
    assert entries(out.getvalue()) == [
        ("a", stat.S_IFDIR | 0o755, b""),
        ("a/b", stat.S_IFDIR | 0o755, b""),
        ("a/b/c", stat.S_IFREG | 0o755, b"12345"),
        ("a/d", stat.S_IFREG | 0o644, b""),
        ("l", stat.S_IFLNK | 0o777, b"a/d"),
    ]


def test_dependencies_come_with_what_they_need_and_without_compiled_code() -> None:
    names = {entry.name for entry in initramfs.dependencies(["rich", "PyYAML"])}
    assert {"site/rich/table.py", "site/markdown_it/__init__.py", "site/mdurl/__init__.py"} <= names
    assert "site/yaml/__init__.py" in names
    assert not any(name.endswith(".so") for name in names)


def test_the_shared_objects_of_python_are_found() -> None:
    found = [path.name for path in initramfs.shared_objects([Path(sys.executable).resolve()])]
    assert any(name.startswith("libc.so") for name in found)
    assert any(name.startswith("ld-linux") for name in found)


def test_commas_are_doubled_where_qemu_parts_words_by_them() -> None:
    line = machine.command(
        "qemu", Path("/x"), "dom0_mem=400M,max:640M", Path("/v"), Path("/i"), (Path("/c"), Path("/s"))
    )
    kernel, _, initrd = line[line.index("-initrd") + 1].rpartition(",")
    assert initrd == "/i"
    assert re.fullmatch(r"(?:[^,]|,,)*", kernel)
    assert line[line.index("-append") + 1] == "dom0_mem=400M,max:640M"
    with pytest.raises(machine.Broken, match="comma"):
        machine.command("qemu", Path("/x"), "", Path("/v"), Path("/a,b"), (Path("/c"), Path("/s")))


def ran(tmp_path: Path, console: str, suite: str, *, then: str = "", limit: float = 30) -> machine.Report:
    """What is made of a machine that leaves these texts on its ports."""
    ports = tmp_path / "console", tmp_path / "suite"
    program = PORT.format(console=console, suite=suite) + "console.close(); suite.close()\n" + then
    return machine.run([sys.executable, "-c", program, *map(str, ports)], ports, limit_seconds=limit)


def test_a_run_brings_back_status_output_and_files(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        member = tarfile.TarInfo("report/x")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    encoded = base64.encodebytes(raw.getvalue()).decode()
    suite = f"noise\n{machine.BEGIN}\r\n..F\r\n{machine.FILES}\n{encoded}{machine.END} 1>>>\n"
    report = ran(tmp_path, "boot\n", suite, then="import time; time.sleep(60)")  # it is not waited for
    assert (report.status, report.output, report.console) == (1, "..F\n", "boot\n")
    assert report.files == {"report/x": b"abc"}
    assert report.seconds < 30


def test_damaged_files_are_no_files(tmp_path: Path) -> None:
    suite = f"{machine.BEGIN}\n{machine.FILES}\nAAAA\n{machine.END} 0>>>\n"
    with pytest.raises(machine.Broken, match="did not come back whole"):
        ran(tmp_path, "", suite)


@pytest.mark.parametrize(
    ("console", "verdict"),
    [
        ("(XEN) Panic on CPU 0:\n(XEN) FATAL PAGE FAULT\n", "Xen panicked: (XEN) Panic on CPU 0:"),
        ("[    1.2] Kernel panic - not syncing: no init\n", "dom0's kernel crashed"),
        ("", "Xen said nothing at all"),
        ("(XEN) all is well\n", "the console does not say why"),
    ],
)
def test_a_machine_that_ends_early_is_reported_as_what_it_was(
    tmp_path: Path, console: str, verdict: str
) -> None:
    with pytest.raises(machine.Broken) as raised:
        ran(tmp_path, console, f"{machine.BEGIN}\nhalf a li")
    first, _, rest = str(raised.value).partition("\n")
    assert first.startswith("the machine ended after")
    assert verdict in first
    assert console.strip() in rest
    assert "half a li" in rest


def test_a_machine_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(machine.Broken, match="no end after 1 s"):
        ran(tmp_path, "(XEN) waiting\n", "", then="import time; time.sleep(60)", limit=1)


def test_an_image_of_xen_may_be_compressed(tmp_path: Path) -> None:
    elf = b"\x7fELF and more"
    image = tmp_path / "xen"
    for content in (elf, gzip.compress(elf)):
        image.write_bytes(content)
        assert packages.hypervisor(image) == elf
    for bad in (b"", b"MZ", gzip.compress(b"MZ"), gzip.compress(elf)[:-9]):
        image.write_bytes(bad)
        with pytest.raises(packages.NotHere):
            packages.hypervisor(image)
    with pytest.raises(packages.NotHere, match="no image of Xen"):
        packages.hypervisor(tmp_path / "none")


def test_the_kernel_is_found_behind_whatever_else_looks_like_it() -> None:
    elf = b"\x7fELF" + bytes(100)
    vmlinuz = b"boot" + lzma.compress(b"something else") + b"\xfd7zXZ\0 no" + lzma.compress(elf) + b"end"
    assert packages.unpacked_kernel(vmlinuz) == elf
    with pytest.raises(packages.NotHere):
        packages.unpacked_kernel(b"boot" + gzip.compress(elf))

# SPDX-License-Identifier: GPL-2.0-only
"""Boots Xen under QEMU and runs the suite of dom0/ there: `make test-xen [XEN=path/to/hypervisor]`.

Without XEN it is Debian's, which has no tmem. An image with tmem is booted twice, with tmem=1 and without. What dom0
printed is shown as it comes, and what it sent back is left in build/xen (docs/testing-on-xen.md).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system import initramfs, machine, packages

pytestmark = pytest.mark.xen

BOOTS = {"on": "tmem=1 tmem_compress=1", "off": ""}
LIMIT_SECONDS = float(os.environ.get("XEN_SECONDS") or 900)


@pytest.fixture(scope="session")
def parts() -> packages.Parts:
    """Debian's, with the hypervisor that XEN names in the place of theirs."""
    image = os.environ.get("XEN")
    try:
        found = packages.parts(packages.cache_directory())
        packages.qemu()
    except packages.NotHere as error:
        pytest.skip(str(error))
    if not image:
        return found
    unpacked = packages.cache_directory() / "chosen-xen"
    try:
        unpacked.write_bytes(packages.hypervisor(Path(image)))
    except packages.NotHere as error:
        pytest.fail(str(error), pytrace=False)
    return found._replace(xen=unpacked)


@pytest.mark.parametrize("boot", BOOTS)
def test_the_suite_passes_in_dom0(parts: packages.Parts, boot: str, tmp_path: Path) -> None:
    image = os.environ.get("XEN")
    if boot == "off" and not image:
        pytest.skip("Debian's Xen has no tmem to switch off")
    initrd = tmp_path / "initrd"
    initramfs.write(initrd, parts, packages.cache_directory(), boot=boot)
    kept = initramfs.ROOT / "build" / "xen" / boot
    kept.mkdir(parents=True, exist_ok=True)
    ports = kept / "console", kept / "suite"
    arguments = f"{machine.XEN_ARGUMENTS} {BOOTS[boot]}".rstrip()
    line = machine.command(packages.qemu(), parts.xen, arguments, parts.vmlinux, initrd, ports)
    packages.say(f"booting {image or 'Debian’s Xen'} with {BOOTS[boot] or 'tmem left off'}")
    try:
        report = machine.run(line, ports, limit_seconds=LIMIT_SECONDS, tell=packages.say_on)
    except machine.Broken as error:
        pytest.fail(str(error), pytrace=False)
    for name, content in report.files.items():
        (kept / Path(name).name).write_bytes(content)
    packages.say(f"dom0 was done after {report.seconds:.0f} s; console and reports are in {kept}")
    if report.status:
        pytest.fail(
            f"the suite failed in dom0 (exit status {report.status}):\n{report.output}", pytrace=False
        )

# SPDX-License-Identifier: GPL-2.0-only
"""What only a real dom0 can show: its devices, its users, its processes, and the agent that ssh would start there."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from hypervisor_model.public.xen import DOMID_SELF, PAGE_SIZE
from tests.system.dom0.control_domain import ON, ControlDomain
from tests.system.dom0.frames import machine_frame, read_frames
from tests.system.dom0.hypercalls import BUFFER, PRIVCMD, Memory
from xm_tmem.version import VERSION

NOBODY = 65534
XENBUS = "/dev/xen/xenbus"
_STAND_IN = """\
#!/bin/busybox sh
# Does what ssh would have done on the other side, on this one: the last word is the command.
for word; do :; done
exec sh -c "$word"
"""


def test_this_is_dom0() -> None:
    assert Path("/sys/hypervisor/type").read_text() == "xen\n"
    assert "control_d" in Path("/proc/xen/capabilities").read_text()
    assert Path(PRIVCMD).exists()
    assert Path(BUFFER).exists()


def test_a_machine_frame_is_that_of_the_page(dom0: ControlDomain) -> None:
    page, other = Memory(1), Memory(1)
    frame = machine_frame(dom0.calls, page)
    assert frame != machine_frame(dom0.calls, other)
    content = os.urandom(PAGE_SIZE)
    page.put(content)
    assert read_frames(dom0.calls, DOMID_SELF, frame, 1) == content


def test_this_host_is_found_without_a_connection(dom0: ControlDomain) -> None:
    ran = dom0.xm("info", "-o", "json", connect=None)
    assert ran.status == 0
    assert ran.json["connection"] == "xen:///"


def test_only_root_may_ask(dom0: ControlDomain) -> None:
    for connect in ("xen:///", None):
        ran = dom0.xm("tmem-list", connect=connect, user=NOBODY, HOME="/")
        assert (ran.status, ran.out) == (4, ""), ran.err
        assert "root" in ran.err


def test_the_program_from_a_shell(dom0: ControlDomain) -> None:
    line = "xm --version && xm tmem-list"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"xm {VERSION}\n")
    assert done.returncode == (0 if dom0.tmem() == ON else 5)


def test_the_agent_makes_the_same_hypercalls(dom0: ControlDomain, tmp_path: Path) -> None:
    stand_in = tmp_path / "ssh"
    stand_in.write_text(_STAND_IN)
    stand_in.chmod(0o755)
    here = dom0.xm("info", "-o", "json")
    there = dom0.xm("info", "-o", "json", connect="xen+ssh://dom0/", XM_SSH=str(stand_in), XM_TIMEOUT="60")
    assert there.status == here.status == 0, there.err
    for key in ("xen_version", "release", "tmem", "command_line", "can"):
        assert there.json[key] == here.json[key]
    assert there.json["transport"] == "ssh"
    assert there.json["kernel"] == os.uname().release
    done = dom0.xm("tmem-list", connect="xen+ssh://dom0/", XM_SSH=str(stand_in), XM_TIMEOUT="60")
    assert done.status == dom0.xm("tmem-list").status


def test_names_are_done_without_where_no_xenstore_runs(dom0: ControlDomain) -> None:
    """Nobody started one here, and the kernel's devices for it have been taken away (see initramfs.py)."""
    assert not Path(XENBUS).exists()
    (finding,) = [it for it in dom0.xm("doctor", "-o", "json").json["findings"] if it["check"] == "xen here"]
    assert finding["state"] == "ok"


def test_a_xenstore_that_does_not_answer_is_waited_for_only_so_long(dom0: ControlDomain) -> None:
    major, minor = (int(part) for part in Path("/sys/class/misc/xen!xenbus/dev").read_text().split(":"))
    os.mknod(XENBUS, stat.S_IFCHR | 0o600, os.makedev(major, minor))
    try:
        ran = dom0.xm("doctor", "-o", "json", user=0)
        assert ran.status == (0 if dom0.tmem() == ON else 5)
    finally:
        os.unlink(XENBUS)

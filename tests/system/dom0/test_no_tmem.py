# SPDX-License-Identifier: GPL-2.0-only
"""A host without tmem: switched off at boot, left out when Xen was built, or gone with Xen 4.13.

From 4.6 on, Xen's control calls work as if tmem were on when it is off: only the guests' hypercall tells.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypervisor_model.public import tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import CLI_ID_ALL, ENODEV, ENOSYS, HYPERCALL_TMEM_OP
from tests.system.dom0.control_domain import OFF, ControlDomain
from xm_tmem.backends.abi.releases import NONE, TMEMC
from xm_tmem.backends.interface import ClientInfo
from xm_tmem.ids import DomainId
from xm_tmem.streams.items import End, Head, StreamFormat
from xm_tmem.streams.reader import open_writer

UUID = "01234567-89ab-cdef-0123-456789abcdef"
VERBS = [
    "tmem-list",
    "tmem-list -l",
    "tmem-list 0",
    "tmem-list -o raw",
    "tmem-list -o prometheus",
    "tmem-freeable",
    "tmem-freeze 0",
    "tmem-freeze -a",
    "tmem-thaw 0",
    "tmem-thaw -a",
    "tmem-destroy 0",
    "tmem-set 0 -w 5",
    "tmem-set -a -p 1",
    "tmem-set-weight 0 5",
    "tmem-set-compress 0 on",
    "tmem-flush -a 4MiB",
    "tmem-reclaim 4MiB",
    f"tmem-shared-auth 0 -u {UUID} -A 1",
    "tmem-save 0 /tmp/xm-tmem-saved",
    "tmem-migrate 0 xen:/// --to 0",
    "-N tmem-freeze 0",
]


@pytest.fixture(autouse=True)
def nothing_is_saved() -> Iterator[None]:
    yield
    assert not Path("/tmp/xm-tmem-saved").exists()


def why(dom0: ControlDomain) -> str:
    """The sentence that each verb has to end with."""
    if dom0.release.abi == NONE:
        return f"xen:///: Xen {dom0.version} has no tmem; it was removed in Xen 4.13"
    if dom0.tmem() == OFF:
        return f"xen:///: tmem is off; boot Xen {dom0.version} with tmem=1 on its command line"
    return f"xen:///: this Xen {dom0.version} was built without tmem (CONFIG_TMEM)"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_why_not(without_tmem: ControlDomain, verb: str) -> None:
    ran = without_tmem.xm(*verb.split())
    assert ran.status == 5
    assert ran.out == ""
    first, _, rest = ran.err.partition("\n")
    assert first.startswith("xm: ")
    assert first.endswith(why(without_tmem))
    assert rest == ""


def test_a_restore_says_why_not_once_its_file_is_known_to_be_good(
    without_tmem: ControlDomain, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    writer = open_writer(stream, StreamFormat.CONTAINER)
    writer.write(Head(StreamFormat.CONTAINER, ClientInfo(weight=0, compress=True, frozen=False), None))
    writer.write(End(0))
    file = tmp_path / "saved"
    file.write_bytes(stream.getvalue())
    ran = without_tmem.xm("tmem-restore", file, 0)
    assert ran.status == 5
    assert why(without_tmem) in ran.err


def test_a_program_is_told_in_its_own_words(without_tmem: ControlDomain) -> None:
    ran = without_tmem.xm("tmem-freeze", "0", "-o", "json")
    error = json.loads(ran.err.split("\n")[1])["error"]
    assert error == {"kind": "TmemOff", "message": why(without_tmem), "exit_status": 5}


def test_domains_are_listed_all_the_same(without_tmem: ControlDomain, idle: DomainId) -> None:
    ran = without_tmem.xm("list", "-o", "json")
    assert ran.status == 0
    assert {0, idle} <= {row["id"] for row in ran.json["domains"]}


def test_a_cap_says_which_of_two_reasons(without_tmem: ControlDomain) -> None:
    """A release without caps has none whether tmem is on or not."""
    ran = without_tmem.xm("tmem-set-cap", "0", "5")
    assert ran.status == 5
    assert why(without_tmem) in ran.err or ("4.8" in ran.err and without_tmem.minor >= 8)


def test_xen_has_nothing_for_guests(without_tmem: ControlDomain) -> None:
    value = without_tmem.guest.new_pool()
    assert value == (-ENODEV if without_tmem.tmem() == OFF else -ENOSYS)


def test_control_calls_do_not_tell_that_it_is_off(without_tmem: ControlDomain) -> None:
    """Why an adapter must not take an answered LIST for tmem."""
    if without_tmem.release.abi == NONE:
        argument = bytes(tmem.TMEM_OP_BYTES)
        assert without_tmem.calls.call_many([Call(HYPERCALL_TMEM_OP, argument)]) == [-ENOSYS]
        return
    call = without_tmem.abi.list_text(CLI_ID_ALL, bytearray(1 << 16), use_long=True)
    (value,) = without_tmem.calls.call_many([call])
    if without_tmem.tmem() != OFF:
        assert value == -ENOSYS
    elif without_tmem.release.abi == TMEMC:
        assert value == -ENODEV
    else:
        assert value == 0
        assert call.buffer is not None
        assert call.buffer.startswith(b"G=")

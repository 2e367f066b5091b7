# SPDX-License-Identifier: GPL-2.0-only
"""A transport that answers from the transcript of an operator's session on a real Xen host.

The transcript is a script: `at(step)` puts the transport at one recorded call. A call is answered with the recording
at that step if it is the same, else with the nearest earlier recording of the same call, else a later one; what was
never recorded cannot be asked. The list of domains was not recorded: it is made from the story that the session tells.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hypervisor_model.public import sysctl, tmem, xen
from hypervisor_model.public.wire import Call
from xm_tmem.backends.abi.releases import RELEASES, Release
from xm_tmem.backends.transport import Transport

_LIST = 4
_LAST_POOL = 2  # of domain 1 in the session
_TWO_WORDS = struct.Struct("<II")


class Step(NamedTuple):
    """One recorded hypercall."""

    what: str
    hypercall: int
    arg: bytes
    handle_offset: int | None
    buffer_len: int
    buffer_in: bytes
    buffer_out: bytes
    ret: int
    errno: int

    @property
    def value(self) -> int:
        """As a transport returns it."""
        return -self.errno if self.ret < 0 else self.ret

    @property
    def text(self) -> bytes:
        """What LIST wrote."""
        return self.buffer_out.partition(b"\0")[0]


class Transcript(NamedTuple):
    """The session of one host."""

    name: str
    xen: str
    release: Release
    steps: tuple[Step, ...]


def load(path: Path) -> Transcript:
    """The transcript in `path`."""
    document = json.loads(path.read_text())
    steps = tuple(
        Step(
            call["what"],
            call["hypercall"],
            bytes.fromhex(call["arg"]),
            call["handle_offset"],
            call["buffer_len"],
            bytes.fromhex(call["buffer_in"] or ""),
            bytes.fromhex(call["buffer_out"] or ""),
            call["ret"],
            call["errno"],
        )
        for call in document["calls"]
    )
    release = RELEASES[".".join(document["xen"].split(".")[:2])]
    return Transcript(path.stem, document["xen"], release, steps)


def same_question(number: int, argument: bytes, *, any_form: bool = False) -> tuple[int, bytes]:
    """What two spellings of the same question have in common: all but padding, and the room that LIST is given.

    With `any_form` the short and the long LIST are the same too.
    """
    if number == xen.HYPERCALL_XEN_VERSION:
        return number, argument[:4]
    raw = bytearray(argument)
    command, length = (8, 16) if number == xen.HYPERCALL_TMEM_OP else (8, 20)
    control = number == xen.HYPERCALL_SYSCTL or raw[:4] == bytes(4)
    if control and int.from_bytes(raw[command : command + 4], "little") == _LIST:
        raw[length : length + (8 if any_form else 4)] = bytes(8 if any_form else 4)
    return number, bytes(raw).rstrip(b"\0")


class RecordedTransport(Transport):
    """Answers from `transcript`; `sent` is every call it was asked."""

    def __init__(self, transcript: Transcript) -> None:
        self._steps = transcript.steps
        self._release = transcript.release
        controls = [step for step in self._steps if step.hypercall != xen.HYPERCALL_XEN_VERSION]
        self._everything_fails = all(step.ret < 0 for step in controls)
        self._now = 0
        self.sent: list[Call] = []

    def at(self, step: int) -> None:
        self._now = step
        self.sent = []

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        return [self._call(call) for call in calls]

    def _call(self, call: Call) -> int:
        self.sent.append(call)
        if call.number == xen.HYPERCALL_SYSCTL and call.argument[0] == sysctl.XEN_SYSCTL_GETDOMAININFOLIST:
            return self._domain_list(call)
        order = [self._now, *range(self._now - 1, -1, -1), *range(self._now + 1, len(self._steps))]
        for index in order:
            step = self._steps[index]
            refused = step.ret < 0  # then the short and the long form are refused alike
            question = same_question(call.number, call.argument, any_form=refused)
            if same_question(step.hypercall, step.arg, any_form=refused) == question:
                if call.buffer is not None:
                    call.buffer[: len(step.buffer_out)] = step.buffer_out
                value: int = step.value
                return value
        return self._not_recorded(call)

    def _not_recorded(self, call: Call) -> int:
        """Two things that a session leaves out: the rest of a host without tmem, and absent pools."""
        if self._everything_fails:
            return -next(int(step.errno) for step in self._steps if step.hypercall == xen.HYPERCALL_TMEM_OP)
        command, pool = _command_and_pool(call)
        if command in (tmem.TMEMC_SAVE_GET_POOL_FLAGS, tmem.TMEMC_SAVE_GET_POOL_NPAGES):
            assert pool > _LAST_POOL
            return -xen.EPERM
        raise AssertionError(f"never recorded: hypercall {call.number} {call.argument.hex()}")

    def _domain_list(self, call: Call) -> int:
        first: int
        limit: int
        _, interface, first, limit, _, _ = sysctl.XEN_SYSCTL_DOMAINS.unpack_from(call.argument)
        if interface != self._release.sysctl_interface:
            return -xen.EACCES
        gone = any("domain 1 was destroyed" in step.what for step in self._steps[: self._now + 1])
        domains = [domid for domid in ((0,) if gone else (0, 1)) if domid >= first]
        raw = b"".join(domain_info(self._release, domid) for domid in domains[:limit])
        assert call.buffer is not None
        call.buffer[: len(raw)] = raw
        return 0


def _command_and_pool(call: Call) -> tuple[int, int]:
    """The command of a control call, and the pool it is about."""
    if call.number == xen.HYPERCALL_SYSCTL:
        command, pool = _TWO_WORDS.unpack_from(call.argument, 8)
    else:
        pool, command = _TWO_WORDS.unpack_from(call.argument, 4)
    return command, pool


def domain_info(release: Release, domid: int) -> bytes:
    """A struct xen_domctl_getdomaininfo of a running domain with one virtual CPU and 1000 pages."""
    raw = bytearray(release.domain_info_bytes)
    raw[0:2] = domid.to_bytes(2, "little")
    raw[4:8] = sysctl.XEN_DOMINF_RUNNING.to_bytes(4, "little")
    raw[8:16] = raw[16:24] = (1000).to_bytes(8, "little")
    raw[release.vcpus_offset] = 1
    raw[release.vcpus_offset + 12] = domid
    return bytes(raw)

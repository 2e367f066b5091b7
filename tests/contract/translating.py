# SPDX-License-Identifier: GPL-2.0-only
"""A host of any release from 4.0 to 4.12, played by a model of 4.3 (up to 4.7) or 4.12 (from 4.8).

The transport undoes what a release spells differently, hands the call to the model, and spells the answer as that
release does. What makes a real host of the release panic fails the test. What is played: the version, the sysctl
interface version, the struct of the domain list, which hypercall carries the control commands, which commands there
are, the `T` line, the version byte of pool flags, and the errnos that tell whether tmem is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import sysctl, tmem, xen
from hypervisor_model.public.wire import Call
from xm_tmem.backends.abi.releases import CLIENT_INFO, RELEASES, SYSCTL, TMEMC
from xm_tmem.backends.transport import Transport
from xm_tmem.backends.transport.inprocess import InProcessTransport

_PANICS_4_0 = (
    tmem.TMEMC_SAVE_GET_CLIENT_WEIGHT,
    tmem.TMEMC_SAVE_GET_CLIENT_CAP,
    tmem.TMEMC_SAVE_GET_CLIENT_FLAGS,
    tmem.TMEMC_SAVE_GET_POOL_UUID,
)
_SYSCTL_HEAD = sysctl.XEN_SYSCTL_TMEM
_PLAYED_INFO_BYTES = 96  # of 4.3; 4.12 has 8 more at the end


def model_release(name: str) -> str:
    """The modelled release that plays `name`."""
    return "4.12" if RELEASES[name].abi == CLIENT_INFO else "4.3"


class TranslatingTransport(Transport):
    """Plays a host of the release `name` with `hypervisor`, a model of `model_release(name)`."""

    def __init__(self, name: str, hypervisor: Hypervisor, *, off: bool = False) -> None:
        self._release = RELEASES[name]
        self._model = RELEASES[model_release(name)]
        self._through = InProcessTransport(hypervisor)
        self._off = off  # booted without tmem=1
        self.sent: list[Call] = []

    def call_many(self, calls: Sequence[Call]) -> list[int]:
        return [self._call(call) for call in calls]

    def _call(self, call: Call) -> int:
        self.sent.append(call)
        if call.number == xen.HYPERCALL_XEN_VERSION:
            return self._version(call)
        if call.number == xen.HYPERCALL_TMEM_OP:
            return self._tmem_op(call)
        assert call.number == xen.HYPERCALL_SYSCTL
        return self._sysctl(call)

    def _pass(self, call: Call, argument: bytes | None = None, number: int | None = None) -> int:
        """The model's answer to `call`, with another argument or number."""
        argument = call.argument if argument is None else argument
        offset = call.handle_offset
        if number is not None and offset is not None:
            offset = tmem.TMEM_OP_CTRL_BUF_OFFSET
        return self._through.call_many([Call(number or call.number, argument, offset, call.buffer)])[0]

    def _version(self, call: Call) -> int:
        command = int.from_bytes(call.argument[:4], "little")
        if command == xen.XENVER_VERSION:
            major, _, minor = self._release.name.partition(".")
            return int(major) << 16 | int(minor)
        return self._pass(call)

    def _tmem_op(self, call: Call) -> int:
        if self._off:
            return -xen.ENODEV
        command = int.from_bytes(call.argument[:4], "little")
        if command in (tmem.TMEM_AUTH, tmem.TMEM_RESTORE_NEW):
            return self._creat(call, command)
        assert command == tmem.TMEM_CONTROL, "the control plane makes no guest calls"
        if self._release.abi != TMEMC:
            return -xen.EOPNOTSUPP
        _, pool, subop, client, _, use_long, _, _ = tmem.TMEM_OP_CTRL.unpack_from(call.argument)
        del pool, use_long
        assert not (self._release.name == "4.0" and subop in _PANICS_4_0), "the host panicked"
        assert not (self._release.name == "4.5" and subop == tmem.TMEMC_LIST and client == xen.CLI_ID_ALL), (
            "panic"
        )
        value = self._pass(call)
        return self._spelt(call, subop, value)

    def _spelt(self, call: Call, command: int, value: int) -> int:
        """The model's answer in the words of the release."""
        if (
            command == tmem.TMEMC_LIST
            and self._model.name == "4.3"
            and self._release.name not in ("4.0", "4.1", "4.2")
        ):
            self._cut_cycles(call)
        if command == tmem.TMEMC_SAVE_GET_POOL_FLAGS and self._release.name == "4.0" and value >= 0:
            return value & ~(tmem.TMEM_POOL_VERSION_MASK << tmem.TMEM_POOL_VERSION_SHIFT)
        return value

    def _cut_cycles(self, call: Call) -> None:
        """From 4.4 on, `T=...` is a bare `T`."""
        if self._release.name == "4.3" or call.buffer is None:
            return
        text = bytes(call.buffer).partition(b"\0")[0]
        head, mark, _ = text.rpartition(b"\nT=")
        if mark:
            call.buffer[:] = (head + b"\nT\n").ljust(len(call.buffer), b"\0")

    def _creat(self, call: Call, command: int) -> int:
        """TMEM_AUTH and TMEM_RESTORE_NEW: there up to 4.8."""
        if self._release.pools_by_sysctl:
            return -xen.EOPNOTSUPP
        if self._model.name == "4.3":
            return self._pass(call)
        _, pool, lo, hi, flags, client = tmem.TMEM_OP_CREAT.unpack_from(call.argument)
        if command == tmem.TMEM_AUTH:
            version = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT
            info = sysctl.TMEM_POOL_INFO.pack(
                version | (sysctl.TMEM_POOL_FLAG_AUTH if flags else 0), 0, 0, lo, hi
            )
            wanted = sysctl.TMEM_OP_SET_AUTH
        else:
            info = sysctl.TMEM_POOL_INFO.pack(flags, pool, 0, lo, hi)
            wanted = sysctl.TMEM_OP_SET_POOLS
        if client == xen.CLI_ID_ALL:
            return 1  # 4.8 could still switch them all
        head = _SYSCTL_HEAD.pack(
            sysctl.XEN_SYSCTL_TMEM_OP,
            self._model.sysctl_interface,
            wanted,
            0,
            client,
            len(info),
            0,
            0,
            bytes(24),
            0,
        )
        argument = head.ljust(sysctl.XEN_SYSCTL_BYTES, b"\0")
        inner = Call(xen.HYPERCALL_SYSCTL, argument, sysctl.XEN_SYSCTL_TMEM_BUF_OFFSET, bytearray(info))
        return self._through.call_many([inner])[0]

    def _sysctl(self, call: Call) -> int:
        command, interface = sysctl.XEN_SYSCTL_HEADER.unpack_from(call.argument)
        if interface != self._release.sysctl_interface:
            return -xen.EACCES
        if command == sysctl.XEN_SYSCTL_GETDOMAININFOLIST:
            return self._domain_list(call)
        assert command == sysctl.XEN_SYSCTL_TMEM_OP
        if self._release.abi == TMEMC:
            return -xen.ENOSYS
        _, _, subop, pool, client, first, second, pad, oid, _ = _SYSCTL_HEAD.unpack_from(call.argument)
        if pad:
            return -xen.EINVAL
        if self._release.abi == SYSCTL:
            control = tmem.TMEM_OP_CTRL.pack(tmem.TMEM_CONTROL, pool, subop, client, first, second, oid, 0)
            return self._spelt(call, subop, self._pass(call, control, xen.HYPERCALL_TMEM_OP))
        if not self._release.pools_by_sysctl and subop in (sysctl.TMEM_OP_SET_POOLS, sysctl.TMEM_OP_SET_AUTH):
            return -xen.EPERM
        return self._pass(call, self._with_interface(call.argument))

    def _with_interface(self, argument: bytes) -> bytes:
        return argument[:4] + self._model.sysctl_interface.to_bytes(4, "little") + argument[8:]

    def _domain_list(self, call: Call) -> int:
        """The model's structs, cut or stretched to those of the release."""
        assert call.buffer is not None
        _, _, first, limit, _, _ = sysctl.XEN_SYSCTL_DOMAINS.unpack_from(call.argument)
        played = Call(
            call.number,
            self._with_interface(call.argument),
            call.handle_offset,
            bytearray(limit * self._model.domain_info_bytes),
        )
        value = self._through.call_many([played])[0]
        assert played.buffer is not None
        assert first >= 0
        size, wanted = self._model.domain_info_bytes, self._release.domain_info_bytes
        for n in range(limit):
            raw = bytes(played.buffer[n * size : (n + 1) * size])
            if any(raw):
                call.buffer[n * wanted : (n + 1) * wanted] = self._domain_info(raw)
        return value

    def _domain_info(self, raw: bytes) -> bytes:
        head, tail = (
            raw[:24],
            raw[self._model.vcpus_offset : _PLAYED_INFO_BYTES],
        )  # the tail ends with cpupool
        middle = bytes(self._release.vcpus_offset - len(head))
        return (head + middle + tail)[: self._release.domain_info_bytes].ljust(
            self._release.domain_info_bytes, b"\0"
        )

# SPDX-License-Identifier: GPL-2.0-only
"""Dom0's side of the scenarios: TMEM_CONTROL of 4.3 through the binary hypercall, as a toolstack sends it."""

import re
from typing import Final

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.tmem import (
    TMEM_CONTROL,
    TMEM_HANDLE,
    TMEM_OP_CTRL,
    TMEMC_FLUSH,
    TMEMC_FREEZE,
    TMEMC_QUERY_FREEABLE_MB,
    TMEMC_SET_CAP,
    TMEMC_THAW,
    oid_from_bytes,
    oid_to_bytes,
)
from hypervisor_model.public.xen import CLI_ID_ALL, HYPERCALL_TMEM_OP, PAGE_SIZE

_BUFFER: Final = 0x10000
_MORE_THAN_A_PAGE: Final = PAGE_SIZE + TMEM_HANDLE.size


class Operator:
    """Makes domain 0, and its control operations on a host of release 4.3."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        hypervisor.create_domain(0, name="Domain-0")

    def control(
        self,
        subop: int,
        cli_id: int = CLI_ID_ALL,
        arg1: int = 0,
        arg2: int = 0,
        *,
        pool_id: int = 0,
        oid: int = 0,
        buffer: bytearray | None = None,
    ) -> int:
        """One TMEM_CONTROL; its answer."""
        address = 0 if buffer is None else _BUFFER
        argument = TMEM_OP_CTRL.pack(
            TMEM_CONTROL, pool_id, subop, cli_id, arg1, arg2, oid_to_bytes(oid), address
        )
        memory = {} if buffer is None else {_BUFFER: buffer}
        return self._hypervisor.hypercall(0, HYPERCALL_TMEM_OP, argument, memory)

    def freeze(self, cli_id: int = CLI_ID_ALL) -> int:
        return self.control(TMEMC_FREEZE, cli_id)

    def thaw(self, cli_id: int = CLI_ID_ALL) -> int:
        return self.control(TMEMC_THAW, cli_id)

    def freeable_mb(self) -> int:
        return self.control(TMEMC_QUERY_FREEABLE_MB)

    def flush_kb(self, size_kb: int) -> int:
        return self.control(TMEMC_FLUSH, CLI_ID_ALL, size_kb)

    def set_cap(self, cli_id: int, cap: int) -> int:
        return self.control(TMEMC_SET_CAP, cli_id, cap)

    def page_with_handle(self, subop: int, cli_id: int, pool_id: int = 0) -> tuple[int, int, int, bytes]:
        """A SAVE_GET_NEXT_* call: its answer, and the oid, the index and the page that came with it."""
        buffer = bytearray(_MORE_THAN_A_PAGE)
        status = self.control(subop, cli_id, len(buffer), pool_id=pool_id, buffer=buffer)
        _, index, oid = TMEM_HANDLE.unpack_from(buffer)
        return status, oid_from_bytes(oid), index, bytes(buffer[TMEM_HANDLE.size :])

    def counters(self, line: str) -> dict[str, int]:
        """The numbers of the first line of the long listing that begins so, by tag: "G=", "C=CI:1,"."""
        for text in self._hypervisor.list_text(use_long=True).splitlines():
            if text.startswith(line):
                return {tag: int(number) for tag, number in re.findall(r"(\w\w):(-?\d+)(?![\w])", text)}
        return {}

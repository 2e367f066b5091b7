# SPDX-License-Identifier: GPL-2.0-only
"""Replays a trace on the model, through the binary hypercall interface, and compares every result."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import sysctl, tmem, xen
from tests.conformance.calls import BUFFER_ADDRESS, HYPERCALLS, Saved, call_of
from tests.conformance.difference import Divergence
from tests.conformance.pages import page_from_spec
from tests.conformance.trace import Header, Operation, Trace, TraceError, results_of

OPERATIONS_SHOWN: Final = 20
NO_DOMAIN: Final = (-1, -1, -1)  # what `stat` records of a domain that has gone

Results = dict[str, Any]


def boot(header: Header) -> Hypervisor:
    """The host that a trace was recorded on. Raises TraceError if the model has none like it."""
    try:
        return Hypervisor(release=header.profile, frames=header.host_pages, command_line=header.command_line)
    except ValueError as error:
        raise TraceError(str(error)) from None


class Replayer:
    """Performs a trace's operations on a host."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        self._interface_version = hypervisor.release.sysctl_interface_version
        self._saved: Saved | None = None
        self._others: dict[str, Callable[[Operation], Results]] = {
            "dom_create": self._create_domain,
            "dom_destroy": lambda op: {"ret": self.hypervisor.destroy_domain(op["d"])},
            "dom_setmax": self._set_max_pages,
            "host_alloc": lambda op: {"ret": self.hypervisor.alloc_host_pages(op["n"], op.get("order", 0))},
            "host_free": lambda op: {"ret": self.hypervisor.free_host_pages(op["n"])},
            "key_freeze": self._toggle_freeze_key,
            "stat": self._stat,
        }

    def perform(self, operation: Operation) -> Results:
        """Do `operation` and return what a recording would say of it."""
        name = operation["op"]
        if name in HYPERCALLS:
            return self._hypercall(operation)
        if name not in self._others:
            raise TraceError(f"no such operation: {name!r}")
        return self._others[name](operation)

    def _hypercall(self, operation: Operation) -> Results:
        gfn = operation.get("gfn")
        guest = None if gfn is None else self.hypervisor.domain(operation["d"])
        if (
            guest is not None
            and "page" in operation
            and guest.memory.read_frame(operation["gfn"]) is not None
        ):
            guest.memory.write_frame(operation["gfn"], page_from_spec(operation["page"]))
        call = call_of(operation, self._interface_version, self._saved)
        memory = {} if call.buffer is None else {BUFFER_ADDRESS: call.buffer}
        results: Results = {"ret": self.hypervisor.hypercall(call.domid, call.number, call.argument, memory)}
        if guest is not None and operation["op"] in ("get", "read"):
            frame = guest.memory.read_frame(operation["gfn"])
            if frame is not None:
                results["crc"] = zlib.crc32(frame)
        if call.buffer is not None:
            results |= self._returned(operation, results["ret"], call.buffer)
        return results

    def _returned(self, operation: Operation, ret: int, buffer: bytearray) -> Results:
        """What a control operation left in its buffer."""
        subop = operation["subop"]
        by_client_info = operation["op"] == "sysctl"
        if subop == tmem.TMEMC_LIST and ret == 0:
            return {"out": buffer.partition(b"\0")[0].decode("latin-1")}
        if subop == tmem.TMEMC_SAVE_GET_NEXT_PAGE and ret == 1:
            pool_id, index, oid = tmem.TMEM_HANDLE.unpack_from(buffer)
            start = tmem.TMEM_HANDLE.size
            page = bytes(buffer[start : start + xen.PAGE_SIZE])
            self._saved = Saved(pool_id, index, list(tmem.oid_to_words(tmem.oid_from_bytes(oid))), page)
            return {"handle": [pool_id, index, self._saved.oid], "crc": zlib.crc32(page)}
        if subop == tmem.TMEMC_SAVE_GET_NEXT_INV and ret == 1:
            pool_id, index, oid = tmem.TMEM_HANDLE.unpack_from(buffer)
            return {"handle": [pool_id, index, list(tmem.oid_to_words(tmem.oid_from_bytes(oid)))]}
        if by_client_info and subop == sysctl.TMEM_OP_GET_CLIENT_INFO and ret == 0:
            return {"rinfo": list(sysctl.TMEM_CLIENT.unpack_from(buffer))}
        if by_client_info and subop == sysctl.TMEM_OP_GET_POOLS and ret >= 0:
            return {"rpools": _pools(buffer, ret)}
        if by_client_info and subop == sysctl.TMEM_OP_SET_POOLS:
            return {"rpools": _pools(buffer, len(operation.get("pools", ())))}
        if not by_client_info and subop == tmem.TMEMC_SAVE_GET_POOL_UUID and ret == 0:
            return {"ruuid": [int.from_bytes(buffer[at : at + 8], "little") for at in (0, 8)]}
        return {}

    def _create_domain(self, operation: Operation) -> Results:
        self.hypervisor.create_domain(
            operation["d"],
            max_pages=operation["max_pages"],
            tot_pages=operation["tot_pages"],
            gfns=operation["gfns"],
            read_only=operation["ro"],
            unmapped=operation["unmapped"],
            privileged=operation["priv"],
        )
        return {"ret": 0}

    def _set_max_pages(self, operation: Operation) -> Results:
        self.hypervisor.set_max_pages(operation["d"], operation["max_pages"])
        return {"ret": 0}

    def _toggle_freeze_key(self, operation: Operation) -> Results:
        self.hypervisor.toggle_freeze_key()
        return {"ret": 0}

    def _stat(self, operation: Operation) -> Results:
        found: dict[str, Any] = self.hypervisor.stat(operation["of"])
        doms = {str(domid): list(found["doms"].get(domid, NO_DOMAIN)) for domid in operation["of"]}
        return {**found, "mempool": list(found["mempool"]), "doms": doms}


@dataclass
class Outcome:
    """How the replay of one file went."""

    name: str
    operations: int = 0
    divergences: list[Divergence] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}: {self.operations} operations, {len(self.divergences)} divergences"


def replay(path: Path, *, keep_going: int = 1) -> Outcome:
    """Replay the trace in a file up to its divergence number `keep_going`. Raises TraceError for a damaged file."""
    trace = Trace(path)
    return compare(path.name, Replayer(boot(trace.header)), trace, keep_going=keep_going)


def compare(
    name: str, replayer: Replayer, operations: Iterable[Operation], *, keep_going: int = 1
) -> Outcome:
    """Perform `operations` and compare with what they record. An exception in the model is a divergence too."""
    outcome = Outcome(name)
    before: deque[Operation] = deque(maxlen=OPERATIONS_SHOWN)
    for number, operation in enumerate(operations, 1):
        try:
            got = replayer.perform(operation)
        except TraceError as error:
            raise TraceError(f"{name}, operation {number}: {error}") from None
        except Exception as error:
            got = {"raised": f"{type(error).__name__}: {error}"}
        outcome.operations = number
        if got != results_of(operation):
            outcome.divergences.append(Divergence(number, operation, got, tuple(before)))
            if len(outcome.divergences) >= keep_going:
                break
        before.append(operation)
    return outcome


def _pools(buffer: bytearray, count: int) -> list[list[int]]:
    """Entries of xen_tmem_pool_info."""
    size = sysctl.TMEM_POOL_INFO.size
    return [list(sysctl.TMEM_POOL_INFO.unpack_from(buffer, size * number)) for number in range(count)]

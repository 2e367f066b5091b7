# SPDX-License-Identifier: GPL-2.0-only
"""Replays a real guest's hypercalls as domain 0 of a model of the recorded release.

What the guest's pages held is not recorded, only which were equal. The model is given a token for each content, and
shares it as it would share the page.

Where the host had memory to spare, each answer must be the recorded one, and so must the counters of each listing.
Where it had not, which pages went depends on how much memory there was, and what else lived in it. Then the replay
either *follows* the recording (`guest_pressure`: pages are pushed out, oldest first, when the recording shows that
they had gone), or stands on a host of a given size and counts what disagrees (`guest_fit`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hypervisor_model.host.compress import SizeModel
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import tmem, xen
from tests.conformance.difference import counters
from tests.conformance.guest_pressure import Pressure
from tests.conformance.guest_trace import GET, NEW_POOL, OPERATIONS, PUT, ZERO_PAGE, GuestTrace, Snapshot
from tests.conformance.replay import Replayer
from tests.conformance.trace import TraceError

# struct tmem_op with the oid's words apart; the bytes of pool, oid and index are a page's key.
_OP: Final = struct.Struct("<IiQQQIIIIQ")
_KEY: Final = slice(4, 36)
_FIELDS: Final = ("ret", "op", "pool", "flags", "index", "content", "oid0", "oid1", "oid2")
_FROM_GFN: Final = 0
_TO_GFN: Final = 1

# Tags of a listing's lines that must agree: always, and as long as nothing was evicted or refused.
_ALWAYS: Final = {"G": ("Tt", "Te"), "P": ("ps", "pt", "gs", "gt", "ft", "ot")}
_SPARED: Final = {
    "G": ("Ec", "Em", "Oc", "Om", "Nc", "Nm", "Pc", "Pm", "Sc", "Sm", "Gd"),
    "P": ("Pc", "Pm", "Oc", "Om", "Nc", "Nm", "fs", "os"),
}

Record = tuple[int, ...]


@dataclass
class GuestOutcome:
    """How the replay of one run went."""

    name: str
    records: int = 0
    snapshots: int = 0
    gets: int = 0
    ephemeral_gets: int = 0
    wrong_ephemeral_gets: int = 0
    lost: int = 0  # answers that the recording has and the model had not: too little memory
    kept: int = 0  # the other way round: too much
    evicted: int = 0
    followed: str = ""
    divergences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.records} records, {self.snapshots} snapshots, {self.gets} gets{self.followed}"
        return f"{self.name}: {counts}, {len(self.divergences)} divergences"


class GuestReplay:
    """One replay of a run; `frames` None: with memory to spare, following the recording."""

    def __init__(self, trace: GuestTrace, frames: int | None = None) -> None:
        self.trace = trace
        self.outcome = GuestOutcome(trace.name)
        try:
            self.hypervisor = Hypervisor(
                release=trace.release,
                frames=trace.machine_pages + trace.records if frames is None else frames,
                command_line=trace.command_line,
                contents="tokens",
            )
        except ValueError as error:
            raise TraceError(f"{trace.path}: {error}") from None
        self._guest = self.hypervisor.create_domain(0, gfns=2)
        self._control = Replayer(self.hypervisor)
        self._pressure = Pressure(self._control) if frames is None and trace.short_of_memory else None
        self._latest: dict[bytes, bytes] = {}  # token by key
        self._persistent: set[int] = set()  # pools
        self._snapshots = list(reversed(trace.snapshots))
        # By pool: puts still to fail before the next snapshot, see _look_ahead.
        self._unstorable: dict[int, int] = {}
        self._refused = 0  # puts, for want of memory

    def run(self, *, keep_going: int = 1, most_wrong: int | None = None) -> GuestOutcome:
        """Replay up to divergence number `keep_going`, or until errors of one kind lead by `most_wrong`."""
        outcome = self.outcome
        self._look_ahead()
        for columns in self.trace.columns(*_FIELDS):
            start, count = 0, len(columns[0])
            while start < count:
                stop = count
                if self._snapshots:
                    stop = min(stop, start + self._snapshots[-1].after_records - outcome.records)
                self._perform(zip(*(column[start:stop] for column in columns), strict=True))
                start = stop
                while self._snapshots and self._snapshots[-1].after_records <= outcome.records:
                    self._compare(self._snapshots.pop())
                    self._look_ahead()
                if most_wrong is None and len(outcome.divergences) >= keep_going:
                    del outcome.divergences[keep_going:]
                    return outcome
            if most_wrong is not None and abs(outcome.lost - outcome.kept) > most_wrong:
                break
        if self._pressure is not None:
            outcome.followed = (
                f", {self._pressure.evictions} evictions and {self._pressure.refusals} refusals followed"
            )
        outcome.evicted = int(counters(self._listing())["G", "Et"])
        return outcome

    def _perform(self, records: Iterable[Record]) -> None:
        outcome, pressure, latest = self.outcome, self._pressure, self._latest
        call, memory = self.hypervisor.hypercall, self._guest.memory
        for ret, op, pool, flags, index, content, oid0, oid1, oid2 in records:
            outcome.records += 1
            if op == NEW_POOL:
                argument = tmem.TMEM_OP_CREAT.pack(op, 0, oid0, oid1, index, 0).ljust(_OP.size, b"\0")
            else:
                gfn = _TO_GFN if op == GET else _FROM_GFN
                argument = _OP.pack(op, pool, oid0, oid1, oid2, index, 0, 0, 0, gfn)
            key = argument[_KEY]
            unstorable = op == PUT and ret == -xen.ENOMEM and self._unstorable.get(pool, 0) > 0
            if op == PUT:
                latest[key] = token = _unstorable_token(content) if unstorable else _token(content, flags)
                memory.store(_FROM_GFN, token)
                if unstorable:
                    self._unstorable[pool] -= 1
                elif ret < 0:
                    self._refused += 1
            if pressure is not None and not unstorable:
                pressure.follow(op, pool, key, index, ret)
            got = call(0, xen.HYPERCALL_TMEM_OP, argument)
            if op == GET:
                outcome.gets += 1
                outcome.ephemeral_gets += pool not in self._persistent
                if got == 1 and memory.read_frame(_TO_GFN) != latest.get(key):
                    outcome.divergences.append(
                        f"  record {outcome.records}: get found another page's contents"
                    )
            if got != ret:
                self._disagree(op, pool, ret, got)
            if op == NEW_POOL and index & tmem.TMEM_POOL_PERSIST:
                self._persistent.add(got)

    def _disagree(self, op: int, pool: int, expected: int, got: int) -> None:
        outcome = self.outcome
        outcome.wrong_ephemeral_gets += op == GET and pool not in self._persistent
        if got < expected:
            outcome.lost += 1
        else:
            outcome.kept += 1
        outcome.divergences.append(
            f"  record {outcome.records}: {OPERATIONS.get(op, op)}: expected {expected}, got {got}"
        )

    def _compare(self, snapshot: Snapshot) -> None:
        """Compare a listing's counters as far as the recording determines them."""
        outcome = self.outcome
        outcome.snapshots += 1
        expected, got = counters(snapshot.listing), counters(self._listing())
        if self._pressure is not None:
            got["G", "Tt"] = str(int(got["G", "Tt"]) - self._pressure.operations_counted)
        spared = expected["G", "Et"] == "0" and not self._refused
        for line, tag in expected:
            wanted = tag in _ALWAYS.get(line[0], ()) or (spared and tag in _SPARED.get(line[0], ()))
            if wanted and got.get((line, tag)) != expected[line, tag]:
                outcome.divergences.append(
                    f"  snapshot {snapshot.tag!r} after {snapshot.after_records} records: {line} {tag}: "
                    f"expected {expected[line, tag]}, got {got.get((line, tag), 'none')}"
                )

    def _look_ahead(self) -> None:
        """How many puts fail before the next snapshot because no block of tmem's allocator fits their size.

        QUIRK xmalloc_tlsf: compressed sizes of 4033 to 4063 bytes. Xen counts those in px; a 4.12 that is short of
        memory refuses a put before it is counted.
        """
        if self._snapshots and self.trace.compresses and self.hypervisor.release.client_info_abi:
            expected, got = counters(self._snapshots[-1].listing), counters(self._listing())
            self._unstorable = {
                int(line.rpartition("PI:")[2]): int(value) - int(got.get((line, tag), "0"))
                for (line, tag), value in expected.items()
                if tag == "px" and line.startswith("P ")
            }

    def _listing(self) -> str:
        """LIST, all clients, long; on 4.3 it counts as an operation, as it did in the recording."""
        name, length, use_long = (
            ("sysctl", "len", "arg") if self.hypervisor.release.client_info_abi else ("ctl", "arg1", "arg2")
        )
        operation = {
            "op": name,
            "d": 0,
            "subop": tmem.TMEMC_LIST,
            "cli": xen.CLI_ID_ALL,
            length: 1 << 16,
            use_long: 1,
        }
        return str(self._control.perform(operation)["out"])


def _token(content: int, flags: int) -> bytes:
    """What stands for a page: a zero page, or one that does not compress, since nobody knows how well it did."""
    return bytes(9) if flags & ZERO_PAGE else b"\xff" + content.to_bytes(8, "little")


def _unstorable_token(content: int) -> bytes:
    """A content whose compressed size is one of those that no block of tmem's allocator holds."""
    model = SizeModel()
    kind = SizeModel.SHARES.index(256)
    for salt in range(1 << 16):
        token = kind.to_bytes(1, "little") + (content | salt << 40).to_bytes(8, "little")
        if 4033 <= model.measure(token)[0] < 4064:
            return token
    raise TraceError(f"no token for content {content} has the size wanted")

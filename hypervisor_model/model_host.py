# SPDX-License-Identifier: GPL-2.0-only
"""The model host: a hypervisor whose guests run while clients are served over a socket.

One thread takes turns: whatever arrived, a share of each client's requests, the journal, the answers, a slice of the
guests' work. So hypercalls and guests interleave without locks, and nobody waits for longer than a turn. Modelled
time follows the clock times `factor`; where the guests cannot keep up, it is late, and what it lacks is given up.
Callers are domain 0, privileged: the socket is open to this user and root, which is checked for each connection.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

from hypervisor_model import build
from hypervisor_model.checkpoint import (
    CheckpointError,
    Entry,
    make_hypercall,
)
from hypervisor_model.checkpoints import Checkpoints
from hypervisor_model.connection import Connection
from hypervisor_model.hypervisor import domain_uuid
from hypervisor_model.instance import say
from hypervisor_model.public import tmem, wire, xen
from hypervisor_model.public.sysctl import XEN_SYSCTL_TMEM_OP
from hypervisor_model.scenario.document import printable
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import DOM0, DOM0_NAME, FOREVER_US, SLICE_US, Runner, uuid_text

MAX_CLIENTS: Final = 256
MAX_BUFFERED_BYTES: Final = 128 << 20  # of all clients
CLIENT_SHARE_S: Final = 0.001  # of a turn, for each client with work
GUEST_SHARE_S: Final = 0.002  # of a turn, when no client waits
LEAST_GUEST_SHARE_S: Final = 0.0002
GUEST_CHUNK: Final = 64  # operations between two looks at the clock
MAX_WAIT_S: Final = 1.0
MAX_SAID: Final = 4096  # characters of a line in the log
LATE_US: Final = 1_000_000  # modelled time given up, rather than caught up, when it is late by more
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid
_QUERIES: Final = frozenset((tmem.TMEMC_LIST, tmem.TMEMC_QUERY_FREEABLE_MB))
_TWO_WORDS: Final = struct.Struct("<II")


def changes_nothing(call: wire.Call) -> bool:
    """Does the hypercall only ask? Such calls (they are counted, Tt) are not worth an entry in the journal."""
    argument = call.argument
    if call.number == xen.HYPERCALL_XEN_VERSION:
        return True
    if len(argument) < 12:
        return False
    if call.number == xen.HYPERCALL_SYSCTL:
        command = _TWO_WORDS.unpack_from(argument)[0]
        return command != XEN_SYSCTL_TMEM_OP or _TWO_WORDS.unpack_from(argument, 8)[0] in _QUERIES
    if call.number == xen.HYPERCALL_TMEM_OP and _TWO_WORDS.unpack_from(argument)[0] == tmem.TMEM_CONTROL:
        return _TWO_WORDS.unpack_from(argument, 8)[0] in _QUERIES
    return False


def may_connect(uid: int, own_uid: int) -> bool:
    """Is a client of user `uid` let in by a host of user `own_uid`?"""
    return uid in (own_uid, 0)


class ModelHost:
    """The process's state besides the model itself. `serve` returns when it was told to stop."""

    def __init__(
        self, name: str, runner: Runner, listener: socket.socket, checkpoints: Checkpoints, *, factor: float
    ) -> None:
        self.name = name
        self.runner = runner
        self.checkpoints = checkpoints
        self.factor = factor  # modelled seconds per second; infinity: as fast as it goes
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._waiting: list[tuple[int, Connection]] = []  # for the checkpoint of a number
        self._stopping = False
        self.checkpointed = False  # was the last checkpoint written, or was it decided to go without?
        self._started = time.monotonic()
        self._anchor = (self._started, runner.time_us)  # when modelled time was what
        self._swept = self._started
        self._calls = 0
        self._told: set[str] = set()  # names of guests whose failure is in the log
        self._wake_read, self._wake_write = socket.socketpair()

    # The loop.

    def serve(self) -> None:
        """Take turns until told to stop, by a client or by `stop`."""
        listener, wake = self._listener, self._wake_read
        for quiet in (listener, wake, self._wake_write):
            quiet.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(wake, selectors.EVENT_READ)
        wait_s = 0.0
        while not self._stopping:
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is listener:
                    self._accept()
                elif key.fileobj is wake:
                    wake.recv(64)
                else:
                    self._take_in(key.data)
            spent_s = self._work_for_clients()
            self._write_checkpoints()
            wait_s = self._let_guests_work(spent_s)
            self._sweep()
        self._end()

    def stop(self) -> None:
        """Have `serve` return; may be called by a signal handler."""
        self._stopping = True
        try:
            self._wake_write.send(b"x")
        except BlockingIOError:
            pass  # it is awake as it is

    def _end(self) -> None:
        """Answer whoever is waiting, and close everything."""
        for connection in self._connections:
            connection.socket.settimeout(1.0)
            connection.write()
            connection.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    # Clients.

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptors left
            return
        _, uid, _ = _CREDENTIALS.unpack(
            client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        refusal = None
        if not may_connect(uid, os.geteuid()):
            refusal = wire.error_answer(wire.ERROR_NOT_PERMITTED, "this model host belongs to another user")
        elif len(self._connections) >= MAX_CLIENTS:
            refusal = wire.error_answer(wire.ERROR_REFUSED, f"{MAX_CLIENTS} clients are connected already")
        if refusal is not None:
            client.setblocking(False)
            try:
                client.send(refusal)
            except OSError:
                pass
            client.close()
            return
        connection = Connection(client, self)
        self._connections.add(connection)
        connection.watched_for = selectors.EVENT_READ
        self._selector.register(client, selectors.EVENT_READ, connection)

    def _take_in(self, connection: Connection) -> None:
        """A client's socket is ready for something it was waited for."""
        if connection.wants_to_write:
            connection.write()
        elif connection.wants_to_read:
            connection.read()
        if connection.buffered_bytes > MAX_BUFFERED_BYTES // MAX_CLIENTS:
            self._bound_memory()
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Wait for what the connection can go on with; forget it when it is closed."""
        if connection.closed:
            if connection in self._connections:
                self._connections.remove(connection)
                self._selector.unregister(connection.socket)
                connection.close()
            return
        wanted = selectors.EVENT_WRITE if connection.wants_to_write else selectors.EVENT_READ
        if connection.watched_for != wanted:
            connection.watched_for = wanted
            self._selector.modify(connection.socket, wanted, connection)

    def _work_for_clients(self) -> float:
        """A share of the turn for each client with requests, then their answers; the seconds it took."""
        busy = [connection for connection in self._connections if connection.has_work]
        if not busy:
            return 0.0
        start = time.monotonic()
        for connection in busy:
            connection.work(time.monotonic() + CLIENT_SHARE_S)
        self.checkpoints.commit()
        for connection in busy:
            connection.write()
            self._watch(connection)
        return time.monotonic() - start

    def _bound_memory(self) -> None:
        """Over the bound for all clients, the one that has made no progress for longest is closed."""
        while sum(connection.buffered_bytes for connection in self._connections) > MAX_BUFFERED_BYTES:
            large = [connection for connection in self._connections if connection.buffered_bytes]
            slowest = min(large, key=lambda connection: connection.since)
            slowest.closed = True
            self._watch(slowest)

    def _sweep(self) -> None:
        """Once a second, close whoever is overdue."""
        now = time.monotonic()
        if now - self._swept >= 1.0:
            self._swept = now
            for connection in [each for each in self._connections if each.overdue(now)]:
                connection.closed = True
                self._watch(connection)

    # Guests.

    def _let_guests_work(self, spent_s: float) -> float:
        """A slice of the guests' work; how long to wait for clients before the next."""
        runner = self.runner
        start = time.monotonic()
        target_us = self._modelled_us(start)
        waiting = any(connection.has_work for connection in self._connections)
        share_s = (
            GUEST_SHARE_S
            if not (waiting or spent_s)
            else max(LEAST_GUEST_SHARE_S, min(spent_s, GUEST_SHARE_S))
        )
        ahead = True
        while ahead:
            # A slice at a time: guests that ask nothing of tmem would never use up the chunk.
            until_us = min(target_us, runner.later_us(SLICE_US))
            done = runner.advance(GUEST_CHUNK, until_us)
            ahead = done >= GUEST_CHUNK or not (until_us == target_us or runner.finished)
            if time.monotonic() - start >= share_s:
                break
        self._tell_failures()
        return 0.0 if ahead or waiting else self._idle_s(target_us)

    def _tell_failures(self) -> None:
        """A guest that ended before its time is a line in the log; the host and the others go on."""
        for name, failure in self.runner.failures.items():
            if name not in self._told:
                self._told.add(name)
                say(f"guest {name} has ended: {printable(failure, MAX_SAID)}")

    def _modelled_us(self, now: float) -> int:
        """Modelled time as it should be; what is later than LATE_US is given up."""
        if self.factor == float("inf"):
            return FOREVER_US
        then, then_us = self._anchor
        target_us = then_us + int((now - then) * self.factor * 1e6)
        reached_us = self.runner.time_us
        if target_us - reached_us > max(LATE_US, LATE_US * self.factor) and not self.runner.finished:
            self._anchor = (now, reached_us)
            return reached_us
        return target_us

    def _idle_s(self, target_us: int) -> float:
        """How long nothing will happen unless a client says something."""
        limit_s = self.checkpoints.poll_s(MAX_WAIT_S)
        if self.runner.finished or target_us == FOREVER_US:
            return limit_s
        return min(limit_s, max(0.001, (SLICE_US - target_us % SLICE_US) / 1e6 / self.factor))

    # Checkpoints.

    def _write_checkpoints(self) -> None:
        """Begin one that is due, and tell who waits for one that has ended."""
        ended = self.checkpoints.step(self.runner)
        if ended is None:
            return
        number, problem = ended
        if problem:
            say(f"checkpoint: {problem}")
            answer = wire.error_answer(wire.ERROR_FAILED, problem)
        else:
            answer = wire.fields_answer(wire.CONTROL, self.checkpoints.status())
        for _, connection in [each for each in self._waiting if each[0] <= number]:
            connection.answer_late(answer)
            connection.write()
            self._watch(connection)
        self._waiting = [each for each in self._waiting if each[0] > number]

    # What clients ask for.

    def hypercall(self, call: wire.Call) -> int:
        self._calls += 1
        if not changes_nothing(call):
            self.checkpoints.note(Entry(self.runner.position, DOM0, call))
        return make_hypercall(self.runner, DOM0, call)

    def introduction(self) -> dict[str, str]:
        release = self.runner.hypervisor.release.name
        return {"what": "model", "name": self.name, "release": release, "build": build.name()}

    def directory(self) -> list[tuple[int, str, str]]:
        dom0 = (DOM0, DOM0_NAME, uuid_text(domain_uuid(DOM0, DOM0_NAME)))
        return [dom0, *((guest.domain_id, guest.name, guest.uuid) for guest in self.runner.guests)]

    def control(self, connection: Connection, fields: dict[str, str]) -> bytes | None:
        verbs: dict[str, Callable[[Connection, dict[str, str]], bytes | None]] = {
            "status": self._status,
            "report": self._report,
            "checkpoint": self._checkpoint,
            "stop": self._stop,
        }
        verb = verbs.get(fields.get("verb", ""))
        if verb is None:
            return wire.error_answer(wire.ERROR_UNKNOWN, f"a model host knows {', '.join(verbs)}")
        return verb(connection, fields)

    def _status(self, connection: Connection, fields: dict[str, str]) -> bytes:
        runner = self.runner
        total = runner.operations_total
        late_us = 0 if runner.finished else max(0, self._modelled_us(time.monotonic()) - runner.time_us)
        status = {
            **self.introduction(),
            "pid": str(os.getpid()),
            "scenario": runner.file,
            "state": "finished" if runner.finished else "running",
            "guests": str(len(runner.guests)),
            "operations": str(runner.operations),
            "operations_total": "" if total is None else str(total),
            "modelled_s": f"{runner.time_us / 1e6:.2f}",
            "late_s": "0.00" if self.factor == float("inf") else f"{late_us / 1e6:.2f}",
            "factor": "max" if self.factor == float("inf") else f"{self.factor:g}",
            "up_s": f"{time.monotonic() - self._started:.2f}",
            "clients": str(len(self._connections)),
            "hypercalls": str(self._calls),
            **self.checkpoints.status(),
        }
        return wire.fields_answer(wire.CONTROL, status)

    def _report(self, connection: Connection, fields: dict[str, str]) -> bytes:
        """What `xm model run` would report if it were interrupted now."""
        found = report(self.runner, complete=self.runner.finished)
        return wire.fields_answer(wire.CONTROL, wire.as_fields(json.dumps(found)))

    def _checkpoint(self, connection: Connection, fields: dict[str, str]) -> None:
        self._waiting.append((self.checkpoints.ask(), connection))

    def _stop(self, connection: Connection, fields: dict[str, str]) -> bytes:
        """The last checkpoint is written before the answer; without one the host goes on, unless told otherwise."""
        try:
            self.checkpoints.write_last(self.runner)
        except CheckpointError as error:
            if fields.get("discard") != "1":
                return wire.error_answer(wire.ERROR_FAILED, f"{error}; not stopped")
            say(f"stopping without a checkpoint: {error}")
        self.checkpointed = True
        self.stop()
        return wire.fields_answer(wire.CONTROL, {"stopped": self.name, **self.checkpoints.status()})

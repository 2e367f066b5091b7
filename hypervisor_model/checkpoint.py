# SPDX-License-Identifier: GPL-2.0-only
"""The state of a model host on disk: one SQLite file with a snapshot and what was asked of the host since.

A snapshot is the object graph of the runner, hypervisor and guests included. The journal behind it has the hypercalls
that came over the socket, each with the position in the guests' work at which it was made. Guests depend on the seed
and the hypervisor's answers alone: letting them work again up to each call, making it, and going on gives the state
that the host had. docs/design/checkpoints.md says why it is done so.

Durability: a journal entry survives the death of the process, not that of the machine; a snapshot survives both and
replaces the one before as a whole.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from hypervisor_model.host.compress import codec_for
from hypervisor_model.object_graph.kinds import GraphError, Row
from hypervisor_model.object_graph.reader import GraphReader
from hypervisor_model.object_graph.writer import GraphWriter
from hypervisor_model.public.wire import Call
from hypervisor_model.scenario.runner import Runner

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x584D544D  # "XMTM"
FORMAT: Final = 1
MAX_OBJECTS: Final = 1 << 32
BUFFER_ADDRESS: Final = 0x10000  # where a hypercall's buffer is in the caller's memory

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, numbers BLOB NOT NULL, state BLOB NOT NULL);
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, operations INTEGER NOT NULL, slice_us INTEGER, domain INTEGER NOT NULL,
    number INTEGER NOT NULL, argument BLOB NOT NULL, handle_offset INTEGER, buffer BLOB
);
"""


class CheckpointError(Exception):
    """A checkpoint that cannot be written, or that nothing can be resumed from."""


class Entry:
    """A hypercall from outside the guests and when it was made. Its buffer is kept as it was before."""

    __slots__ = ("call", "domain", "operations", "slice_us")

    def __init__(self, position: tuple[int, int | None], domain: int, call: Call) -> None:
        self.operations, self.slice_us = position
        self.domain = domain
        buffer = None if call.buffer is None else bytearray(call.buffer)
        self.call = Call(call.number, call.argument, call.handle_offset, buffer)

    def values(self) -> tuple[object, ...]:
        """The columns of a row."""
        call = self.call
        return (
            self.operations,
            self.slice_us,
            self.domain,
            call.number,
            call.argument,
            call.handle_offset,
            call.buffer,
        )


def make_hypercall(runner: Runner, domain: int, call: Call) -> int:
    """A hypercall from outside the guests; its buffer is changed in place."""
    if call.buffer is None:
        return runner.hypervisor.hypercall(domain, call.number, call.argument)
    argument = call.argument_pointing_to(BUFFER_ADDRESS)
    return runner.hypervisor.hypercall(domain, call.number, argument, {BUFFER_ADDRESS: call.buffer})


def write_snapshot(path: str, runner: Runner, notes: Mapping[str, str]) -> None:
    """Write a snapshot with an empty journal to `path`, durably. `notes` come back with `read_notes`.

    Raises CheckpointError; then there may be part of a file.
    """
    import sqlite3

    try:
        _remove(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        connection = _connect(path)
        try:
            connection.executescript(
                f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; BEGIN;"
            )
            for statement in _SCHEMA.strip().split(";\n"):
                connection.execute(statement)
            _insert_graph(connection, runner, notes)
            connection.execute("COMMIT")
        finally:
            connection.close()
        _sync(path)
    except (sqlite3.Error, OSError, GraphError) as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error}") from None


def _insert_graph(connection: sqlite3.Connection, runner: Runner, notes: Mapping[str, str]) -> None:
    hypervisor = runner.hypervisor
    writer = GraphWriter({"codec": hypervisor.codec})
    digest = hashlib.blake2b(digest_size=16)
    for kind, numbers, state in writer.rows(runner):
        _feed(digest, kind, numbers, state)
        connection.execute(
            "INSERT INTO objects (kind, numbers, state) VALUES (?, ?, ?)", (kind, numbers, state)
        )
    own = {
        "objects": str(len(writer)),
        "digest": digest.hexdigest(),
        "release": hypervisor.release.name,
        "codec": hypervisor.codec.name,
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", {**notes, **own}.items())


def _feed(digest: Any, kind: str, numbers: bytes, state: bytes) -> None:
    for part in (kind.encode(), numbers, state):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)


class Journal:
    """Appends to the journal of a checkpoint file, which nobody else can open meanwhile: commits are cheap so."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection = _connect(path)
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.length: int = self._connection.execute("SELECT count(*) FROM journal").fetchone()[0]

    def append(self, entries: Iterable[Entry]) -> None:
        """Add entries, all or none. Raises CheckpointError."""
        import sqlite3

        rows = [entry.values() for entry in entries]
        try:
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany(
                    "INSERT INTO journal (operations, slice_us, domain, number, argument, handle_offset, buffer) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise CheckpointError(f"cannot write to the checkpoint {self.path}: {error}") from None
        self.length += len(rows)

    def close(self) -> None:
        """Closing twice is harmless."""
        self._connection.close()


def install(new: str, path: str, entries: Iterable[Entry]) -> Journal:
    """Make the snapshot in the file `new`, with the entries made since, the checkpoint `path`; its journal, open.

    Raises CheckpointError, and what was at `path` is still there.
    """
    try:
        journal = Journal(new)
        try:
            journal.append(entries)
        finally:
            journal.close()
        os.replace(new, path)
        _sync(os.path.dirname(path))
        return Journal(path)
    except OSError as error:
        raise CheckpointError(f"cannot put the checkpoint {path} in place: {error}") from None


def retire(path: str, to: str) -> None:
    """Move a checkpoint out of the way, if there is one. Raises CheckpointError."""
    import sqlite3

    try:
        if os.path.lexists(path):
            try:
                Journal(path).close()  # finish what a dead host left half done, which goes by the file's name
            except sqlite3.Error:
                _remove(f"{path}-journal")
            _remove(to)
            os.replace(path, to)
    except OSError as error:
        raise CheckpointError(f"cannot move the checkpoint {path} away: {error.strerror}") from None


def read_notes(path: str) -> dict[str, str]:
    """What was noted in the checkpoint at `path`. Raises CheckpointError."""
    import sqlite3

    connection = _open_existing(path)
    try:
        return dict(connection.execute("SELECT key, value FROM meta").fetchall())
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint {path} is damaged: {error}") from None
    finally:
        connection.close()


def resume(path: str) -> Runner:
    """The runner in the state it had at the last entry of the checkpoint's journal. Raises CheckpointError."""
    import sqlite3

    connection = _open_existing(path)
    try:
        runner = _read_graph(connection)
        query = "SELECT operations, slice_us, domain, number, argument, handle_offset, buffer FROM journal ORDER BY seq"
        for operations, slice_us, domain, number, argument, handle_offset, buffer in connection.execute(
            query
        ):
            if not runner.go_to(operations, slice_us):
                raise CheckpointError(f"the journal of {path} does not fit its snapshot: start afresh")
            copy = None if buffer is None else bytearray(buffer)
            make_hypercall(runner, domain, Call(number, argument, handle_offset, copy))
        return runner
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged or foreign file leads the model to
        kind = "" if isinstance(error, (sqlite3.Error, GraphError)) else f"{type(error).__name__}: "
        raise CheckpointError(f"the checkpoint {path} cannot be resumed: {kind}{error}") from None
    finally:
        connection.close()


def _read_graph(connection: sqlite3.Connection) -> Runner:
    notes = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    count = int(notes["objects"])
    digest = hashlib.blake2b(digest_size=16)
    total = 0
    for kind, numbers, state in connection.execute("SELECT kind, numbers, state FROM objects ORDER BY seq"):
        _feed(digest, kind, numbers, state)
        total += len(numbers) // 8
    if digest.hexdigest() != notes.get("digest") or total != count:
        raise GraphError("its contents have changed since it was written")
    reader = GraphReader(count, {"codec": codec_for(notes["release"], notes["codec"])})
    bounded = "('deque', 'bytearray', 'array')"
    for make, which in (
        (reader.make, "1"),
        (reader.make_late, f"kind IN {bounded}"),
        (reader.fill, "kind LIKE 'class %'"),  # before dicts, whose keys may be instances
        (reader.fill, "kind NOT LIKE 'class %'"),
    ):
        row: Row
        for row in connection.execute(f"SELECT kind, numbers, state FROM objects WHERE {which} ORDER BY seq"):
            make(row)
    root = reader.root()
    if not isinstance(root, Runner):
        raise GraphError("it holds something else")
    return root


def _open_existing(path: str) -> sqlite3.Connection:
    """Raises CheckpointError unless `path` is a checkpoint of this user's that nobody else can write to."""
    import sqlite3

    try:
        status = os.lstat(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint at {path}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise CheckpointError(f"{path} is not a file that only its user can write to: not used")
    try:
        connection = _connect(path)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise CheckpointError(f"{path} is no checkpoint: {error}") from None
    if application != APPLICATION_ID or version != FORMAT:
        connection.close()
        what = "no checkpoint" if application != APPLICATION_ID else f"of format {version}, this is {FORMAT}"
        raise CheckpointError(f"{path} is {what}")
    return connection


def _connect(path: str) -> sqlite3.Connection:
    """A connection that leaves transactions to its user, and durability to `_sync`."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    for name in (path, f"{path}-journal"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass

# SPDX-License-Identifier: GPL-2.0-only
"""Runs made on the model itself: the replay agrees with them, follows their evictions, and notices what is altered."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import tmem
from hypervisor_model.public.xen import HYPERCALL_TMEM_OP
from tests.conformance.__main__ import main
from tests.conformance.guest_fit import fit
from tests.conformance.guest_replay import GuestReplay
from tests.conformance.guest_trace import FLUSH_OBJECT, FLUSH_PAGE, GET, NEW_POOL, PUT, SUFFIX, GuestTrace

FIELDS = (
    "dt_us",
    "dur_us",
    "ret",
    "op",
    "pool",
    "flags",
    "phase",
    "index",
    "crc32",
    "content",
    "oid0",
    "oid1",
    "oid2",
)
TYPES = "IHhBBBBIIIQQQ"
RECORDS = 3000
ROOMY, TIGHT = 5000, 560  # host pages; a 4.12 host keeps 256 free

Row = list[int]  # ret, op, pool, index, content, oid word 0


def record(path: Path, release: str, frames: int, *, seed: int = 1, options: str = "tmem=1") -> list[Row]:
    """Let a guest with a cleancache and a frontswap work on a host of `frames` pages, and write down what it saw."""
    rng = random.Random(seed)
    hypervisor = Hypervisor(release=release, frames=frames, command_line=options, contents="tokens")
    guest = hypervisor.create_domain(0, gfns=2)
    rows: list[Row] = []
    snapshots: list[dict[str, Any]] = []
    put: set[tuple[bool, int, int]] = set()

    def do(op: int, pool: int, index: int = 0, content: int = 0, oid: int = 0) -> None:
        if op == NEW_POOL:
            argument = tmem.TMEM_OP_CREAT.pack(op, 0, 0, 0, index, 0).ljust(tmem.TMEM_OP_BYTES, b"\0")
        else:
            argument = tmem.TMEM_OP_GEN.pack(op, pool, tmem.oid_to_bytes(oid), index, 0, 0, 0, op == GET)
        guest.memory.store(0, b"\x03" + content.to_bytes(8, "little"))  # hardly compressible, if at all
        rows.append([hypervisor.hypercall(0, HYPERCALL_TMEM_OP, argument), op, pool, index, content, oid])

    version = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT
    do(NEW_POOL, 0, version)
    do(NEW_POOL, 1, version | tmem.TMEM_POOL_PERSIST)
    while len(rows) < RECORDS:
        swap = rng.random() < 0.3
        oid, index = rng.randrange(16), rng.randrange(12 if swap else 60)
        op = rng.choices((PUT, GET, FLUSH_PAGE, FLUSH_OBJECT), (60, 20, 8, 0.4))[0]
        if (
            op == PUT and (swap, oid, index) in put
        ):  # Linux asks for a page before it reads, changes and puts it
            do(FLUSH_PAGE if swap else GET, int(swap), index, 0, oid)
        put |= {(swap, oid, index)} if op == PUT else set()
        do(op, int(swap), 0 if op == FLUSH_OBJECT else index, rng.randrange(500), oid)
        if len(rows) >= 500 * (len(snapshots) + 1):
            tag = f"after {len(rows)}"
            if release == "4.3":
                guest_listing(hypervisor)
            snapshots.append(
                {"tag": tag, "after_records": len(rows), "list": hypervisor.list_text(use_long=True)}
            )
    write(path, release, rows, snapshots, options)
    return rows


def guest_listing(hypervisor: Hypervisor) -> None:
    """LIST by hypercall, for 4.3 counts it."""
    argument = tmem.TMEM_OP_CTRL.pack(
        tmem.TMEM_CONTROL, 0, tmem.TMEMC_LIST, 0xFFFF, 4096, 1, bytes(24), 1 << 20
    )
    assert hypervisor.hypercall(0, HYPERCALL_TMEM_OP, argument, {1 << 20: bytearray(8192)}) == 0


def write(
    path: Path, release: str, rows: list[Row], snapshots: list[dict[str, Any]], options: str = "tmem=1"
) -> None:
    header = {
        "format": "tmem-ops/1",
        "types": TYPES,
        "fields": FIELDS,
        "records": len(rows),
        "machine_mib": 1,
        "xen": f"{release}.4",
        "xen_args": f"console=com1 {options}",
    }
    columns = {name: [0] * len(rows) for name in FIELDS}
    for place, name in enumerate(("ret", "op", "pool", "index", "content", "oid0")):
        columns[name] = [row[place] for row in rows]
    block = struct.pack("<I", len(rows))
    for kind, name in zip(TYPES, FIELDS, strict=True):
        packed = struct.pack(f"<{len(rows)}{kind}", *columns[name])
        width = len(packed) // len(rows)
        block += b"".join(packed[plane::width] for plane in range(width))
    path.write_bytes(gzip.compress(json.dumps(header).encode() + b"\n" + block))
    listings = {"format": "tmem-ops-listings/1", "snapshots": snapshots}
    listings_of(path).write_text(json.dumps(listings))


def listings_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(SUFFIX) + ".listings.json")


def snapshots_of(path: Path) -> list[dict[str, Any]]:
    snapshots: list[dict[str, Any]] = json.loads(listings_of(path).read_text())["snapshots"]
    return snapshots


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"run{SUFFIX}"


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_roomy_run_agrees(path: Path, release: str) -> None:
    record(path, release, ROOMY)
    trace = GuestTrace(path)
    assert not trace.short_of_memory
    outcome = GuestReplay(trace).run()
    assert (outcome.records, outcome.snapshots, outcome.divergences) == (RECORDS, RECORDS // 500, [])


def test_puts_of_sizes_that_no_block_has_fail_too(path: Path) -> None:
    rows = record(path, "4.12", ROOMY, options="tmem=1 tmem_compress=1")
    failed = sum(row[1] == PUT and row[0] < 0 for row in rows)
    trace = GuestTrace(path)
    outcome = GuestReplay(trace).run(keep_going=3)
    assert trace.short_of_memory
    assert failed > 10
    assert outcome.divergences == []
    assert outcome.followed == ", 0 evictions and 0 refusals followed"


@pytest.mark.parametrize(("release", "frames"), [("4.12", TIGHT), ("4.3", 300)])
@pytest.mark.parametrize("seed", range(3))
def test_evictions_and_refusals_are_followed(path: Path, release: str, frames: int, seed: int) -> None:
    rows = record(path, release, frames, seed=seed)
    trace = GuestTrace(path)
    assert trace.evicted > 50
    outcome = GuestReplay(trace).run(keep_going=3)
    assert outcome.divergences == []
    assert "evictions" in outcome.followed
    assert any(row[1] == PUT and row[0] < 0 for row in rows) == (" 0 refusals" not in outcome.followed)


def test_host_size_is_found(path: Path) -> None:
    record(path, "4.12", TIGHT)
    found = fit(GuestTrace(path))
    assert found.outcome.lost == found.outcome.kept == 0
    assert found.outcome.evicted == found.trace.evicted
    assert abs(found.frames - TIGHT) <= 2
    assert "ephemeral gets agree" in str(found)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (lambda row: row[:3] == [1, GET, 1], 0),
        (lambda row: row[:3] == [0, GET, 0], 1),
        (lambda row: row[:2] == [1, PUT], -12),
        (lambda row: row[1] == FLUSH_PAGE, 0),
    ],
)
def test_altered_answer_is_noticed(path: Path, wanted: Callable[[Row], bool], answer: int) -> None:
    rows = record(path, "4.12", ROOMY)
    number = next(number for number, row in enumerate(rows, 1) if number > 700 and wanted(row))
    expected, got = answer, rows[number - 1][0]
    rows[number - 1][0] = answer
    write(path, "4.12", rows, snapshots_of(path))
    (said,) = GuestReplay(GuestTrace(path)).run().divergences
    assert said.startswith(f"  record {number}: ")
    assert said.endswith(f"expected {expected}, got {got}")


@pytest.mark.parametrize(
    "tag", ["Tt", "Te", "ps", "pt", "gs", "gt", "ft", "ot", "Pc", "Pm", "Oc", "Om", "Nc", "Nm", "fs", "os"]
)
def test_altered_counter_is_noticed(path: Path, tag: str) -> None:
    rows = record(path, "4.12", ROOMY)
    snapshots = snapshots_of(path)
    snapshots[2]["list"] = snapshots[2]["list"].replace(f"{tag}:", f"{tag}:1", 1)
    write(path, "4.12", rows, snapshots)
    (said,) = GuestReplay(GuestTrace(path)).run().divergences
    assert "snapshot 'after 1500' after 1500 records" in said
    assert f" {tag}: expected 1" in said


def test_page_evicted_out_of_turn_is_noticed(path: Path) -> None:
    """A get that misses the newest page but not older ones fits no LRU list."""
    rows = record(path, "4.12", ROOMY)
    number, older = two_hits_by_age(rows)
    rows[number][0] = 0
    write(path, "4.12", rows, with_evictions(path))
    divergences = GuestReplay(GuestTrace(path)).run(keep_going=100).divergences
    assert f"  record {older + 1}: get: expected 1, got 0" in divergences


def two_hits_by_age(rows: list[Row]) -> tuple[int, int]:
    """Two ephemeral hits, the second later, of a page put earlier."""
    put_at: dict[tuple[int, ...], int] = {}
    hits = []
    for number, (ret, op, pool, index, _, oid) in enumerate(rows):
        if op == PUT and pool == 0:
            put_at[oid, index] = number
        elif op == GET and pool == 0 and ret == 1:
            hits.append((number, put_at[oid, index]))
    return next(
        (newer, older)
        for newer, newer_put in hits
        for older, older_put in hits
        if newer > 500 and older_put < newer_put < newer < older
    )


def with_evictions(path: Path) -> list[dict[str, Any]]:
    """The snapshots, the last of them saying that a page was evicted."""
    snapshots = snapshots_of(path)
    snapshots[-1]["list"] = snapshots[-1]["list"].replace("Et:0", "Et:1", 1)
    return snapshots


def test_sums_and_exit_status(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(path, "4.12", TIGHT)
    assert main(["--fit", str(path)]) == 0
    first, fitted, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"run: {RECORDS} records, 6 snapshots, ")
    assert fitted.startswith("run: host of ")
    assert last == "1 runs, 6 snapshots, 0 divergences"


@pytest.mark.parametrize("damage", ["no header", "other format", "no listings", "cut"])
def test_damaged_run_is_named(path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    record(path, "4.12", ROOMY)
    if damage == "no header":
        path.write_bytes(gzip.compress(b"\n"))
    elif damage == "other format":
        path.write_bytes(gzip.compress(b'{"format":"other"}\n'))
    elif damage == "no listings":
        listings_of(path).unlink()
    else:
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    assert main([str(path)]) == 2
    assert str(path.parent) in capsys.readouterr().err

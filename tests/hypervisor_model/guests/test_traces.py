# SPDX-License-Identifier: GPL-2.0-only
"""Recordings and public traces: read as written, and refused when they are not what they are said to be."""

import gzip
import random
import struct
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from hypervisor_model.guests.contents import ZERO_TOKEN, Contents
from hypervisor_model.guests.costs import FREE
from hypervisor_model.guests.disk import Disk
from hypervisor_model.guests.files import UnreadableFile
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.handle import file_key
from hypervisor_model.guests.memory import GuestMemory
from hypervisor_model.guests.recording import (
    Recording,
    RecordingError,
    ReplayedGuest,
    content_token,
    whole_page,
)
from hypervisor_model.guests.traces import Access, TraceError, read_trace
from hypervisor_model.guests.work import Await
from hypervisor_model.guests.workloads.traced import Traced
from tests.hypervisor_model.guests.recordings import record, write_blocks, write_recording
from tests.hypervisor_model.guests.standin import StandIn


def test_a_recording_is_read_block_by_block(tmp_path: Path) -> None:
    recording = Recording(str(write_recording(tmp_path / "r", gets=True)))
    operations = list(recording)
    assert len(operations) == recording.records == 201
    assert [operation.op for operation in operations[:3]] == [1, 4, 4]
    assert (operations[5].oid, operations[5].page_index, operations[5].content) == (7, 4, 4)
    assert operations[0].time_us == 1010
    assert operations[200].time_us == 1000 + 201 * 10
    assert list(recording.operations(skip=150)) == operations[150:]


def test_equal_contents_are_equal_tokens_and_a_zero_page_is_zero(tmp_path: Path) -> None:
    operations = list(Recording(str(write_recording(tmp_path / "r"))))
    tokens = [content_token(operation) for operation in operations[1:]]
    assert tokens[3] == ZERO_TOKEN
    assert tokens[5] == tokens[55] != tokens[6]


def tokens_of(path: Path, contents: Sequence[tuple[int, int]], *, gap: int = 0) -> list[bytes]:
    """The tokens of puts of such contents and CRCs in a recording of theirs; `gap` makes it another one."""
    puts = [
        record(4, index=gap + at, content=content, crc32=crc) for at, (content, crc) in enumerate(contents)
    ]
    recording = Recording(str(write_blocks(path, [record(1, index=0x1000000, ret=0), *puts])))
    tokens = [content_token(operation) for operation in recording.operations(skip=1)]
    assert tokens[-2:] == [content_token(operation) for operation in recording.operations(skip=len(puts) - 1)]
    return tokens


def test_pages_of_two_recordings_are_equal_where_their_crc_is_and_not_where_their_number_is(
    tmp_path: Path,
) -> None:
    one = tokens_of(tmp_path / "one", [(0, 0xAAAA), (1, 0xBBBB), (0, 0xAAAA)])
    two = tokens_of(tmp_path / "two", [(0, 0xBBBB), (1, 0xCCCC), (2, 0xAAAA)])
    assert one[0] == one[2] == two[2]
    assert one[1] == two[0]
    assert len({*one, *two}) == 3


def test_two_contents_of_one_crc_stay_two(tmp_path: Path) -> None:
    one = tokens_of(tmp_path / "one", [(0, 0xAAAA), (1, 0xAAAA), (0, 0xAAAA), (1, 0xAAAA)])
    assert one[:2] == one[2:]
    assert one[0] != one[1]
    two = tokens_of(tmp_path / "two", [(0, 0xAAAA), (1, 0xAAAA)], gap=1)
    assert (two[0] == one[0], two[1] == one[1]) == (True, False), "which of them it is, nobody knows"


def test_without_a_crc_a_content_is_of_its_recording_alone(tmp_path: Path) -> None:
    one = tokens_of(tmp_path / "one", [(0, 0), (1, 0), (0, 0)])
    two = tokens_of(tmp_path / "two", [(0, 0), (1, 0)], gap=1)
    again = tmp_path / "again"
    again.write_bytes((tmp_path / "one").read_bytes())
    assert one[0] == one[2] != one[1]
    assert not {*one} & {*two}
    assert [content_token(operation) for operation in Recording(str(again)).operations(skip=1)] == one
    pages = [whole_page(operation) for operation in Recording(str(again)).operations(skip=1)]
    assert pages[0] == pages[2] != pages[1]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"format": "other"}, "not a tmem-ops/1"),
        ({"types": "I"}, "not a tmem-ops/1"),
        ({"records": "many"}, "lacks `records`"),
        ({"records": 5}, "a block of 101 records where 5 are left"),
        ({"records": 500}, "cut off"),
    ],
)
def test_a_damaged_recording_is_refused(tmp_path: Path, header: dict[str, object], told: str) -> None:
    path = write_recording(tmp_path / "r", header=header)
    with pytest.raises(RecordingError, match=told):
        list(Recording(str(path)))


def test_replay_makes_the_calls_at_their_times(tmp_path: Path) -> None:
    tmem = StandIn(1000)
    guest = ReplayedGuest(
        Recording(str(write_recording(tmp_path / "r", gets=True))), tmem, speed=2, start_us=500
    )
    assert guest.step(1_000, 500 + 50 * 5) == 50
    assert guest.time_us == 500 + 50 * 5
    while not guest.finished:
        assert guest.step(7, 1 << 60)
    report = guest.report()
    assert (report["ephemeral_puts"], report["ephemeral_hits"], report["gets_unlike_recorded"]) == (
        100,
        100,
        0,
    )
    assert [call[0] for call in tmem.calls].count("put") == 100


def test_replay_tells_where_the_model_answers_otherwise(tmp_path: Path) -> None:
    guest = ReplayedGuest(Recording(str(write_recording(tmp_path / "r", gets=True))), StandIn(60))
    guest.step(1_000, 1 << 60)
    assert guest.unlike_recorded == 40


def trace_of(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "trace"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_fiu(tmp_path: Path) -> None:
    text = "1 500 OPEN 33 100\n2 600 READ 33 99999 4096 8192 HIT\n3 700 WRITE 34 9 100 5000 APPEND\n"
    assert list(read_trace(trace_of(tmp_path, text), "fiu")) == [
        Access(600, file_key(0, 33) + 1, 2, False),
        Access(700, file_key(0, 34), 2, True),
    ]


def test_msr(tmp_path: Path) -> None:
    text = "128166372003061629,usr,0,Read,7014609920,24576,41286\n128166372016382155,usr,1,Write,1317441536,8192,1963\n"
    assert list(read_trace(trace_of(tmp_path, text), "msr")) == [
        Access(12816637200306162900, file_key(0, 0) + 7014609920 // 4096, 7, False),
        Access(12816637201638215500, file_key(0, 1) + 1317441536 // 4096, 2, True),
    ]


def test_oracle_general(tmp_path: Path) -> None:
    raw = struct.pack("<IQIq", 7, 5, 65536, -1) + struct.pack("<IQIq", 8, 2 << 22 | 9, 4097, 3)
    raw += struct.pack("<IQIq", 9, (1 << 64) - 1, 0xFFFFFFFF, 3) + struct.pack("<IQIq", 9, 6, 0, 3)
    assert list(read_trace(trace_of(tmp_path, raw), "oracle")) == [
        Access(7_000_000_000, file_key(0, 5), 16, False),
        Access(8_000_000_000, file_key(0, 9) + (2 << 20), 2, False),
        Access(9_000_000_000, file_key(0, (1 << 22) - 1) + (2047 << 20), 1 << 20, False),
        Access(9_000_000_000, file_key(0, 6), 1, False),
    ]


def test_msr_disks_of_one_number_in_two_hosts_are_two(tmp_path: Path) -> None:
    lines = ["1,usr,1,Read,0,1,1", "1,web,1,Read,0,1,1", "1,usr,1,Write,0,1,1", "1,usr,0,Read,0,1,1"]
    found = list(read_trace(trace_of(tmp_path, "\n".join(lines)), "msr"))
    assert [access.first for access in found] == [file_key(0, at) for at in (0, 1, 0, 2)]
    many = "\n".join(f"1,usr,{number},Read,0,1,1" for number in range(4097))
    with pytest.raises(TraceError, match="line 4097: more than 4096 disks"):
        list(read_trace(trace_of(tmp_path, many), "msr"))


def test_zstd_is_read_as_a_stream(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed (pip: xm-tmem[traces])")
    rng = random.Random(1)
    raw = b"".join(struct.pack("<IQIq", at, rng.randrange(1 << 22), 4096, -1) for at in range(20_000))
    expected = list(read_trace(trace_of(tmp_path, raw), "oracle"))
    half = len(raw) // 2
    frames = zstandard.compress(raw[:half]) + zstandard.compress(raw[half:])
    assert list(read_trace(trace_of(tmp_path, frames), "oracle")) == expected
    lines = zstandard.compress(b"".join(b"1,%d\n" % number for number in range(20_000)))
    assert len(list(read_trace(trace_of(tmp_path, lines), "csv"))) == 20_000
    whole = zstandard.compress(raw)
    for cut in (100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(TraceError, match="cut off"):
            list(read_trace(trace_of(tmp_path, whole[:cut]), "oracle"))
    with pytest.raises(TraceError, match="trace: "):
        list(read_trace(trace_of(tmp_path, whole[:2000] + b"garbage" * 1000), "oracle"))
    bomb = trace_of(tmp_path, zstandard.compress(bytes(1 << 28)))
    tracemalloc.start()
    try:
        assert next(read_trace(bomb, "oracle"))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 26


def test_zstd_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(TraceError, match=r"pip install 'xm-tmem\[traces\]'"):
        list(read_trace(trace_of(tmp_path, b"\x28\xb5\x2f\xfd"), "oracle"))


def test_csv_and_gzip(tmp_path: Path) -> None:
    text = "# comment\n5\n2,6\n2,7,w\n\n"
    expected = [
        Access(0, file_key(0, 1) + 5, 1, False),
        Access(0, file_key(0, 2) + 6, 1, False),
        Access(0, file_key(0, 2) + 7, 1, True),
    ]
    assert list(read_trace(trace_of(tmp_path, text), "csv")) == expected
    assert list(read_trace(trace_of(tmp_path, gzip.compress(text.encode())), "csv")) == expected


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        ("msr", "1,h,0,Sync,0,1,1\n", "line 1: neither Read nor Write"),
        ("msr", "1,h,0,Read,0\n", "line 1"),
        ("msr", "1,h,0,Read,-4096,1,1\n", "line 1: a negative"),
        ("fiu", "ok\n", "line 1"),
        ("csv", "1\n2\nx\n", "line 3"),
        ("csv", "1" * 5000, "longer than"),
        ("msr", f"1,h,0,Read,0,{1 << 40},1\n", "a request of"),
        ("oracle", "too short", "cut off in record 0"),
    ],
)
def test_a_bad_trace_is_refused_with_its_line(
    tmp_path: Path, kind: str, text: str | bytes, told: str
) -> None:
    with pytest.raises(TraceError, match=told):
        list(read_trace(trace_of(tmp_path, text), kind))


def test_an_unknown_format_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fiu, msr, csv, oracle"):
        list(read_trace("x", "blktrace"))
    with pytest.raises(UnreadableFile, match="No such file"):
        list(read_trace(str(tmp_path / "none"), "csv"))


FIU = "".join(f"{n} {5_000_000 + 1000 * n} READ 7 99999999 {4096 * n} 4096 HIT\n" for n in range(1000))


def test_a_trace_is_followed_at_its_times_and_caught_up_with_when_late(tmp_path: Path) -> None:
    path = trace_of(tmp_path, FIU)
    for speed, cpu_ns, end_ns in ((None, 10, 10_000), (0.5, 10, 1_998_010), (0.5, 5_000, 5_000_000)):
        memory = GuestMemory(2_000, disk=Disk(), contents=Contents(1), costs=FREE, readahead=1)
        for number in range(1000):
            memory.lists.add(file_key(2, 7) + number, 0)
        guest = Guest(memory, [Traced(path, "fiu", mount=2, speed=speed, cpu_ns=cpu_ns)])
        guest.run(1 << 62)
        assert (guest.threads[0].finished_ns, guest.accesses) == (end_ns, 1000)


def test_a_traced_workload_that_is_resumed_keeps_the_start_of_its_clock(tmp_path: Path) -> None:
    whole, first = (Traced(trace_of(tmp_path, FIU), "fiu", speed=1) for _ in range(2))

    def waits(workload: Traced) -> list[int]:
        return [action.ns for action in workload.unit() if isinstance(action, Await)]

    assert waits(first) == waits(whole)
    first._accesses = None  # as after a checkpoint
    assert waits(first) == waits(whole) == [1000 * number for number in range(512, 1000)]


def test_a_traced_workload_stops_at_its_limit(tmp_path: Path) -> None:
    workload = Traced(trace_of(tmp_path, "".join(f"{n}\n" for n in range(2000))), "csv", limit=700)
    units = [len(workload.unit()) for _ in range(3)]
    assert units == [512, 188, 0]

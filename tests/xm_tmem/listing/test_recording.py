# SPDX-License-Identifier: GPL-2.0-only
"""Recordings: what is written comes back; what a killed writer leaves is cut, and nothing else ever is."""

from __future__ import annotations

import os
import signal
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xm_tmem.errors import BadInput, BadListing, Failed
from xm_tmem.listing import recording
from xm_tmem.listing.capture import MAGIC, Capture
from xm_tmem.listing.recording import Recorder, Recording, pack

TEXT = b"G=Tt:1\nC=CI:1,ww:5\nT\n"


def capture(when: float = 1.5, text: bytes = TEXT, name: str = "web") -> Capture:
    return Capture(when, "model:x", text, {"release": "4.3"}, ({"domain_id": 1, "name": name},))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "some.xmr")


def written(path: str, captures: Sequence[Capture]) -> bytes:
    with Recorder(path) as recorder:
        for each in captures:
            recorder.add(each)
    return Path(path).read_bytes()


def read(path: str) -> list[Capture]:
    with Recording(path) as found:
        return list(found.captures())


def test_captures_come_back_as_they_were(path: str) -> None:
    first, second = capture(1.5, name="b\u00fcro\u2603\ud800"), capture(2.5, b"\xff\n\0")
    written(path, [first])
    written(path, [second])
    assert read(path) == [first, second]


def test_a_capture_is_a_report(path: str) -> None:
    written(path, [capture()])
    report = read(path)[0].report()
    assert (report.connection, report.timestamp, report.release) == ("model:x", 1.5, "4.3")
    assert report.name(1) == "web"
    assert report.listing.clients[0].weight == 5


def test_a_recording_is_its_owners_alone(path: str) -> None:
    old = os.umask(0)
    try:
        written(path, [capture()])
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_capture_of_a_listing_is_a_tenth_of_its_text() -> None:
    text = b"".join(
        b"P=CI:%d,PI:0,PT:EP,U0:0,U1:0,Pc:%d,gs:%d,gt:%d\n" % (n, n * 7, n, n * 3) for n in range(500)
    )
    assert len(pack(capture(text=text))) * 4 < len(text)


def test_wherever_a_writer_is_killed_what_was_whole_stays_and_the_next_goes_on(path: str) -> None:
    whole = written(path, [capture(1.0), capture(2.0)])
    first_end = len(MAGIC) + len(pack(capture(1.0)))
    for length in range(len(whole)):
        Path(path).write_bytes(whole[:length])
        kept = [1.0] if length >= first_end else []
        if kept:
            assert [each.timestamp for each in read(path)] == kept
        else:
            with pytest.raises(BadListing):
                read(path)
        with Recorder(path) as recorder:
            torn = length - first_end if kept else max(0, length - len(MAGIC))
            assert recorder.cut_bytes == torn
            recorder.add(capture(3.0))
        assert [each.timestamp for each in read(path)] == [*kept, 3.0]


@pytest.mark.parametrize("lost", ["zeros at the end", "contents never written"])
def test_what_a_loss_of_power_leaves_is_cut_too(path: str, lost: str) -> None:
    whole = written(path, [capture(1.0), capture(2.0)])
    if lost == "zeros at the end":
        Path(path).write_bytes(whole + b"\0" * 4096)
        kept = [1.0, 2.0]
    else:
        Path(path).write_bytes(whole[:-30] + b"\0" * 30)
        kept = [1.0]
    assert [each.timestamp for each in read(path)] == kept
    with Recorder(path) as recorder:
        assert recorder.last is not None
        assert recorder.last.timestamp == kept[-1]
        recorder.add(capture(3.0))
    assert [each.timestamp for each in read(path)] == [*kept, 3.0]


def test_damage_in_the_middle_is_told_and_never_cut(path: str) -> None:
    whole = bytearray(written(path, [capture(float(n)) for n in range(3)]))
    head = len(MAGIC) + len(pack(capture(0.0)))
    whole[head + 1] ^= 1
    Path(path).write_bytes(whole)
    with pytest.raises(BadInput, match=f"damaged at byte {head};"):
        Recorder(path)
    assert Path(path).read_bytes() == whole
    with Recording(path) as found:
        assert found.damaged
        assert [each.timestamp for each in found.captures()] == [0.0]


def test_a_damaged_capture_is_passed_over_and_those_behind_it_are_found(path: str) -> None:
    whole = bytearray(written(path, [capture(float(n)) for n in range(3)]))
    whole[len(MAGIC) + len(pack(capture(0.0))) + recording.HEAD_BYTES + 3] ^= 1
    Path(path).write_bytes(whole)
    assert [each.timestamp for each in read(path)] == [0.0, 2.0]
    with Recording(path) as found, pytest.raises(BadListing, match="is damaged at byte"):
        found.capture(found.places[1])


def test_two_cannot_record_to_one_file(path: str) -> None:
    with Recorder(path), pytest.raises(Failed, match="another process"):
        Recorder(path)
    with Recorder(path) as recorder:
        recorder.add(capture())


def test_a_file_that_is_something_else_is_left_alone(path: str, tmp_path: Path) -> None:
    Path(path).write_bytes(b"my diary, longer than the magic of a recording")
    with pytest.raises(BadInput, match="is no recording"):
        Recorder(path)
    assert Path(path).read_bytes().startswith(b"my diary")
    with pytest.raises(BadListing, match="is no recording"):
        Recording(path)
    with pytest.raises(Failed, match="cannot record"):
        Recorder(str(tmp_path))
    with pytest.raises(BadInput, match="no file"):
        Recording(str(tmp_path))


def test_a_full_disk_leaves_the_recording_as_it_was(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(path, [capture(1.0)])
    with Recorder(path) as recorder:

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(Failed, match="No space left"):
                recorder.add(capture(2.0))
        assert Path(path).read_bytes() == before
        recorder.add(capture(3.0))
    assert [each.timestamp for each in read(path)] == [1.0, 3.0]


def test_a_writer_killed_at_any_moment_leaves_a_recording(path: str) -> None:
    program = (
        "import sys\n"
        "from xm_tmem.listing.capture import Capture\nfrom xm_tmem.listing.recording import Recorder\n"
        "with Recorder(sys.argv[1]) as recorder:\n"
        "    for number in range(10**6):\n"
        "        text = b'P=CI:1\\n' * (1 + number % 5000)\n"
        "        recorder.add(Capture(float(number), 'x', text, {}, ()))\n"
        "        print(number, flush=True)\n"
    )
    expected: list[float] = []
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(20)]
            process.send_signal(signal.SIGKILL)
            said += map(int, process.stdout.read().split())
        found = [each.timestamp for each in read(path)][len(expected) :]
        assert found[: len(said)] == said  # what was said to be there is
        assert len(found) <= len(said) + 1
        expected += found


def record_of(packed: bytes, when: float = 1.0, mark: bytes = b"XMR1", length: int | None = None) -> bytes:
    size = len(packed) if length is None else length
    head = struct.pack("<4sdII", mark, when, size, zlib.crc32(packed))
    return MAGIC + head + struct.pack("<I", zlib.crc32(head)) + packed


@pytest.mark.parametrize(
    "packed",
    [
        b"no zlib",
        zlib.compress(b"no json\n"),
        zlib.compress(b'{"connection": "x", "host": {}, "domains": []}'),
        zlib.compress(b'{"connection": 3, "host": {}, "domains": []}\n'),
        zlib.compress(b'["connection"]\n'),
        zlib.compress(b"[" * 100_000 + b"\n"),
        zlib.compress(b'{"connection": "x", "host": {}, "domains": []}\n')[:-1],
    ],
)
def test_a_forged_capture_is_one_error(path: str, packed: bytes) -> None:
    Path(path).write_bytes(record_of(packed))
    with Recording(path) as found, pytest.raises(BadListing, match=r"some\.xmr: a capture cannot be read"):
        found.capture(found.places[0])


def test_a_bomb_is_not_unpacked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_TEXT_BYTES", 1000)
    monkeypatch.setattr(recording, "MAX_HEADLINE_BYTES", 1000)
    written(path, [capture(text=b"\0" * 3000)])
    with pytest.raises(BadListing):
        read(path)


@pytest.mark.parametrize("when", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_cannot_be_is_no_record(path: str, when: float) -> None:
    Path(path).write_bytes(record_of(zlib.compress(b"{}\n"), when))
    with pytest.raises(BadListing):
        Recording(path)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, genuine: bool
) -> None:
    path = str(tmp_path_factory.mktemp("recording") / "x")
    Path(path).write_bytes(MAGIC + (pack(capture()) if genuine else b"") + tail)
    try:
        with Recording(path) as found:
            captures = list(found.captures())
    except BadListing:
        assert not genuine
    else:
        assert captures[:1] == [capture()]

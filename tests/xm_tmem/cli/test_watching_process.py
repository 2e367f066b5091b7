# SPDX-License-Identifier: GPL-2.0-only
"""The verbs that watch, as processes: readers who have enough, a full disk, Ctrl-C, a kill, narrow terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from tests.xm_tmem.cli.test_process import command, environment, imported, on_terminal, shell, xm
from xm_tmem.backends.replay import open_saved
from xm_tmem.listing.capture import Capture
from xm_tmem.listing.recording import Recorder, Recording

LISTING = (
    b"G=Tt:%d,Te:0,Ta:5,Et:%d,Ec:7,Pc:9\nC=CI:1,ww:0,ca:0,co:0,fr:0,Tc:0,Ge:0,Pp:0,Gp:0\n"
    b"P=CI:1,PI:0,PT:EP,U0:0,U1:0,Pc:9,Pm:9,ps:%d,pt:%d,px:0,gs:0,gt:%d,ft:0\nT\n"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A recording of a minute."""
    path = str(tmp_path / "some.xmr")
    with Recorder(path) as recorder:
        for n in range(7):
            text = LISTING % (n * 100, n * 3, n * 10, n * 10, n * 20)
            recorder.add(Capture(1e9 + n * 10, "model:x", text, {}, ({"domain_id": 1, "name": "web"},)))
    return path


def verbs(file: str) -> dict[str, list[str]]:
    live = ["-c", f"replay:{file}"]
    return {
        "diff": ["tmem-diff", file],
        "plot": ["tmem-plot", file],
        "metrics": [*live, "tmem-metrics"],
        "check": [*live, "tmem-check", "--forget"],
        "top": [*live, "tmem-top", "-b", "-d", "0.02"],
        "record": [*live, "tmem-record", file + ".new", "--count", "2", "--interval", "0.02"],
    }


PRINTING = ("diff", "plot", "metrics", "top")


@pytest.mark.parametrize("verb", PRINTING)
def test_a_reader_who_has_enough_is_no_error(file: str, verb: str) -> None:
    ran = shell('"$@" | head -1; exit "${PIPESTATUS[0]}"', *verbs(file)[verb])
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("\n") == 1


@pytest.mark.parametrize("verb", PRINTING)
def test_a_full_disk_is_one_line_and_status_1(file: str, verb: str) -> None:
    ran = shell('"$@" > /dev/full', *verbs(file)[verb])
    assert (ran.returncode, ran.stderr) == (
        1,
        "xm: cannot write to standard output: No space left on device\n",
    )


def test_what_is_no_regular_file_is_not_recorded_to(file: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in ("/dev/full", str(fifo)):
        ran = xm("-c", f"replay:{file}", "tmem-record", path, "--count", "1")
        assert (ran.returncode, ran.stderr) == (2, f"xm: {path} is no regular file\n")


@pytest.mark.parametrize("verb", [*PRINTING, "check", "record"])
@pytest.mark.parametrize("columns", [40, 1])
@pytest.mark.parametrize(
    "environ", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}], ids=str
)
def test_any_terminal_is_written_to(file: str, verb: str, columns: int, environ: dict[str, str]) -> None:
    words = verbs(file)[verb] + (["-n", "1"] if verb == "top" else [])
    shown = on_terminal(words, environ, columns)
    assert "Traceback" not in shown
    assert "internal error" not in shown
    if verb not in ("check", "record"):
        assert shown.count("\n") >= 3
    if environ.get("LC_ALL") == "C":
        assert shown.isascii()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_it_a_recording_is_whole(file: str, tmp_path: Path, number: signal.Signals) -> None:
    made = tmp_path / "made.xmr"
    words = command("-c", f"replay:{file}", "-v", "tmem-record", str(made), "--interval", "0.01")
    with subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = [process.stderr.readline() for _ in range(6)]
        process.send_signal(number)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "captures added to" in rest
        assert rest.endswith("xm: interrupted\n")
    with Recording(str(made)) as recording:
        assert len(list(recording.captures())) >= sum("bytes added" in line for line in seen)


def test_ctrl_c_in_batch_mode_is_status_130_and_one_line(file: str) -> None:
    with subprocess.Popen(
        command(*verbs(file)["top"]),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == "xm: interrupted\n"
    assert process.returncode == 130


@pytest.mark.parametrize("verb", ["metrics", "check", "record", "diff", "plot"])
def test_none_of_them_imports_what_it_does_not_need(file: str, verb: str) -> None:
    heavy = {
        "rich",
        "yaml",
        "libvirt",
        "sqlite3",
        "asyncio",
        "matplotlib",
        "prometheus_client",
        "hypervisor_model.hypervisor",
    }
    assert not imported(*verbs(file)[verb]) & heavy


def test_reading_one_capture_of_many_reads_one_capture(tmp_path: Path) -> None:
    """A day at ten seconds: the last capture is found by its head, without unpacking the others."""
    path = str(tmp_path / "long.xmr")
    text = b"".join(b"P=CI:%d,PI:0,PT:EP,Pc:1\n" % n for n in range(500))
    with Recorder(path) as recorder:
        for n in range(300):
            recorder.add(Capture(1e9 + n, "x", b"C=CI:%d\n" % n + text, {}, ()))
    unpacked = []
    real = zlib.decompressobj

    def counting() -> object:
        unpacked.append(1)
        return real()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "decompressobj", counting)
        saved = open_saved("replay:x", f"{path}@-100s")
    assert b"C=CI:199\n" in saved.list_text(None, use_long=True)
    assert len(unpacked) == 1

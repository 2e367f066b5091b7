# SPDX-License-Identifier: GPL-2.0-only
"""`xm model` from argv to output: a host started and stopped, a scenario run, and one clear line for what is wrong."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import boot
from tests.conftest import Golden
from xm_tmem.cli import model_cmd
from xm_tmem.cli.progress import Show

ROOT = Path(__file__).parents[3]
SHORT = """
guests:
  - {name: web, workload: {kind: zipf, working_set: 1MiB, operations: 3000}}
  - {name: db, max_memory: 8MiB, pools: [{persistent: true}], workload: {kind: random, operations: 1000}}
"""
ENDLESS = SHORT.replace("operations: 3000", "operations: null, rate: 20000")


# One guest may own no more, so that none of its swap goes to tmem; the others: a file, no swap, no disk at all.
SWAPPING = """
host: {memory: 64MiB, contents: tokens}
guests:
  - {name: full, kind: linux, memory: 8MiB, max_memory: 8MiB, kernel: 1MiB, swap: 16MiB, workload: &held
      {kind: usemem, size: 9MiB, lifetimes: 1, hold: 1s}}
  - {name: roomy, kind: linux, memory: 8MiB, kernel: 1MiB, workload: {kind: scan, file: 9MiB, passes: 2}}
  - {name: starved, kind: linux, memory: 8MiB, kernel: 1MiB, swap: 0 pages, workload: *held}
  - {name: direct, workload: {kind: random, operations: 1000}}
"""


class Xm:
    """Runs `xm` in a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "run").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),  # this checkout, whichever is installed
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_CONFIG_HOME": str(directory / "config"),
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "xm_tmem", *words],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "xm_tmem", *words],
            env=self.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def file(self, text: str, name: str = "scenario.yaml") -> str:
        (self.directory / name).write_text(text)
        return name


@pytest.fixture
def xm() -> Iterator[Xm]:
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    xm = Xm(directory)
    try:
        yield xm
        xm("model", "stop", "--discard")
    finally:
        shutil.rmtree(directory)


def test_a_host_from_start_to_stop(xm: Xm) -> None:
    started = xm("model", "start")
    assert started.returncode == 0, started.stderr
    assert f"log: {xm.directory}/state/xm-tmem/default/host.log" in started.stdout
    again = xm("model", "start")
    assert again.returncode == 1
    assert again.stderr.startswith("xm: the model host default is running already, as process ")
    status = json.loads(xm("model", "status", "-o", "json").stdout)
    assert (status["state"], status["guests"], status["factor"]) == ("running", 3, 1.0)
    assert status["scenario"].endswith("default.yaml")
    assert "state" in xm("model", "status").stdout
    assert xm("tmem-freeze", "web").returncode == 0
    assert xm("model", "checkpoint").stdout == f"written: {status['checkpoint']}\n"
    assert xm("model", "stop").returncode == 0
    gone = xm("model", "stop")
    assert (gone.returncode, gone.stderr) == (
        5,
        "xm: no model host default is running; `xm model start` starts one\n",
    )
    resumed = xm("model", "start", "--resume", "--factor", "max")
    assert resumed.returncode == 0, resumed.stderr
    assert ",fr:1," in xm("tmem-list", "-o", "raw", "web").stdout


def test_hosts_of_several_names(xm: Xm) -> None:
    path = xm.file(SHORT)
    assert "xm -c model:lab tmem-list" in xm("model", "start", path, "--name", "lab").stdout
    assert xm("-c", "model:lab", "tmem-list").returncode == 0
    assert xm("model", "status").returncode == 5
    assert xm("model", "stop", "--name", "lab", "-q").stdout == ""


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["start", "none.yaml"], 2, "none.yaml: cannot be read: No such file or directory"),
        (["start", "bad.yaml"], 2, "bad.yaml:1: gests: no such key; did you mean guests?"),
        (["start", "--resume"], 1, "there is no checkpoint at"),
        (["start", "--resume", "x.yaml"], 2, "give no other"),
        (["start", "--name", "../x"], 2, "'../x' cannot be the name of a model host"),
        (["start", "--factor", "0"], 2, "--factor 0: give modelled seconds per second"),
        (["start", "--factor", "nan"], 2, "--factor nan"),
        (["start", "--checkpoint-every", "-1"], 2, "checkpoint-every"),
        (["stop", "--name", ""], 2, "cannot be the name"),
        (["run", "bad.yaml"], 2, "bad.yaml:1: gests"),
        (["run"], 2, "missing argument"),
        (["run", "good.yaml", "-o", "csv"], 2, "has no csv output"),
        (["explode"], 2, "explode"),
        (["st"], 2, "st"),
        (["sto"], 5, "no model host default is running"),
    ],
)
def test_one_line_says_what_is_wrong(xm: Xm, words: list[str], status: int, complaint: str) -> None:
    xm.file("gests: []", "bad.yaml")
    xm.file(SHORT, "good.yaml")
    done = xm("model", *words)
    assert done.returncode == status
    assert done.stdout == ""
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (xm.directory / "run" / "xm-tmem").exists()


def test_run_prints_the_final_listing(xm: Xm) -> None:
    path = xm.file(SHORT)
    done = xm("model", "run", path)
    assert done.returncode == 0, done.stderr
    assert "4000 operations in 3.0 s of modelled time on Xen 4.3" in done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["web", "db"]
    raw = xm("model", "run", path, "-o", "raw").stdout
    assert raw.startswith("G=Tt:")
    assert raw == xm("model", "run", path, "-o", "raw").stdout


def test_run_shows_the_work_of_guests_that_have_a_disk(xm: Xm, golden: Golden) -> None:
    done = xm("model", "run", xm.file(SWAPPING))
    assert done.returncode == 0, done.stderr
    golden("scenario/run-swapping.plain", done.stdout)
    assert "starved ran out of memory" in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 2
    report = json.loads(xm("model", "run", "scenario.yaml", "-o", "json").stdout)
    rows = [line.split() for line in done.stdout.split("guests:\n")[1].splitlines()]
    drivers = {guest["name"]: guest["driver"] for guest in report["guests"]}
    for row in rows[1:]:
        shown, counted = dict(zip(rows[0], row, strict=True)), drivers[row[0]]
        assert int(shown["stores"]) == counted["frontswap_succ_stores"]
        assert int(shown["failed"]) == counted["frontswap_failed_stores"]
        assert int(shown["oom"]) == counted["out_of_memory"]
    assert drivers["full"]["frontswap_failed_stores"] > 0


def test_a_run_without_tmem_is_a_run(xm: Xm) -> None:
    """It is what a run with tmem is compared with."""
    path = xm.file(SWAPPING.replace("host: {", "host: {command_line: tmem=0, "))
    done = xm("model", "run", path, "--json", "without.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "guests:"
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["full", "roomy", "starved"]
    assert "xm: tmem is off on this host: there is nothing to list" in done.stderr.splitlines()
    assert json.loads((xm.directory / "without.json").read_text())["complete"]
    direct = xm("model", "run", xm.file("host: {command_line: tmem=0}" + SHORT))
    assert (direct.returncode, direct.stdout) == (0, "")
    raw = xm("model", "run", path, "-o", "raw")
    assert (raw.returncode, raw.stdout) == (5, ""), "a listing was asked for, and there is none"


def test_run_reports_to_programs(xm: Xm) -> None:
    text = "description: Two of a kind." + SHORT
    report = json.loads(xm("model", "run", xm.file(text), "-o", "json").stdout)
    assert (report["schema"], report["complete"]) == ("xm-tmem/run/1", True)
    assert report["description"] == "Two of a kind."
    assert [guest["driver"]["operations"] for guest in report["guests"]] == [3000, 1000]


def test_run_writes_a_page_and_a_report_with_samples(xm: Xm) -> None:
    path = xm.file(SHORT)
    done = xm("model", "run", path, "--html", "run.html", "--json", "run.json", "-o", "json")
    assert done.returncode == 0, done.stderr
    page = (xm.directory / "run.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<figure>") == 4
    written = json.loads((xm.directory / "run.json").read_text())
    history = written.pop("history")
    assert written == json.loads(done.stdout)
    assert history["time_s"][-1] == written["host"]["modelled_s"]
    assert [guest["gets"][-1] for guest in history["guests"]] == [
        guest["gets"] for guest in written["guests"]
    ]
    same = xm("model", "compare", "run.json", "run.json", "-o", "json")
    assert json.loads(same.stdout)["comparison"] == []


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_file_that_cannot_be_written_is_known_before_the_run(xm: Xm, option: str) -> None:
    done = xm("model", "run", xm.file(ENDLESS), option, "nowhere/file")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "xm: nowhere/file: cannot be written: No such file or directory\n"


def test_an_interrupted_run_reports_what_there_is(xm: Xm) -> None:
    process = xm.popen("model", "run", xm.file(ENDLESS), "-o", "json", "--html", "run.html")
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads(output)
    assert not report["complete"]
    assert report["host"]["operations"] > 0
    assert errors.startswith("xm: interrupted")
    assert "was interrupted" in (xm.directory / "run.html").read_text()


def test_progress_on_request(xm: Xm) -> None:
    done = xm("model", "run", xm.file(SHORT), "--progress")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("scenario", "duration_us", "what", "total"),
    [
        (SHORT, None, "operations", 4000),
        (ENDLESS, 2_000_000, "modelled seconds", 2.0),
        (SWAPPING, None, "modelled seconds", None),
        (SWAPPING, 100_000_000, "modelled seconds", 100.0),
    ],
)
def test_progress_is_of_what_is_known(
    monkeypatch: pytest.MonkeyPatch, scenario: str, duration_us: int | None, what: str, total: float | None
) -> None:
    runner = boot(load_text(scenario))
    runner.duration_us = runner.duration_us if duration_us is None else duration_us
    bars: list[tuple[str, float | None]] = []
    shown: list[tuple[float, str]] = []

    @contextmanager
    def bar(what: str, total: float | None, *, shown: bool) -> Iterator[Show]:
        bars.append((what, total))
        yield show

    def show(done: float, note: str) -> None:
        shown.append((done, note))

    monkeypatch.setattr(model_cmd, "bar", bar)
    assert model_cmd._run(runner, None, with_bar=True)
    assert bars == [(what, total)]
    done, note = shown[-1]
    assert done == (runner.operations if what == "operations" else runner.time_us / 1e6)
    assert note.endswith(" operations/s")
    assert note.startswith(f"{done:,.1f}, ") == (what != "operations")


def test_a_sweep_shows_every_run_and_goes_on_where_it_was(xm: Xm) -> None:
    path = xm.file(SHORT)
    words = ("model", "sweep", path, "--to", "results.jsonl", "--vary")
    first = xm(*words, "seed=1,2", "-o", "csv")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[0] == "seed,ephemeral_pages,evicted,hit_ratio.web,hit_ratio.db"
    kept = xm.directory / "results.jsonl"
    lines = kept.read_text().splitlines()
    kept.write_text(lines[0] + "\n" + lines[1][:100])  # as if it had been killed while it wrote
    again = xm(*words, "seed=1,2,3", "-o", "csv")
    assert again.stdout.splitlines()[:3] == first.stdout.splitlines()
    assert len(again.stdout.splitlines()) == 4
    varied = [json.loads(line)["vary"]["seed"] for line in kept.read_text().splitlines()]
    assert varied[0] == json.loads(lines[0])["vary"]["seed"], "what was whole is kept"
    assert sorted(varied) == ["1", "2", "3"]  # as they were done, two at a time
    bad = xm(*words, "weight.nobody=1")
    assert (bad.returncode, len(bad.stderr.splitlines())) == (2, 1)


def test_a_sweep_shows_time_and_disk_of_guests_that_have_one(xm: Xm) -> None:
    linux = (
        "  - {name: builder, kind: linux, memory: 24MiB, kernel: 8MiB,\n"
        "     workload: {kind: compile, jobs: 2, sources: 6, builds: 1, heap: 4MiB}}\n"
    )
    words = ("model", "sweep", xm.file(SHORT + linux), "--vary", "vcpus.builder=1,2", "-o")
    done = xm(*words, "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert list(rows[0])[-2:] == ["modelled_s.builder", "disk_pages.builder"]
    assert "disk_pages.web" not in rows[0]
    assert float(rows[0]["modelled_s.builder"]) > float(rows[1]["modelled_s.builder"])
    runs = json.loads(xm(*words, "json").stdout)["runs"]
    driver = next(guest for guest in runs[0]["report"]["guests"] if guest["name"] == "builder")["driver"]
    pages = sum(driver[key] for key in ("file_pages_read", "file_pages_written", "swap_ins", "swap_outs"))
    assert int(rows[0]["disk_pages.builder"]) == pages > 0


def test_a_sweep_goes_on_with_its_axes_in_another_order(xm: Xm) -> None:
    words = ("model", "sweep", xm.file(SHORT), "--to", "results.jsonl", "-o", "csv")
    assert xm(*words, "--vary", "seed=1", "--vary", "weight.web=3").returncode == 0
    again = xm(*words, "--vary", "weight.web=3", "--vary", "seed=1,2")
    assert (again.returncode, again.stderr) == (0, "")
    rows = again.stdout.splitlines()
    assert rows[0].startswith("weight.web,seed,")
    assert [row[:4] for row in rows[1:]] == ["3,1,", "3,2,"]
    assert len((xm.directory / "results.jsonl").read_text().splitlines()) == 2


def test_results_of_a_scenario_since_edited_are_not_taken_for_its_own(xm: Xm) -> None:
    words = ("model", "sweep", xm.file(SHORT), "--vary", "seed=1", "--to", "results.jsonl")
    assert xm(*words).returncode == 0
    before = (xm.directory / "results.jsonl").read_bytes()
    xm.file(SHORT.replace("3000", "400"))
    done = xm(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "xm: results.jsonl: line 1 is of what the scenario, a file it names, or xm was before it changed: "
        "give another --to, or remove the file\n"
    )
    assert (xm.directory / "results.jsonl").read_bytes() == before


def test_two_sweeps_do_not_write_one_file(xm: Xm) -> None:
    words = ("model", "sweep", xm.file(SHORT), "--vary", "seed=1", "--to", "results.jsonl")
    with open(xm.directory / "results.jsonl", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = xm(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "xm: results.jsonl: another sweep is at work on it\n"
    assert xm(*words).returncode == 0


def test_results_are_not_added_to_a_file_of_something_else(xm: Xm) -> None:
    path = xm.file(SHORT)
    done = xm("model", "sweep", path, "--vary", "seed=1", "--to", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "xm: scenario.yaml: line 1 is no result of a sweep: give another --to\n"
    assert (xm.directory / path).read_text() == SHORT


def test_runs_are_compared(xm: Xm) -> None:
    for name, text in (("a", SHORT), ("b", "seed: 2\n" + SHORT)):
        xm.file(xm("model", "run", xm.file(text), "-o", "json").stdout, f"{name}.json")
    rows = json.loads(xm("model", "compare", "a.json", "b.json", "-o", "json").stdout)["comparison"]
    assert {row["where"] for row in rows} >= {"web", "db"}
    assert all(row["first"] != row["second"] for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "guests: []",
        "{}",
        "3",
        "[" * 200_000,
        '{"schema": "xm-tmem/run/1", "guests": 3, "host": []}',
    ],
)
def test_what_is_no_report_of_a_run_is_named(xm: Xm, text: str | None) -> None:
    xm.file(xm("model", "run", xm.file(SHORT), "-o", "json").stdout, "good.json")
    if text is not None:
        xm.file(text, "bad.json")
    for words in (("good.json", "bad.json"), ("bad.json", "good.json")):
        done = xm("model", "compare", *words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert done.stderr.startswith("xm: bad.json: ")


TRACED = """
guests:
  - {name: good, kind: linux, memory: 8MiB, workload: {kind: scan, file: 1MiB, passes: 3}}
  - {name: bad, kind: linux, memory: 8MiB, workload: {kind: trace, file: trace.csv}}
"""
GOOD_LINES = "".join(f"1,{number}\n" for number in range(100))
BROKEN = "bad ended before its time: {}/trace.csv, line 101: invalid literal for int() with base 10: 'oops'\n"


def test_a_trace_that_is_not_there_is_bad_input_with_its_line_and_key(xm: Xm) -> None:
    path = xm.file(TRACED)
    for words in (("run", path), ("start", path), ("sweep", path, "--vary", "seed=1")):
        done = xm("model", *words)
        assert (done.returncode, done.stdout) == (2, "")
        place = f"{path}:4: guests[1].workload.file: {xm.directory}/trace.csv"
        assert done.stderr == f"xm: {place}: No such file or directory (read as csv)\n"


def test_a_trace_that_breaks_ends_a_run_with_one_line_and_a_report(xm: Xm) -> None:
    path = xm.file(TRACED)
    xm.file(GOOD_LINES + "oops\n", "trace.csv")
    told = BROKEN.format(xm.directory)
    done = xm("model", "run", path, "--json", "run.json", "--html", "run.html", "-o", "yaml")
    assert (done.returncode, done.stderr) == (2, f"xm: {told}")
    assert "complete: false" in done.stdout
    report = json.loads((xm.directory / "run.json").read_text())
    assert not report["complete"]
    assert report["guests"][1]["driver"]["accesses"] == 100
    assert f"bad ended before its time: {report['guests'][1]['driver']['failure']}\n" == told
    assert (xm.directory / "run.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(xm.directory.glob(".*.new"))
    swept = xm("model", "sweep", path, "--vary", "seed=1", "--to", "kept.jsonl")
    assert (swept.returncode, swept.stdout, swept.stderr) == (2, "", f"xm: {told}")
    assert (xm.directory / "kept.jsonl").read_text() == ""
    listed = xm("-c", f"scenario:{path}", "tmem-list")
    assert (listed.returncode, listed.stdout, len(listed.stderr.splitlines())) == (2, "", 1)
    assert "line 101" in listed.stderr


def test_a_trace_that_breaks_is_a_line_in_the_log_of_a_host_that_lives_on(xm: Xm) -> None:
    xm.file(GOOD_LINES + "oops\n", "trace.csv")
    started = xm("model", "start", xm.file(TRACED), "--factor", "max")
    assert started.returncode == 0, started.stderr
    log = xm.directory / "state" / "xm-tmem" / "default" / "host.log"
    deadline = time.monotonic() + 20
    while "has ended" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert xm("tmem-list").returncode == 0
    assert xm("model", "stop").returncode == 0
    told = BROKEN.format(xm.directory).replace("bad ended before its time", "guest bad has ended")
    assert log.read_text().count(told) == 1
    assert "Traceback" not in log.read_text()


def test_a_file_is_as_it_was_until_a_run_has_ended(xm: Xm) -> None:
    kept = xm.directory / "run.json"
    kept.write_text("as before")
    kept.chmod(0o640)
    (xm.directory / "link.json").symlink_to("run.json")
    process = xm.popen("model", "run", xm.file(ENDLESS), "--json", "link.json")
    deadline = time.monotonic() + 20
    while not list(xm.directory.glob(".run.json.*.new")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    assert kept.read_text() == "as before"
    done = xm("model", "run", xm.file(SHORT), "--json", "link.json")
    assert done.returncode == 0, done.stderr
    assert (xm.directory / "link.json").is_symlink()
    assert json.loads(kept.read_text())["complete"]
    assert kept.stat().st_mode & 0o777 == 0o640


def test_a_running_host_reports_the_work_of_its_guests(xm: Xm) -> None:
    assert xm("model", "start", xm.file(SWAPPING), "--factor", "max").returncode == 0
    deadline = time.monotonic() + 30
    while json.loads(xm("model", "status", "-o", "json").stdout)["state"] != "finished":
        assert time.monotonic() < deadline
    reported = xm("model", "report", "-o", "json")
    found = json.loads(reported.stdout)
    assert (found["schema"], found["complete"]) == ("xm-tmem/run/1", True)
    assert found["guests"][0]["driver"]["swap_outs"] > 0
    [row] = [line for line in xm("model", "report").stdout.splitlines() if found["guests"][0]["name"] in line]
    assert str(found["guests"][0]["driver"]["swap_outs"]) in row.replace(",", "")
    (xm.directory / "now.json").write_text(reported.stdout)
    assert xm("model", "compare", "now.json", "now.json").returncode == 0
    run_here = json.loads(xm("model", "run", "scenario.yaml", "-o", "json").stdout)
    assert run_here["guests"] == found["guests"]


def test_a_host_without_linux_guests_says_where_to_look(xm: Xm) -> None:
    assert xm("model", "report").returncode == 5
    assert xm("model", "start", xm.file(SHORT)).returncode == 0
    reported = xm("model", "report")
    assert (reported.returncode, reported.stdout) == (0, "")
    assert "xm tmem-list" in reported.stderr

# SPDX-License-Identifier: GPL-2.0-only
"""tmem-record, replay:FILE of what it made, and tmem-diff."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import OID, Host, Xm
from xm_tmem.listing.capture import Capture
from xm_tmem.listing.recording import Recorder, Recording


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "some.xmr")


def test_a_recording_grows_by_the_captures_asked_for(xm: Xm, file: str) -> None:
    assert xm("tmem-record", file, "--count", "2", "--interval", "0.05") == (
        0,
        "",
        f"xm: 2 captures added to {file}\n",
    )
    assert xm("-q", "tmem-record", file, "--count", "1") == (0, "", "")
    assert xm("tmem-record", file, "--count", "1").err == f"xm: 1 capture added to {file}\n"
    with Recording(file) as found:
        captures = list(found.captures())
    assert len(captures) == 4
    assert captures[0].timestamp < captures[1].timestamp < captures[2].timestamp
    assert {each.connection for each in captures} == {"model:default"}


def test_every_command_that_reads_reads_a_recording(xm: Xm, host: Host, file: str) -> None:
    live = {words: xm(*words).out for words in READING}
    xm("tmem-record", file, "--count", "1")
    host.hv.set_frozen(1, True)
    for words, shown in live.items():
        ran = xm("-c", f"replay:{file}", *words)
        assert (ran.status, ran.err) == (0, ""), words
        assert ran.out == shown, words
    facts = xm("-c", f"replay:{file}", "info", "-o", "json").json
    assert (facts["release"], facts["xen_version"][:3], facts["options"]) == ("4.3", "4.3", "tmem=1")
    assert facts["recorded_at"].endswith("Z")


READING = (
    ("list",),
    ("tmem-list",),
    ("tmem-list", "-l", "web"),
    ("tmem-list", "--by-client", "--columns", "name,weight"),
    ("tmem-freeable",),
)


def test_what_a_recording_cannot_do_is_said(xm: Xm, file: str) -> None:
    xm("tmem-record", file, "--count", "1")
    ran = xm("-c", f"replay:{file}", "tmem-freeze", "web")
    assert ran.status == 5
    assert "cannot freeze" in ran.err


def test_other_hosts_and_other_files_are_not_added_to(xm: Xm, file: str, tmp_path: Path) -> None:
    xm("tmem-record", file, "--count", "1")
    before = Path(file).read_bytes()
    ran = xm("-c", "model:new", "tmem-record", file, "--count", "1")
    assert (ran.status, ran.err) == (2, f"xm: {file} is a recording of model:default, not of model:new\n")
    assert xm("-c", "model:new", "-c", "model:old", "tmem-record", file).status == 2
    assert Path(file).read_bytes() == before
    diary = tmp_path / "diary"
    diary.write_text("dear diary, today I listed some domains\n")
    assert xm("tmem-record", str(diary), "--count", "1").status == 2
    assert xm("tmem-record", str(tmp_path), "--count", "1").status == 2
    assert xm("tmem-record", "-", "--count", "1").status == 2
    assert xm("tmem-record", str(tmp_path / "no" / "such"), "--count", "1").status == 1


def test_a_host_that_is_not_there_leaves_no_file(xm: Xm, file: str) -> None:
    assert xm("-c", "model:none", "tmem-record", file).status == 5
    assert not Path(file).exists()


def test_a_torn_capture_is_cut_and_said(xm: Xm, file: str) -> None:
    xm("tmem-record", file, "--count", "2", "--interval", "0.01")
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[:-7])
    assert xm("-c", f"replay:{file}", "tmem-list").status == 0
    ran = xm("tmem-record", file, "--count", "1")
    assert ran.status == 0
    assert "cut off a torn capture" in ran.err
    with Recording(file) as found:
        assert len(list(found.captures())) == 2


def recorded_work(xm: Xm, host: Host, file: str) -> None:
    """Two captures, and in between four gets of web's, three of them in vain."""
    xm("tmem-record", file, "--count", "1")
    for index in (1, 50, 51, 52):
        host.hv.domain(1).get(1, OID, index)
    xm("tmem-record", file, "--count", "1")


def test_diff_of_a_recording_is_from_its_first_to_its_last(xm: Xm, host: Host, file: str) -> None:
    recorded_work(xm, host, file)
    whole = xm("tmem-diff", file, "-o", "json").json
    found = {(c["record"], c["name"], c["pool"], c["field"]): c for c in whole["changes"]}
    gets = found["pool", "web", "1", "gets"]
    assert gets["change"] == 4
    assert gets["per_second"] == pytest.approx(4 / whole["seconds"])
    assert found["pool", "web", "1", "found_gets"]["change"] == 1
    assert found["pool", "web", "1", "pgp_count"]["change"] == -1
    assert found["pool", "web", "1", "pgp_count"]["per_second"] is None
    assert not any(name == "db" for _, name, _, _ in found)
    assert whole == {**xm("tmem-diff", "-o", "json", f"{file}@first", file).json, "before": whole["before"]}


def test_diff_is_read_by_a_person_and_by_csv(xm: Xm, host: Host, file: str) -> None:
    recorded_work(xm, host, file)
    status, out, err = xm("tmem-diff", file)
    assert (status, err) == (0, "")
    row = next(line.split() for line in out.splitlines() if "found_gets" in line)
    assert row[:6] == ["pool", "1", "web", "1", "same", "found_gets"]
    lines = xm("tmem-diff", file, "-o", "csv").out.splitlines()
    assert lines[0] == "record,domain,name,pool,state,field,before,after,change,per_second"
    jsonl = [json.loads(line) for line in xm("tmem-diff", file, "-o", "jsonl").out.splitlines()]
    assert len(jsonl) == len(lines) - 1
    assert "db" in xm("tmem-diff", "--all", file).out


def test_a_domain_that_came_back_is_reset_and_never_negative(xm: Xm, host: Host, file: str) -> None:
    xm("tmem-record", file, "--count", "1")
    host.hv.destroy_domain(1)
    host.hv.destroy_domain(2)
    again = host.hv.create_domain(1, name="web")
    pool = again.new_pool(persistent=True)
    again.put(pool, OID, 0, b"\1" * 4096)
    xm("tmem-record", file, "--count", "1")
    changes = xm("tmem-diff", file, "-o", "json").json["changes"]
    web = {c["field"]: c for c in changes if c["record"] == "pool" and c["domain"] == 1 and c["pool"] == "0"}
    assert {c["state"] for c in web.values()} == {"reset"}
    assert (web["puts"]["before"], web["puts"]["after"], web["puts"]["change"]) == (10, 1, 1)
    assert {c["state"] for c in changes if c["domain"] == 2} == {"gone"}
    assert all(c["per_second"] is None or c["per_second"] >= 0 for c in changes)


def test_diff_takes_connections_listings_and_moments(xm: Xm, host: Host, file: str, tmp_path: Path) -> None:
    recorded_work(xm, host, file)
    saved = tmp_path / "saved.txt"
    saved.write_text(host.hv.list_text(use_long=True))
    assert xm("tmem-diff", str(saved), "model:old").status == 0
    assert xm("tmem-diff", f"{file}@-1d", file).status == 2
    assert "goes back in time" in xm("tmem-diff", file, f"{file}@first").err
    assert "before" in xm("tmem-diff", file, f"replay:{file}@first").out
    assert xm("tmem-diff", "--wait", "0.05").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ["saved", "saved", "saved"],
        ["saved", "--wait", "1s"],
        ["model:old"],
        ["nosuch"],
        ["nosuch@first"],
        ["-o", "prometheus"],
        ["--wait", "never"],
    ],
)
def test_diff_of_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, words: list[str]) -> None:
    ran = xm("tmem-diff", *words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1


def test_diff_of_one_listing_with_itself_in_time_is_refused(xm: Xm, file: str) -> None:
    xm("tmem-record", file, "--count", "1")
    ran = xm("-c", f"replay:{file}", "tmem-diff")
    assert ran.status == 2
    assert "stands still" in ran.err


def test_moments_of_a_text_are_refused(xm: Xm, host: Host, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(host.hv.list_text())
    ran = xm("-c", f"replay:{saved}@first", "tmem-list")
    assert (ran.status, ran.err) == (2, f"xm: {saved} is one listing and no recording: it has no moments\n")


def test_a_domain_that_cannot_be_is_left_out(xm: Xm, file: str) -> None:
    domains = (
        {"domain_id": 0x7FF0, "name": "all"},
        {"domain_id": -1},
        {"domain_id": 5, "name": 3, "vcpus": "x"},
    )
    with Recorder(file) as recorder:
        recorder.add(Capture(1.0, "x", b"G=Tt:1\nT\n", {"options": 3, "release": []}, domains))
    rows = xm("-c", f"replay:{file}", "list", "-o", "json").json["domains"]
    assert [(row["id"], row["name"], row["vcpus"]) for row in rows] == [(5, None, None)]

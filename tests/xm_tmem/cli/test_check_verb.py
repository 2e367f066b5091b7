# SPDX-License-Identifier: GPL-2.0-only
"""tmem-check from its words to its status; what it remembers on the disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm

QUIET = ("--limit", "lost-pages=off")


def memory(tmp_path: Path) -> Path:
    (file,) = (tmp_path / ".local" / "state" / "xm-tmem" / "checks").iterdir()
    return file


def test_all_is_well_is_silent_and_status_0(xm: Xm) -> None:
    assert xm("tmem-check", *QUIET) == (0, "", "")
    assert xm("tmem-check", *QUIET, "-o", "json").json == {"schema": "xm-tmem/findings/1", "findings": []}


def test_a_finding_is_a_line_and_status_7(xm: Xm) -> None:
    rest = "10 persistent pages, of which xl migrate on Xen 4.3.4 loses at least 1\n"
    out = f"lost-pages: web (1): {rest}lost-pages: db (2): {rest}"
    assert xm("tmem-check") == (7, out, "xm: 2 findings\n")


def test_findings_for_a_program(xm: Xm) -> None:
    ran = xm("tmem-check", "-o", "json", "lost-pages")
    assert ran.status == 7
    assert ran.json["findings"][0] == {
        "connection": "model:default",
        "rule": "lost-pages",
        "domain_id": 1,
        "domain": "web",
        "pool": None,
        "message": "10 persistent pages, of which xl migrate on Xen 4.3.4 loses at least 1",
        "value": 1,
        "limit": 0.0,
    }
    assert len(xm("tmem-check", "-o", "jsonl").out.splitlines()) == 2
    assert xm("tmem-check", "-o", "csv").out.startswith("connection,rule,domain_id")


def test_how_long_a_domain_is_frozen_is_remembered_from_run_to_run(xm: Xm, tmp_path: Path) -> None:
    words = ["tmem-check", "frozen", "--limit", "frozen=0.001s"]
    xm("tmem-freeze", "web")
    assert xm(*words) == (0, "", "")
    ran = xm(*words)
    assert ran.status == 7
    assert ran.out.startswith("frozen: web (1): frozen for ")
    assert xm(*words, "--forget").status == 0
    file = memory(tmp_path)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    file.write_bytes(b"torn")
    assert xm(*words) == (0, "", "")  # a memory that cannot be read is none
    assert xm(*words).status == 7


def test_refused_puts_are_noticed_from_run_to_run(xm: Xm, host: Host) -> None:
    words = ["tmem-check", "refused"]
    assert xm(*words).status == 0
    host.hv.set_frozen(1, True)
    host.hv.domain(1).put(1, 7, 777, b"\1" * 4096)
    host.hv.set_frozen(1, False)  # between two checks nobody saw that it was
    ran = xm(*words)
    assert (ran.status, ran.out.split(" in ")[0]) == (
        7,
        "refused: web (1), pool 1: 1 puts refused for lack of memory",
    )
    assert xm(*words).status == 0


def test_a_host_of_its_own_has_a_memory_of_its_own(xm: Xm, tmp_path: Path) -> None:
    xm("-c", "model:old", "-c", "model:new", "tmem-check")
    names = sorted(file.name for file in (tmp_path / ".local" / "state" / "xm-tmem" / "checks").iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["model-new", "model-old"]


def test_several_hosts_are_told_apart_and_one_that_is_down_is_an_error(xm: Xm) -> None:
    ran = xm("-c", "model:old", "-c", "model:new", "tmem-check")
    assert ran.status == 7
    assert {line.split(": ")[0] for line in ran.out.splitlines()} == {"model:old", "model:new"}
    ran = xm("-c", "model:old", "-c", "model:none", "tmem-check")
    assert ran.status == 6
    assert "model:none" in ran.err
    assert ran.out.startswith("model:old: lost-pages")
    assert xm("-c", "model:none", "tmem-check").status == 5


def test_tmem_that_is_off_is_a_finding_and_no_error(xm: Xm, hosts: dict[str, Host]) -> None:
    off = Host.__new__(Host)
    from hypervisor_model.hypervisor import Hypervisor

    off.hv, off.names = Hypervisor(release="4.3", frames=4096, command_line="tmem=0"), {0: "Domain-0"}
    off.hv.create_domain(0)
    hosts["model:off"] = off
    ran = xm("-c", "model:off", "tmem-check")
    assert ran.status == 7
    assert ran.out.startswith("tmem-off: model:off: tmem is off; boot Xen")


def test_limits_come_from_the_config_file(xm: Xm, environ: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("check: {lost-pages: 1, frozen: 2h, hit-rate: off}\n")
    environ["XM_CONFIG"] = str(config)
    assert xm("tmem-check").status == 0
    shown = {row["rule"]: row["limit"] for row in xm("tmem-check", "--rules", "-o", "json").json["rules"]}
    assert (shown["lost-pages"], shown["frozen"], shown["hit-rate"]) == ("1", "7200s", "off")
    assert "lost-pages: 1" in xm("config", "show").out
    for bad in ("check: [frozen]", "check: {nosuch: 1}", "check: {frozen: [1]}", "check: {frozen: soon}"):
        config.write_text(bad)
        ran = xm("tmem-check")
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1), bad


def test_the_rules_are_told(xm: Xm) -> None:
    lines = xm("tmem-check", "--rules").out.splitlines()
    assert len(lines) == 8
    assert lines[3].split()[:2] == ["frozen", "3600s"]
    assert [row["limit"] for row in json.loads(xm("tmem-check", "--rules", "-o", "json").out)["rules"]][
        4
    ] == "5%"


def test_a_state_directory_that_cannot_be_written_loses_no_finding(
    xm: Xm, environ: dict[str, str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    environ["XDG_STATE_HOME"] = str(blocked)
    ran = xm("tmem-check")
    assert ran.status == 7
    assert len(ran.out.splitlines()) == 2
    assert "cannot remember this check" in ran.err


@pytest.mark.parametrize("words", [["nosuch"], ["--limit", "frozen"], ["--limit", "frozen=x"], ["-o", "raw"]])
def test_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, words: list[str]) -> None:
    ran = xm("tmem-check", *words)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)

# SPDX-License-Identifier: GPL-2.0-only
"""tmem-flush, tmem-freeable, tmem-reclaim: how much, and that everybody is left as he was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hypervisor_model.hypervisor import Hypervisor
from tests.xm_tmem.cli.conftest import OID, Host, Xm


@pytest.fixture
def full(hosts: dict[str, Host]) -> Host:
    """A host whose memory is all in use, web's ephemeral pages being most of it."""
    host = hosts[""]
    host.hv = Hypervisor(release="4.3", frames=2048, command_line="tmem=1", exact=False)
    host.hv.create_domain(0)
    for domid, name in ((1, "web"), (2, "db")):
        guest = host.hv.create_domain(domid, name=name)
        pool = guest.new_pool()
        for index in range(700):
            guest.put(pool, OID + index // 64, index % 64, index.to_bytes(2, "little") * 2048)
    return host


def ephemeral(host: Host) -> int:
    return int(host.hv.list_text(None, use_long=True).split("Ec:")[1].split(",")[0])


def test_freeable_is_one_number_in_mib(xm: Xm, full: Host) -> None:
    status, out, err = xm("tmem-freeable")
    assert (status, err) == (0, "")
    assert int(out) == 1400 // 256


def test_freeable_for_a_program_says_what_it_consists_of(xm: Xm, full: Host) -> None:
    assert xm("tmem-freeable", "-o", "json").json == {
        "schema": "xm-tmem/freeable/1",
        "freeable": [{"connection": "model:default", "freeable_mb": 5, "ephemeral": 1400, "idle": 0}],
    }


def test_flush_evicts_and_prints_what_was_freed(xm: Xm, full: Host) -> None:
    before = ephemeral(full)
    status, out, _ = xm("tmem-flush", "-a", "1MiB")
    assert (status, out) == (0, "1024 KiB were freed\n")
    assert before - ephemeral(full) >= 256


def test_a_flush_of_nothing_much_is_no_failure(xm: Xm) -> None:
    status, out, _ = xm("tmem-flush", "1GiB")
    assert status == 0
    assert out.endswith(" KiB were freed\n")


def test_a_dry_flush_evicts_nothing(xm: Xm, full: Host) -> None:
    before = ephemeral(full)
    assert xm("-N", "tmem-flush", "4MiB").out == "4096 KiB could be freed\n"
    assert ephemeral(full) == before


@pytest.mark.parametrize("size", ["", "0", "-5", "much", "1XB", "4TiB", "1e9", "99999999999999999999"])
def test_a_size_that_is_none_is_a_usage_error(xm: Xm, full: Host, size: str) -> None:
    before = ephemeral(full)
    ran = xm("tmem-flush", size)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ephemeral(full) == before


def test_reclaim_frees_and_thaws_only_those_that_were_thawed(xm: Xm, full: Host) -> None:
    xm("tmem-freeze", "db")
    status, out, _ = xm("tmem-reclaim", "1MiB")
    assert (status, out) == (0, "1024 of 1024 KiB were freed; 5 MiB were freeable\n")
    assert (full.frozen(1), full.frozen(2)) == (False, True)


def test_reclaim_of_more_than_there_is_fails_and_restores(xm: Xm, full: Host) -> None:
    ran = xm("tmem-reclaim", "1GiB")
    assert ran.status == 1
    assert "only" in ran.err
    assert not full.frozen(1)


def test_a_command_runs_while_all_are_frozen(xm: Xm, full: Host, tmp_path: Path) -> None:
    status, out, _ = xm("tmem-reclaim", "4KiB", "--", sys.executable, "-c", "print('in the window')")
    assert status == 0
    assert out.startswith("in the window\n")
    assert not full.frozen(1)


def test_a_failing_command_fails_the_reclaim_and_restores(xm: Xm, full: Host) -> None:
    ran = xm("tmem-reclaim", "4KiB", "--", sys.executable, "-c", "raise SystemExit(3)")
    assert ran.status == 1
    assert "exit status 3" in ran.err
    assert not full.frozen(1)


def test_a_command_that_is_not_there_fails_and_restores(xm: Xm, full: Host) -> None:
    ran = xm("tmem-reclaim", "4KiB", "--", "/nonexistent/program")
    assert ran.status == 2
    assert not full.frozen(1)


def test_a_dry_reclaim_runs_nothing_and_evicts_nothing(xm: Xm, full: Host, tmp_path: Path) -> None:
    before, mark = ephemeral(full), tmp_path / "mark"
    assert xm("-N", "tmem-reclaim", "1MiB", "--", "touch", str(mark)).status == 0
    assert ephemeral(full) == before
    assert not mark.exists()


def test_reclaim_is_for_one_host(xm: Xm, hosts: dict[str, Host]) -> None:
    assert xm("-c", "model:old", "-c", "model:new", "tmem-reclaim", "4KiB").status == 2


def test_reclaim_in_json(xm: Xm, full: Host) -> None:
    document = json.loads(xm("tmem-reclaim", "-o", "json", "4KiB").out)
    assert document["reclaimed"] == [{"asked_kb": 4, "freeable_mb": 5, "freed_kb": 4, "command_status": None}]


class Terminal:
    """Somebody who answers `answer` to every question."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("perhaps\n", 1)]
)
def test_a_flush_asks_when_there_is_somebody_to_ask(
    xm: Xm, full: Host, monkeypatch: pytest.MonkeyPatch, answer: str, status: int
) -> None:
    before = ephemeral(full)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ran = xm("tmem-flush", "1MiB")
    assert ran.status == status
    assert "[y/N]" in ran.err
    assert (ephemeral(full) < before) == (status == 0)


@pytest.mark.parametrize("words", [["-y"], ["-N"]])
def test_nobody_is_asked_who_said_yes_or_changes_nothing(
    xm: Xm, full: Host, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ran = xm(*words, "tmem-flush", "4KiB")
    assert (ran.status, ran.err) == (0, "")


def test_the_config_file_can_say_yes(
    xm: Xm, full: Host, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ["XM_CONFIRM"] = "off"
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert xm("tmem-destroy", "-a").status == 0

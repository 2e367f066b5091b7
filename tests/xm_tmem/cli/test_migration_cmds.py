# SPDX-License-Identifier: GPL-2.0-only
"""tmem-save, tmem-restore, tmem-migrate and tmem-stream, from argv to what the user finds."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from hypervisor_model.hypervisor import Hypervisor
from tests.xm_tmem.cli.conftest import NAMES, Host, Xm
from tests.xm_tmem.streams.samples import saved_client, write_all
from xm_tmem.streams.inspection import summarise
from xm_tmem.streams.items import Head, Origin, StreamFormat

OID = 7
VERBS = ("save", "restore", "migrate", "stream")


class SavingHost(Host):
    """A model with domains web, whose tmem has 300 pages, and idle, which has none; without Xen's quirks."""

    def __init__(self, release: str = "4.3", quirks: str = "documented", pages: int = 300) -> None:
        self.names = dict(NAMES)
        self.hv = Hypervisor(
            release=release, quirks=quirks, frames=4096, command_line="tmem=1 tmem_compress=1", exact=False
        )
        for domid, name in self.names.items():
            self.hv.create_domain(domid, name=name)
        guest = self.hv.domain(1)
        for _ in range(2 if pages else 0):
            pool_id = guest.new_pool(persistent=True)
            for index in range(pages // 2):
                assert guest.put(pool_id, OID, index, bytes([index % 251, pool_id]) * 2048) == 1

    def pages(self, domid: int, pages: int = 300) -> int:
        """How many of the pages of `web` the domain has, by their contents."""
        guest = self.hv.domain(domid)
        wanted = {(pool, n): bytes([n % 251, pool]) * 2048 for pool in range(2) for n in range(pages // 2)}
        return sum(guest.get(pool, OID, n)[1] == page for (pool, n), page in wanted.items())


@pytest.fixture
def hosts() -> dict[str, Host]:
    return {
        "": SavingHost(),
        "model:other": SavingHost("4.12", pages=0),
        "model:xen": SavingHost(quirks="xen"),
        "model:small": SavingHost(quirks="xen", pages=2),
    }


@pytest.fixture
def saved(xm: Xm, tmp_path: Path) -> str:
    """A file with the tmem of web."""
    path = str(tmp_path / "web.tmem")
    assert xm("tmem-save", "web", path).status == 0
    return path


def test_save_and_restore_through_a_file(xm: Xm, hosts: dict[str, Host], tmp_path: Path) -> None:
    path = tmp_path / "web.tmem"
    assert xm("tmem-save", "web", str(path)) == (0, "web (1): 300 pages of 2 pools saved\n", "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["web.tmem"]
    assert xm("tmem-restore", str(path), "idle") == (0, "idle (3): 300 pages of 2 pools restored\n", "")
    host = hosts[""]
    assert isinstance(host, SavingHost)
    assert host.pages(3) == 300
    assert not host.frozen(1)


def test_migrate_to_the_domain_of_the_same_name_or_another(xm: Xm, hosts: dict[str, Host]) -> None:
    assert xm("tmem-migrate", "web", "model:other") == (
        0,
        "web (1) of model:other: 300 pages of 2 pools restored\n",
        "",
    )
    assert xm("tmem-migrate", "1", "model:other", "--to", "db", "--rate", "1GiB").status == 0
    other = hosts["model:other"]
    assert isinstance(other, SavingHost)
    assert (other.pages(1), other.pages(2)) == (300, 300)
    status, _, err = xm("tmem-migrate", "web", "model:other")
    assert (status, err.count("\n")) == (1, 1)
    assert "uses tmem already (2 pools, 300 pages)" in err


def test_a_live_migration_runs_a_command_at_the_switch(xm: Xm, tmp_path: Path) -> None:
    mark = tmp_path / "switched"
    assert xm("tmem-migrate", "--live", "--switch", f"touch '{mark}'", "web", "model:other").status == 0
    assert mark.exists()
    status, _, err = xm("tmem-migrate", "--live", "--switch", "false", "web", "model:other", "--to", "db")
    assert status == 1
    assert "xm: false ended with exit status 1. Every page was taken back" in err


def test_a_xen_that_loses_pages_is_refused_with_status_5(
    xm: Xm, hosts: dict[str, Host], tmp_path: Path
) -> None:
    path = tmp_path / "web.tmem"
    status, out, err = xm("-c", "model:xen", "tmem-save", "web", str(path))
    assert (status, out, err.count("\n"), path.exists()) == (5, "", 1, False)
    assert "cannot be saved whole by Xen 4.3.4, and nothing was changed" in err
    assert xm("-c", "model:xen", "-N", "tmem-save", "web", str(path)).status == 5
    status, out, err = xm("-c", "model:xen", "tmem-save", "--partial", "web", str(path))
    assert (status, out) == (6, "web (1): 298 pages of 2 pools saved\n")
    assert err == "xm: web (1): pages are missing from the save: 1 of pool 0, 1 of pool 1\n"
    assert xm("tmem-restore", str(path), "idle").status == 1
    assert xm("tmem-restore", "--partial", str(path), "idle").status == 0
    assert not hosts["model:xen"].frozen(1)


def test_a_xen_with_a_page_in_each_pool_is_saved_whole(xm: Xm, tmp_path: Path) -> None:
    path = str(tmp_path / "web.tmem")
    assert xm("-c", "model:small", "tmem-save", "web", path).status == 0
    assert xm("-c", "model:small", "tmem-save", "--live", "web", path, "--force").status == 5


def test_a_dry_run_writes_and_changes_nothing(
    xm: Xm, hosts: dict[str, Host], saved: str, tmp_path: Path
) -> None:
    path = tmp_path / "new.tmem"
    assert xm("-N", "tmem-save", "web", str(path)).out == "web (1): would be: 300 pages of 2 pools saved\n"
    assert not path.exists()
    assert (
        xm("-N", "tmem-restore", saved, "idle").out == f"idle (3): would be: 2 pools restored from {saved}\n"
    )
    assert xm("-N", "tmem-migrate", "web", "model:other").out.startswith(
        "web (1): would be: 300 pages copied"
    )
    assert "CI:3" not in hosts[""].hv.list_text()
    assert "CI:1" not in hosts["model:other"].hv.list_text()


def test_a_file_is_not_replaced_unless_told(xm: Xm, saved: str, tmp_path: Path) -> None:
    before = Path(saved).read_bytes()
    status, _, err = xm("tmem-save", "web", saved)
    assert (status, err) == (2, f"xm: {saved} is there already: choose another name, or --force\n")
    assert xm("tmem-save", "web", saved, "--force", "--compress").status == 0
    assert len(Path(saved).read_bytes()) < len(before) / 10
    assert xm("tmem-save", "web", str(tmp_path / "no" / "such")).status == 1
    assert xm("tmem-save", "web", "/dev/full").err == "xm: cannot write /dev/full: No space left on device\n"


def test_save_to_standard_output_keeps_reports_out_of_it(xm: Xm, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    status, _, err = xm("tmem-save", "web", "-")
    assert (status, err) == (0, "xm: web (1): 300 pages of 2 pools saved\n")
    stream = out.buffer
    assert isinstance(stream, io.BytesIO)
    assert summarise(io.BytesIO(stream.getvalue()), "output").pages == 300
    status, _, err = xm("-o", "json", "tmem-save", "web", "-")
    assert status == 2
    assert "cannot have both the stream and a report" in err.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (["tmem-save", "nobody", "x"], 3, "no domain is called 'nobody'"),
        (["tmem-save", "idle", "x"], 3, "never used tmem"),
        (["tmem-save", "65536", "x"], 2, "no domain id"),
        (["tmem-save", "--switch", "true", "web", "x"], 2, "--switch is for --live"),
        (["tmem-save", "--live", "--switch", "'", "web", "x"], 2, "No closing quotation"),
        (["tmem-save", "--rate", "0", "web", "x"], 2, "a rate of 0"),
        (["tmem-save", "--format", "A", "--compress", "web", "x"], 2, "cannot be compressed"),
        (["tmem-restore", "/no/such", "idle"], 2, "cannot read /no/such: No such file"),
        (["tmem-restore", "/dev/null", "idle"], 2, "byte 0: the stream ends in the middle of the marker"),
        (["tmem-migrate", "web", "model:other", "--to", "nobody"], 3, "no domain is called 'nobody'"),
        (["tmem-stream", "/no/such"], 2, "cannot read /no/such"),
        (["tmem-stream", "/etc/passwd"], 7, "this is no tmem save stream"),
        (["tmem-stream", "--extract", "x", "--convert", "A", "y", "/dev/null"], 2, "two things"),
    ],
)
def test_mistakes_are_told_in_one_line(
    xm: Xm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = xm(*arguments)
    assert ran.status == status
    assert what in ran.err
    assert ran.err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_stream_is_described(xm: Xm, saved: str) -> None:
    status, out, _ = xm("tmem-stream", saved)
    assert status == 0
    for text in ("container", "4.3.4", "web", "300"):
        assert text in out
    whole = xm("tmem-stream", "-o", "json", saved).json
    assert (whole["format"], whole["whole"], whole["complete"], whole["pages"]) == (
        "container",
        True,
        True,
        300,
    )
    assert [(pool["pool_id"], pool["pages"], pool["missing"]) for pool in whole["pools"]] == [
        (0, 150, 0),
        (1, 150, 0),
    ]


def test_a_broken_stream_is_described_as_far_as_it_goes(xm: Xm, saved: str) -> None:
    raw = Path(saved).read_bytes()
    Path(saved).write_bytes(raw[:-500])
    status, out, err = xm("tmem-stream", "-o", "json", saved)
    assert status == 7
    assert json.loads(out)["whole"] is False
    assert f"xm: {saved}: byte {len(raw) - 500}: " in err


def test_a_hostile_name_in_a_stream_cannot_drive_the_terminal(xm: Xm, saved: str) -> None:
    items = list(saved_client(1))
    head = items[0]
    assert isinstance(head, Head)
    evil = Head(head.format, head.client, Origin("model:x", "4.3", "4.3", 1, "\x1b[2J\nxm: all is well"))
    Path(saved).write_bytes(write_all([evil, *items[1:]], StreamFormat.CONTAINER))
    status, out, _ = xm("tmem-stream", saved)
    assert status == 0
    assert "\x1b" not in out
    assert "\nxm: all is well" not in out


@pytest.mark.parametrize("fmt", ["A", "b", "container"])
def test_a_stream_is_converted_and_restored(
    xm: Xm, hosts: dict[str, Host], saved: str, tmp_path: Path, fmt: str
) -> None:
    out = str(tmp_path / "out")
    assert xm("tmem-stream", "--convert", fmt, out, saved) == (0, "", "")
    assert xm("tmem-restore", out, "idle").status == 0
    host = hosts[""]
    assert isinstance(host, SavingHost)
    assert host.pages(3) == 300


def test_pages_are_extracted(xm: Xm, saved: str, tmp_path: Path) -> None:
    directory = tmp_path / "pages"
    assert xm("tmem-stream", "--extract", str(directory), saved).status == 0
    assert len(list(directory.rglob("*.page"))) == 300
    status, _, err = xm("tmem-stream", "--extract", str(directory), saved)
    assert status == 1
    assert "is there already" in err


def test_a_stream_comes_through_a_pipe(xm: Xm, saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    def piped() -> io.TextIOWrapper:
        return io.TextIOWrapper(Pipe(Path(saved).read_bytes()))

    monkeypatch.setattr(sys, "stdin", piped())
    assert xm("tmem-restore", "-", "idle").out == "idle (3): 300 pages of 2 pools restored\n"
    monkeypatch.setattr(sys, "stdin", piped())
    assert xm("tmem-stream", "-").status == 0


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(xm: Xm, verb: str) -> None:
    status, out, _ = xm(f"tmem-{verb}", "--help")
    assert status == 0
    assert f"xm tmem-{verb} " in out.partition("Examples:")[2]

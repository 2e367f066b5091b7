# SPDX-License-Identifier: GPL-2.0-only
"""tmem-plot: charts in a pipe and a terminal, numbers, images; names from hostile hands in all of them."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.xm_tmem.cli.conftest import OID, Host, Xm
from xm_tmem.listing.capture import Capture
from xm_tmem.listing.recording import Recorder

HOSTILE = '_a$\\frac{b}$ <script>"\x1b[2J\u202e\u65e5\ud800'


@pytest.fixture
def file(xm: Xm, host: Host, tmp_path: Path) -> str:
    path = str(tmp_path / "some.xmr")
    for _ in range(3):
        xm("tmem-record", path, "--count", "1")
        host.hv.domain(1).get(1, OID, 99)
    return path


def test_charts_of_every_domain(xm: Xm, file: str) -> None:
    status, out, err = xm("tmem-plot", file)
    assert (status, err) == (0, "")
    titles = [line.partition(" now")[0] for line in out.splitlines() if " now " in line]
    assert titles == [
        f"{domain} {field}"
        for field in ("pgp_count", "gets/s", "hit_rate")
        for domain in ("web (1)", "db (2)")
    ]
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "web (1) pgp_count now 76KiB" in out
    assert "\u2588" not in out  # no locale was set


def test_blocks_where_the_locale_speaks_utf_8(xm: Xm, file: str, environ: dict[str, str]) -> None:
    environ["LANG"] = "en_GB.UTF-8"
    out = xm("tmem-plot", file, "web", "--fields", "pages").out
    assert ("\u2588" in out) == ("utf" in (sys.stdout.encoding or "").lower())


def test_some_domains_some_fields_pools_and_the_host(xm: Xm, file: str) -> None:
    out = xm("tmem-plot", file, "web", "--fields", "host.ops,puts", "--pools").out
    titles = [line.partition(" now")[0] for line in out.splitlines() if " now " in line]
    assert titles == ["host ops/s", "web (1), pool 0 puts/s", "web (1), pool 1 puts/s"]


def test_numbers_for_programs(xm: Xm, file: str) -> None:
    rows = list(
        csv.DictReader(
            io.StringIO(xm("tmem-plot", file, "web", "--fields", "gets,host.ops", "-o", "csv").out)
        )
    )
    assert [row["field"] for row in rows] == ["gets/s"] * 3 + ["host.ops/s"] * 3
    assert (rows[0]["value"], float(rows[1]["value"]) > 0) == ("", True)
    found = xm("tmem-plot", file, "-o", "json", "--fields", "pages").json
    assert found["schema"] == "xm-tmem/history/1"
    assert [record["value"] for record in found["history"]] == [19.0] * 6


def test_moments_bound_the_time(xm: Xm, file: str) -> None:
    assert (
        len(
            xm(
                "tmem-plot", file, "web", "--fields", "pages", "-o", "jsonl", "--since", "+0.000001s"
            ).out.splitlines()
        )
        == 3
    )
    words = ["tmem-plot", file, "-o", "csv"]
    assert xm(*words, "--since", "-1h").out == xm(*words).out != ""  # all of a recording that is younger
    ran = xm("tmem-plot", file, "--since", "last")
    assert (ran.status, ran.err) == (2, f"xm: {file}: one capture has no history\n")


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_images(xm: Xm, file: str, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib", reason="needs xm-tmem[plot]")
    path = tmp_path / f"some.{kind.upper()}"
    assert xm("tmem-plot", file, "--fields", "pages,host.ops", "--image", str(path)) == (0, "", "")
    drawn = path.read_bytes()
    if kind == "png":
        assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    else:
        svg = drawn.decode()
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert all(text in svg for text in ("pgp_count", "host ops/s", "web (1)", "db (2)"))
    assert xm("tmem-plot", file, "--image", str(tmp_path / "no" / f"such.{kind}")).status == 1


def test_a_hostile_name_is_only_text(xm: Xm, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs xm-tmem[plot]")
    path, image = str(tmp_path / "some.xmr"), tmp_path / "some.svg"
    with Recorder(path) as recorder:
        for when in (1.0, 2.0):
            text = b"G=Tt:1\nC=CI:1\nP=CI:1,PI:0,PT:EP,Pc:5\nT\n"
            recorder.add(Capture(when, "x", text, {}, ({"domain_id": 1, "name": HOSTILE},)))
    assert xm("tmem-plot", path, "--fields", "pages", "--image", str(image)) == (0, "", "")
    svg = image.read_text()
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert "\\frac{b}" in svg  # in a comment or as text, and not drawn as a fraction
    out = xm("tmem-plot", path, "--fields", "pages").out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_images_without_matplotlib_say_what_to_install(
    xm: Xm, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "xm_tmem.render.image", raising=False)
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    ran = xm("tmem-plot", file, "--image", str(tmp_path / "x.png"))
    assert (ran.status, ran.err) == (5, "xm: --image needs matplotlib: pip install 'xm-tmem[plot]'\n")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--fields", "nosuch"],
        ["--fields", "name"],
        ["--image", "x.gif"],
        ["gone"],
        ["--since", "never"],
        ["-o", "raw"],
    ],
)
def test_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, file: str, words: list[str]) -> None:
    ran = xm("tmem-plot", file, *words)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_what_is_no_recording_is_said(xm: Xm, host: Host, tmp_path: Path) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(host.hv.list_text())
    ran = xm("tmem-plot", str(saved))
    assert (ran.status, ran.err) == (1, "xm: saved.txt is no recording; `xm tmem-record` makes one\n")
    assert xm("tmem-plot", str(tmp_path / "none")).status == 2

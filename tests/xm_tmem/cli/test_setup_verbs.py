# SPDX-License-Identifier: GPL-2.0-only
"""doctor, config, completion, help, tmem-explain, tmem-uuid, tmem-list-parse: the verbs that ask no hypervisor."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
import yaml

from tests import recordings
from tests.xm_tmem.cli.conftest import Host, Xm
from xm_tmem.listing.explain import KINDS
from xm_tmem.settings import SETTINGS, load

UUID = "00112233-4455-6677-8899-aabbccddeeff"


def test_doctor_finds_a_good_host_good(xm: Xm) -> None:
    ran = xm("doctor", "-o", "json")
    findings = {finding["check"]: finding for finding in ran.json["findings"]}
    assert ran.status == 0
    assert findings["connection"]["state"] == findings["tmem"]["state"] == "ok"


def test_doctor_says_why_there_are_no_caps(xm: Xm) -> None:
    out = xm("-c", "model:new", "doctor", "-o", "json").json["findings"]
    assert [f["advice"] for f in out if f["check"] == "set cap"] == [
        "caps were retired in Xen 4.8, and no release ever enforced them"
    ]


def test_doctor_has_the_status_of_a_connection_that_fails(xm: Xm) -> None:
    ran = xm("-c", "model:nosuch", "doctor")
    assert ran.status == 5
    assert "BAD" in ran.out


def test_doctor_tells_tmem_off_from_idle(xm: Xm, hosts: dict[str, Host]) -> None:
    from hypervisor_model.hypervisor import Hypervisor

    for release in ("4.3", "4.12"):
        hosts[""].hv = Hypervisor(release=release, frames=1024, command_line="tmem=0", exact=False)
        hosts[""].hv.create_domain(0)
        ran = xm("doctor")
        assert ran.status == 5
        assert "tmem=1" in ran.out
        listing = xm("tmem-list")
        assert (listing.status, listing.out) == (5, "")
        assert "tmem=1" in listing.err


def test_config_init_writes_a_file_that_changes_nothing(
    xm: Xm, environ: dict[str, str], tmp_path: Path
) -> None:
    ran = xm("config", "init")
    path = tmp_path / ".config" / "xm" / "config.yaml"
    assert ran == (0, "", f"xm: wrote {path}\n")
    text = path.read_text()
    for setting in SETTINGS:
        assert f"#{setting.key}: " in text
        assert setting.purpose in text
    assert yaml.safe_load(text) is None
    again = xm("config", "init")
    assert again.status == 2
    assert "--force" in again.err


def test_every_line_of_the_written_file_can_be_switched_on(
    xm: Xm, environ: dict[str, str], tmp_path: Path
) -> None:
    text = xm("config", "init", "--stdout").out
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()
    ]
    path = tmp_path / "all.yaml"
    path.write_text("\n".join(lines))
    loaded, builtin = load({"XM_CONFIG": str(path)}), load({"XM_CONFIG": os.devnull})
    for setting in SETTINGS:
        assert getattr(loaded, setting.attribute) == getattr(builtin, setting.attribute), setting.key


def test_config_show_tells_where_each_value_is_from(xm: Xm, environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("units: MiB\ngroups: {lab: ['model:old', 'model:new']}\n")
    environ["XM_CONFIG"] = str(path)
    environ["XM_TIMEOUT"] = "3"
    rows = {row["setting"]: row for row in xm("config", "show", "-o", "json").json["settings"]}
    assert (rows["units"]["value"], rows["units"]["origin"]) == ("MiB", str(path))
    assert (rows["timeout"]["value"], rows["timeout"]["origin"]) == ("3", "$XM_TIMEOUT")
    assert (rows["color"]["value"], rows["color"]["origin"]) == ("auto", "built-in")
    assert xm("-c", "lab", "tmem-freeze", "web").out.count("frozen") == 2


@pytest.mark.parametrize(
    "text", ["[", "unit: pages", "units: furlongs", "timeout: soon", "- a", "connect: 3"]
)
def test_a_bad_config_file_is_one_line_that_names_it(
    xm: Xm, environ: dict[str, str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    environ["XM_CONFIG"] = str(path)
    ran = xm("list")
    assert (ran.status, ran.out) == (2, "")
    assert str(path) in ran.err
    assert ran.err.count("\n") == 1


def test_an_unused_xm_config_is_told(xm: Xm, environ: dict[str, str]) -> None:
    environ["XM_CONFIG"] = "/nonexistent.yaml"
    assert xm("list").status == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(xm: Xm, shell: str) -> None:
    status, out, _ = xm("completion", shell)
    assert status == 0
    assert "tmem-freeze" in out


def test_completion_of_an_unknown_shell_names_the_known_ones(xm: Xm) -> None:
    ran = xm("completion", "csh")
    assert ran.status == 2
    assert "bash" in ran.err


def test_help_is_the_commands_own_help(xm: Xm) -> None:
    assert xm("help", "tmem-list").out == xm("tmem-list", "--help").out
    assert xm("help").out == xm("--help").out
    assert xm("help", "config", "show").out == xm("config", "show", "-h").out
    assert xm("help", "nosuch").status == 2


@pytest.mark.parametrize(
    "word", ["Ec", "eph_count", "EFROZEN", "1000", "weight", "destroy", "NoSuchDomain", "efrozen"]
)
def test_explain_knows_keys_errors_statuses_and_oddities(xm: Xm, word: str) -> None:
    status, out, _ = xm("tmem-explain", word)
    assert status == 0
    assert out


@pytest.mark.parametrize("words", [["-l"], ["--by-client"], []])
def test_explain_knows_every_heading_of_a_listing(xm: Xm, words: list[str]) -> None:
    lines = xm("tmem-list", *words).out.splitlines()
    for heading in next(line for line in lines if line.startswith("domain")).split():
        assert xm("tmem-explain", heading).status == 0, heading


def test_explain_knows_every_value_of_a_document(xm: Xm) -> None:
    document = xm("tmem-list", "-o", "json").json
    for record in (document["host"], document["clients"][0], document["pools"][0]):
        for name in record:
            assert xm("tmem-explain", name).status == 0, name


def test_explain_tells_why_a_weight_does_the_opposite(xm: Xm) -> None:
    assert "client_over_quota" in xm("tmem-explain", "weight").out


def test_explain_minds_the_case_of_keys_and_tells_all_lines_that_have_one(xm: Xm) -> None:
    assert "G= (the host)" in xm("tmem-explain", "Pc").out
    assert "P= (a pool)" in xm("tmem-explain", "Pc").out
    assert xm("tmem-explain", "gt").out != xm("tmem-explain", "Gt").out


def test_explain_without_a_word_has_the_whole_dictionary(xm: Xm) -> None:
    found = xm("tmem-explain", "-o", "json").json["entries"]
    assert {entry["kind"] for entry in found} == set(KINDS)
    assert all(entry["meaning"] for entry in found)
    rows = list(csv.DictReader(io.StringIO(xm("tmem-explain", "-o", "csv").out)))
    assert [row["title"] for row in rows] == [entry["title"] for entry in found]


def test_explain_of_nonsense_says_so(xm: Xm) -> None:
    assert xm("tmem-explain", "zzzz").status == 2


def test_uuid_shows_every_encoding(xm: Xm) -> None:
    facts = xm("tmem-uuid", UUID, "-o", "json").json
    assert facts["linux"] == UUID
    assert (facts["uuid_0"], facts["uuid_1"]) == ("7766554433221100", "ffeeddccbbaa9988")
    assert facts["for_xl"] == "ffeeddcc-bbaa-9988-7766-554433221100"
    assert facts["xen_log"] == "ffeeddccbbaa9988.7766554433221100"
    assert xm("tmem-uuid", "--order", "xen", facts["for_xl"], "-o", "json").json == facts


def test_uuid_of_nonsense_is_status_2(xm: Xm) -> None:
    assert xm("tmem-uuid", "0123").status == 2


@pytest.fixture
def listing() -> Path:
    root = recordings.root()
    if root is None:
        pytest.skip("no recordings")
    return root / "listings" / "4.12-list-two-domains-long.txt"


def test_list_parse_compat_is_what_the_old_tool_prints(xm: Xm, listing: Path) -> None:
    ran = xm("tmem-list-parse", "--compat", str(listing))
    assert (ran.status, ran.out) == (0, listing.with_suffix(".parsed").read_text())


def test_list_parse_is_for_people_and_programs_too(xm: Xm, listing: Path) -> None:
    assert "pools:" in xm("tmem-list-parse", str(listing)).out
    assert len(json.loads(xm("tmem-list-parse", "-o", "json", str(listing)).out)["pools"]) == 9


def test_list_parse_of_a_missing_file_is_one_line(xm: Xm) -> None:
    ran = xm("tmem-list-parse", "/nonexistent")
    assert ran.status == 2
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("text", ["", "dear diary\n"])
def test_list_parse_of_what_has_nothing_of_a_listing_is_refused(xm: Xm, tmp_path: Path, text: str) -> None:
    path = tmp_path / "diary"
    path.write_text(text)
    told = f"xm: {path} has no line of a listing as `xl tmem-list -l` and `xm tmem-list -o raw` print it\n"
    assert xm("tmem-list-parse", str(path)) == (2, "", told)


def test_list_parse_of_garbage_says_what_it_did_not_understand(xm: Xm, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(b"\xff\x1b[2J nothing of this\nC=CI:1\n" * 3)
    ran = xm("tmem-list-parse", str(path))
    assert ran.status == 0
    assert "\x1b" not in ran.out + ran.err

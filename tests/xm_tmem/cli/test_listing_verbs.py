# SPDX-License-Identifier: GPL-2.0-only
"""list, info, tmem-list: what is shown, in which format, and what hostile names cannot do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from tests.xm_tmem.cli.conftest import Host, Xm


def test_list_has_every_domain_with_its_tmem(xm: Xm) -> None:
    status, out, err = xm("list")
    assert (status, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    table = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["name"] for row in table] == ["Domain-0", "web", "db", "idle"]
    web, idle = table[1], table[3]
    assert (web["pools"], web["ephemeral"], web["persistent"]) == ("2", "9", "10")
    assert (web["hit_rate"], web["weight"], web["frozen"]) == ("50.0%", "0", "no")
    assert (idle["pools"], idle["weight"]) == ("0", "-")


def test_list_of_several_hosts_says_which(xm: Xm) -> None:
    records = xm("-c", "model:old", "-c", "model:new", "list", "-o", "json").json["domains"]
    assert [(r["host"], r["id"]) for r in records] == [
        (h, i) for h in ("model:old", "model:new") for i in range(4)
    ]


@pytest.mark.parametrize("connection", ["model:old", "model:new"])
def test_info_says_what_a_host_can_and_cannot(xm: Xm, connection: str) -> None:
    facts = xm("-c", connection, "info", "-o", "json").json
    assert facts["tmem"] == "on"
    assert ("set-cap" in facts["can"].split()) == (connection == "model:old")
    assert facts["release"] == {"model:old": "4.3", "model:new": "4.12"}[connection]


def test_info_of_several_hosts_is_one_document_too(xm: Xm) -> None:
    hosts = xm("-c", "model:old", "-c", "model:new", "info", "-o", "json").json["hosts"]
    assert [host["release"] for host in hosts] == ["4.3", "4.12"]
    assert xm("-c", "model:old", "-c", "model:new", "info").out.count("control_abi") == 2


def test_tmem_list_shows_each_pool(xm: Xm) -> None:
    status, out, err = xm("tmem-list")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 5
    assert "\x1b" not in out


@pytest.mark.parametrize("words", [["-a"], ["--all"], ["web", "db"], ["1", "2"]])
def test_tmem_list_takes_the_old_forms_and_several_domains(xm: Xm, words: list[str]) -> None:
    assert xm("tmem-list", *words).out == xm("tmem-list").out


def test_one_domain_is_listed_alone(xm: Xm) -> None:
    assert {c["cli_id"] for c in xm("tmem-list", "-o", "json", "db").json["clients"]} == {2}


def test_the_formats_agree(xm: Xm) -> None:
    document = xm("tmem-list", "-o", "json").json
    assert yaml.safe_load(xm("tmem-list", "-o", "yaml").out)["pools"] == document["pools"]
    lines = [json.loads(line) for line in xm("tmem-list", "-o", "jsonl").out.splitlines()]
    assert sum(1 for line in lines if line.get("pool_id") is not None) == len(document["pools"]) == 4
    rows = list(csv.DictReader(io.StringIO(xm("tmem-list", "-o", "csv").out)))
    assert len(rows) == 4
    assert "xen_tmem_up{" in xm("tmem-list", "-o", "prometheus").out


@pytest.mark.parametrize(("words", "use_long"), [([], False), (["-l"], True)])
def test_raw_is_the_hypervisors_own_text(xm: Xm, host: Host, words: list[str], use_long: bool) -> None:
    # Tt counts the questions themselves up to 4.5, hence: of one client, whose lines have no such counter.
    assert xm("tmem-list", "-o", "raw", *words, "web").out == host.hv.list_text(1, use_long=use_long)


def test_sort_filter_columns_and_headings(xm: Xm) -> None:
    xm("tmem-freeze", "db")
    words = ["--columns", "name,pool", "--sort", "-pool,name", "--no-headings"]
    assert xm("tmem-list", *words).out.split() == ["db", "1", "web", "1", "db", "0", "web", "0"]
    assert xm("tmem-list", "--filter", "frozen and pool=1", *words).out.split() == ["db", "1"]


def test_by_client_has_one_row_for_each(xm: Xm) -> None:
    assert len(xm("tmem-list", "--by-client", "--no-headings").out.splitlines()) == 2


def test_units_are_pages_in_a_pipe_and_what_is_asked_for(xm: Xm) -> None:
    words = ["tmem-list", "--by-client", "--no-headings", "--columns", "pages", "web"]
    assert xm(*words).out == "19\n"
    assert xm(*words, "--units", "KiB").out == "76\n"
    assert xm(*words, "--units", "auto").out == "76KiB\n"


def test_the_legend_says_what_the_columns_mean(xm: Xm) -> None:
    assert "pages held" in xm("tmem-list", "--legend").out


@pytest.mark.parametrize(("units", "said"), [("pages", "pages"), ("MiB", "MiB"), ("auto", "size")])
def test_the_legend_has_the_unit_that_is_shown(xm: Xm, units: str, said: str) -> None:
    lines = xm("tmem-list", "--legend", "--units", units).out.splitlines()
    assert [line.split()[1] for line in lines if line.endswith("pages held")] == [said]


def test_units_are_written_as_everywhere_else(xm: Xm) -> None:
    assert "KiB|MiB" in xm("tmem-list", "--help").out
    assert "'KiB', 'MiB'" in xm("tmem-list", "--units", "furlongs").err


@pytest.mark.parametrize(
    "words",
    [
        ["--sort", "nosuch"],
        ["--filter", "frozen and"],
        ["--filter", "(" * 2000],
        ["--columns", "nosuch"],
        ["--columns", ","],
        ["--units", "furlongs"],
        ["-o", "xml"],
        ["-a", "web"],
        ["-l", "--columns", "pages"],
        ["--count", "3"],
        ["--watch", "0"],
        ["--watch=soon"],
    ],
)
def test_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, words: list[str]) -> None:
    ran = xm("tmem-list", *words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1


def test_a_domain_that_is_not_there_does_not_hide_the_others(xm: Xm) -> None:
    ran = xm("tmem-list", "web", "nosuch", "idle")
    assert ran.status == 3 + 3
    assert ran.err.count("\n") == 3
    assert ran.out == xm("tmem-list", "web").out


def test_an_unused_tmem_is_an_empty_list_and_no_error(xm: Xm, hosts: dict[str, Host]) -> None:
    for domid in (1, 2):
        hosts[""].hv.destroy_domain(domid)
    document = xm("tmem-list", "-o", "json").json
    assert (document["clients"], document["pools"]) == ([], [])
    assert xm("tmem-list").status == 0


def test_watch_lists_as_often_as_asked(xm: Xm) -> None:
    once = xm("tmem-list", "web").out
    assert xm("tmem-list", "--watch", "0.01", "--count", "3", "web").out == "\n".join([once] * 3)
    lines = xm("tmem-list", "--watch=0.01", "--count", "2", "-o", "jsonl", "web").out.splitlines()
    assert all(json.loads(line) for line in lines)


def test_a_word_after_watch_that_is_no_number_is_a_domain(xm: Xm) -> None:
    assert xm("tmem-list", "--count", "1", "--watch", "web").out == xm("tmem-list", "web").out


def test_a_watch_of_nothing_ends_at_once(xm: Xm) -> None:
    ran = xm("tmem-list", "--watch", "nosuch")
    assert (ran.status, ran.out, ran.err.count("\n")) == (3, "", 1)


def test_a_watch_in_csv_has_one_line_of_headings(xm: Xm) -> None:
    lines = xm("tmem-list", "--watch", "0.01", "--count", "2", "-o", "csv", "web").out.splitlines()
    assert [line.startswith("cli_id") for line in lines] == [True, False, False, False, False]
    assert xm("tmem-list", "-o", "csv", "--no-headings", "web").out.splitlines() == lines[1:3]


def test_the_csv_of_several_hosts_says_whose_each_row_is(xm: Xm) -> None:
    words = ["tmem-list", "-o", "csv", "--columns", "name", "web", "--by-client"]
    ran = xm("-c", "model:old", "-c", "model:new", *words)
    assert ran.out == "connection,name\nmodel:old,web\nmodel:new,web\n"


def test_some_of_several_hosts_failing_is_status_6(xm: Xm, tmp_path: Path) -> None:
    ran = xm("-c", "model:old", "-c", f"replay:{tmp_path}/nosuch", "tmem-list")
    assert (ran.status, "web" in ran.out) == (6, True)
    assert ran.err.endswith("xm: 1 of 2 failed\n")


@pytest.mark.parametrize("form", ["raw", "prometheus"])
def test_a_format_for_one_host_refuses_several_whether_or_not_they_answer(
    xm: Xm, tmp_path: Path, form: str
) -> None:
    ran = xm("-c", "model:old", "-c", f"replay:{tmp_path}/nosuch", "tmem-list", "-o", form)
    assert (ran.status, ran.out, ran.err) == (
        2,
        "",
        f"xm: -o {form} is for one host at a time, not for 2\n",
    )


def test_several_hosts_are_listed_one_after_the_other(xm: Xm) -> None:
    status, out, _ = xm("-c", "model:old", "-c", "model:new", "tmem-list")
    assert status == 0
    assert out.startswith("model:old:\n")
    assert "\nmodel:new:\n" in out
    documents = xm("-c", "model:old", "-c", "model:new", "tmem-list", "-o", "json").json
    assert [d["connection"] for d in documents] == ["model:old", "model:new"]
    assert [d["release"] for d in documents] == ["4.3", "4.12"]


@pytest.mark.parametrize("verb", ["list", "tmem-list"])
@pytest.mark.parametrize("form", ["plain", "table", "csv"])
def test_a_hostile_name_drives_no_terminal(xm: Xm, hosts: dict[str, Host], verb: str, form: str) -> None:
    hosts[""] = Host(names={0: "Domain-0", 1: "\x1b[2J\x1b]0;owned\x07[red]x", 2: "a\nb\rc", 3: "\u202eevil"})
    out = xm("-o", form, verb).out
    assert "\x1b" not in out.replace("\x1b[", "") or form == "csv"
    assert "\x1b[2J" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "[red]x" in out


@pytest.mark.parametrize("verb", [["tmem-freeze"], ["tmem-list"], ["tmem-set", "-w", "1"]])
def test_a_hostile_name_in_a_message_drives_no_terminal(xm: Xm, verb: list[str]) -> None:
    ran = xm(*verb, "\x1b[2J\x07\nxm: all is well")
    assert ran.status == 3
    assert ran.err.count("\n") == 1
    assert "\x1b" not in ran.err

# SPDX-License-Identifier: GPL-2.0-only
"""tmem-freeze, tmem-thaw, tmem-destroy: from argv to what the hypervisor holds and the user reads."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm


@pytest.mark.parametrize("word", ["web", "1", "01"])
def test_freeze_takes_a_name_or_an_id_and_says_what_it_did(xm: Xm, host: Host, word: str) -> None:
    assert xm("tmem-freeze", word) == (0, "web (1): frozen\n", "")
    assert host.frozen(1)
    assert not host.frozen(2)


def test_freeze_all_freezes_every_client(xm: Xm, host: Host) -> None:
    assert xm("tmem-freeze", "-a") == (0, "all domains: frozen\n", "")
    assert host.frozen(1)
    assert host.frozen(2)


def test_quiet_says_nothing(xm: Xm) -> None:
    assert xm("tmem-freeze", "-q", "web") == (0, "", "")


def test_thaw_undoes_a_freeze(xm: Xm, host: Host) -> None:
    xm("tmem-freeze", "web", "db")
    assert xm("tmem-thaw", "db") == (0, "db (2): thawed\n", "")
    assert host.frozen(1)
    assert not host.frozen(2)


def test_destroy_says_that_it_only_thaws_and_keeps_the_pages(xm: Xm, host: Host) -> None:
    xm("tmem-freeze", "web")
    before = host.hv.list_text(1, use_long=True).replace("fr:1", "fr:0")
    status, out, _ = xm("tmem-destroy", "web")
    assert (status, out) == (0, "web (1): thawed (Xen's DESTROY destroys nothing)\n")
    assert host.hv.list_text(1, use_long=True) == before


def test_a_domain_named_twice_is_done_once(xm: Xm) -> None:
    assert xm("tmem-freeze", "web", "1").out == "web (1): frozen\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["65535"], 2),
        (["70000"], 2),
        (["65536"], 2),
        (["4294967295"], 2),
        (["-1"], 2),
        (["--", "-1"], 2),
        (["9"], 3),
    ],
)
def test_an_id_that_cannot_be_is_never_taken_for_all(
    xm: Xm, host: Host, arguments: list[str], status: int
) -> None:
    ran = xm("tmem-freeze", *arguments)
    assert (ran.status, ran.out) == (status, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1
    assert not host.frozen(1)
    assert not host.frozen(2)


def test_an_unknown_name_is_one_line_and_status_3(xm: Xm) -> None:
    assert xm("tmem-freeze", "nosuch") == (
        3,
        "",
        "xm: no domain is called 'nosuch'; `xm list` shows those there are\n",
    )


def test_a_domain_that_never_used_tmem_is_told_from_one_that_is_not_there(xm: Xm) -> None:
    ran = xm("tmem-freeze", "idle")
    assert ran.status == 3
    assert "tmem" in ran.err
    assert "nosuch" not in ran.err


def test_some_of_several_failing_is_status_6_with_every_result(xm: Xm, host: Host) -> None:
    status, out, err = xm("tmem-freeze", "web", "nosuch", "db")
    assert (status, out) == (6, "web (1): frozen\ndb (2): frozen\n")
    assert "'nosuch'" in err
    assert err.endswith("xm: 1 of 3 failed\n")
    assert host.frozen(2)


def test_all_failing_alike_keeps_their_status(xm: Xm) -> None:
    assert xm("tmem-freeze", "nosuch", "nor-this").status == 3


@pytest.mark.parametrize("arguments", [[], ["-a", "web"]])
def test_neither_or_both_of_all_and_domains_is_a_usage_error(
    xm: Xm, host: Host, arguments: list[str]
) -> None:
    ran = xm("tmem-freeze", *arguments)
    assert ran.status == 2
    assert "tmem-freeze --help" in ran.err
    assert not host.frozen(1)


def test_ambiguous_names_are_refused_with_the_ids(xm: Xm, hosts: dict[str, Host]) -> None:
    hosts[""] = twins = Host(names={0: "Domain-0", 1: "twin", 2: "twin"})
    ran = xm("tmem-freeze", "twin")
    assert ran.status == 2
    assert "1, 2" in ran.err
    assert not twins.frozen(1)


def test_a_number_is_an_id_before_it_is_a_name(xm: Xm, hosts: dict[str, Host]) -> None:
    hosts[""] = host = Host(names={0: "Domain-0", 1: "2", 2: "db", 3: "77"})
    assert xm("tmem-freeze", "2").out == "db (2): frozen\n"
    assert not host.frozen(1)
    assert "77 (3)" in xm("tmem-freeze", "77").err  # no domain has that id, so it is the name


def test_dry_run_changes_nothing_and_still_finds_what_is_wrong(xm: Xm, host: Host) -> None:
    assert xm("-N", "tmem-freeze", "web") == (0, "web (1): would be: frozen\n", "")
    assert not host.frozen(1)
    assert xm("tmem-freeze", "--dry-run", "idle").status == 3


def test_json_has_each_result_and_the_errors_are_on_both_ends(xm: Xm) -> None:
    ran = xm("-o", "json", "tmem-freeze", "web", "nosuch")
    assert ran.json["schema"] == "xm-tmem/results/1"
    good, bad = ran.json["results"]
    assert good == {
        "connection": "model:default",
        "domain_id": 1,
        "domain": "web (1)",
        "done": "frozen",
        "error": None,
        "exit_status": 0,
    }
    assert bad["exit_status"] == 3
    assert json.loads(ran.err.splitlines()[-1])["error"]["exit_status"] == ran.status == 6


def test_errors_are_json_too_when_the_environment_asks_for_it(xm: Xm, environ: dict[str, str]) -> None:
    environ["XM_OUTPUT"] = "json"
    for words in (["tmem-freeze", "nosuch"], ["tmem-freeze"], ["nosuch"]):
        ran = xm(*words)
        assert json.loads(ran.err.splitlines()[1])["error"]["exit_status"] == ran.status


@pytest.mark.parametrize("form", ["raw", "prometheus"])
def test_a_format_that_results_have_not_is_refused_before_anything_is_done(
    xm: Xm, host: Host, form: str
) -> None:
    assert xm("-o", form, "tmem-freeze", "web").status == 2
    assert not host.frozen(1)


def test_freeze_for_a_while_thaws_only_what_was_thawed(xm: Xm, host: Host) -> None:
    xm("tmem-freeze", "db")
    ran = xm("tmem-freeze", "--for", "0.05", "web", "db")
    assert (ran.status, ran.out) == (0, "web (1): frozen\ndb (2): frozen\n")
    assert not host.frozen(1)
    assert host.frozen(2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_freeze_for_a_while_and_thaws(xm: Xm, host: Host, number: signal.Signals) -> None:
    seen: list[bool] = []

    def interrupt() -> None:
        end = time.monotonic() + 5
        while not host.frozen(1) and time.monotonic() < end:
            time.sleep(0.01)
        seen.append(host.frozen(1))
        time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    status = xm("tmem-freeze", "--for", "60s", "web").status
    thread.join()
    assert (seen, status) == ([True], 130)
    assert not host.frozen(1)


def test_wait_freezes_a_domain_as_soon_as_it_uses_tmem(xm: Xm, host: Host) -> None:
    def use_tmem() -> None:
        time.sleep(0.05)
        host.hv.domain(3).new_pool()

    thread = threading.Thread(target=use_tmem)
    thread.start()
    status, out, _ = xm("tmem-freeze", "--wait", "5s", "idle")
    thread.join()
    assert (status, out) == (0, "idle (3): frozen\n")


def test_wait_gives_up_after_its_time(xm: Xm) -> None:
    assert xm("tmem-freeze", "--wait", "0.05", "idle").status == 3


def test_several_hosts_are_done_at_once_and_told_apart(xm: Xm, hosts: dict[str, Host]) -> None:
    status, out, _ = xm("-c", "model:old", "-c", "model:new", "tmem-freeze", "web")
    assert (status, out) == (0, "model:old: web (1): frozen\nmodel:new: web (1): frozen\n")
    assert hosts["model:new"].frozen(1)


def test_one_host_of_several_failing_is_status_6(xm: Xm, hosts: dict[str, Host]) -> None:
    status, out, err = xm("-c", "model:old", "-c", "replay:/nonexistent", "tmem-freeze", "web")
    assert (status, out) == (6, "model:old: web (1): frozen\n")
    assert "replay:/nonexistent: " in err
    assert hosts["model:old"].frozen(1)

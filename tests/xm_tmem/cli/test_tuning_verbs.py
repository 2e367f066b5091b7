# SPDX-License-Identifier: GPL-2.0-only
"""tmem-set and its three short forms, tmem-shared-auth: what is sent, and what is left alone."""

from __future__ import annotations

import pytest

from tests.xm_tmem.cli.conftest import Host, Xm

UUID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    "words",
    [
        ["web", "-w", "200", "-p", "1"],
        ["-w200", "-p1", "web"],
        ["web", "-w=200", "-p=1"],
        ["web", "weight=200", "compress=1"],
        ["1", "weight=200", "-p", "on"],
    ],
)
def test_set_understands_the_syntax_of_xm_and_of_xl(xm: Xm, host: Host, words: list[str]) -> None:
    assert xm("tmem-set", *words) == (0, "web (1): weight 0 -> 200, compress off -> on\n", "")
    assert (host.weight(1), host.compress(1)) == (200, True)
    assert (host.weight(2), host.compress(2)) == (0, False)


def test_what_is_so_already_is_not_sent(xm: Xm, host: Host) -> None:
    xm("tmem-set", "web", "-w", "7")
    before = host.hv.list_text(None)
    assert xm("tmem-set", "web", "-w", "7").out == "web (1): unchanged\n"
    # Questions count as operations (Tt, Te) up to 4.5; nothing else of the listing changes.
    assert before.partition(",Cf:")[2] == host.hv.list_text(None).partition(",Cf:")[2] != ""


@pytest.mark.parametrize("connection", ["model:old", "model:new"])
def test_a_weight_for_all_leaves_compression_and_freezing_as_they_are(
    xm: Xm, hosts: dict[str, Host], connection: str
) -> None:
    host = hosts[connection]
    xm("-c", connection, "tmem-set-compress", "web", "on")
    xm("-c", connection, "tmem-freeze", "db")
    assert xm("-c", connection, "tmem-set", "-a", "-w", "50").status == 0
    assert [host.weight(1), host.weight(2)] == [50, 50]
    assert [host.compress(1), host.compress(2)] == [True, False]
    assert [host.frozen(1), host.frozen(2)] == [False, True]


@pytest.mark.parametrize("connection", ["model:old", "model:new"])
def test_compression_for_all_leaves_the_weights(xm: Xm, hosts: dict[str, Host], connection: str) -> None:
    xm("-c", connection, "tmem-set-weight", "web", "9")
    assert xm("-c", connection, "tmem-set", "--all", "-p", "1").status == 0
    assert hosts[connection].weight(1) == 9
    assert hosts[connection].compress(2)


def test_a_cap_is_set_where_there_are_caps(xm: Xm, host: Host) -> None:
    assert xm("tmem-set-cap", "web", "1000") == (0, "web (1): cap 0 -> 1000\n", "")
    assert "ca:1000" in host.line(1)


def test_a_word_that_sets_nothing_is_named(xm: Xm) -> None:
    ran = xm("tmem-set", "web", "wieght=5")
    assert ran.status == 2
    assert "'wieght=5' is none of them" in ran.err


@pytest.mark.parametrize("words", [["tmem-set-cap", "web", "1"], ["tmem-set", "web", "-w", "5", "-c", "1"]])
def test_a_cap_from_4_8_on_is_status_5_and_nothing_is_sent(xm: Xm, newest: Host, words: list[str]) -> None:
    ran = xm("-c", "model:new", *words)
    assert (ran.status, ran.out) == (5, "")
    assert "retired in Xen 4.8" in ran.err
    assert newest.weight(1) == 0


def test_the_short_forms_set_one_thing(xm: Xm, host: Host) -> None:
    assert xm("tmem-set-weight", "web", "3").out == "web (1): weight 0 -> 3\n"
    assert xm("tmem-set-compress", "db", "on").out == "db (2): compress off -> on\n"
    assert xm("tmem-set-compress", "db", "0").out == "db (2): compress on -> off\n"
    assert not host.compress(2)


def test_deduplication_refusing_compression_is_told_and_not_hidden(xm: Xm, hosts: dict[str, Host]) -> None:
    from hypervisor_model.hypervisor import Hypervisor

    host = hosts[""]
    host.hv = Hypervisor(release="4.3", frames=4096, command_line="tmem=1 tmem_dedup", exact=False)
    host.hv.create_domain(0)
    host.hv.create_domain(1, name="web").new_pool()
    ran = xm("tmem-set-compress", "web", "on")
    assert ran.status == 1
    assert "tmem_dedup" in ran.err
    assert not host.compress(1)


@pytest.mark.parametrize(
    "words",
    [
        ["web"],
        ["-w", "1"],
        ["-a", "web", "-w", "1"],
        ["web", "-w", "abc"],
        ["web", "-w", "-5"],
        ["web", "-w", "2147483648"],
        ["web", "-w", "99999999999999999999999999"],
        ["web", "weight="],
        ["web", "weight=1", "-w", "2"],
        ["web", "compress=2"],
        ["web", "-p", "maybe"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_changes_nothing(
    xm: Xm, host: Host, words: list[str]
) -> None:
    before = host.line(1)
    ran = xm("tmem-set", *words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("xm: ")
    assert ran.err.count("\n") == 1
    assert host.line(1) == before


def test_dry_run_shows_what_would_change(xm: Xm, host: Host) -> None:
    assert xm("-N", "tmem-set", "-a", "-w", "5").out == (
        "web (1): would be: weight 0 -> 5\ndb (2): would be: weight 0 -> 5\n"
    )
    assert xm("-N", "tmem-set-compress", "web", "1").out == "web (1): would be: compress off -> on\n"
    assert (host.weight(1), host.compress(1)) == (0, False)


def joins(host: Host, lo: int, hi: int) -> bool:
    """Does a guest get the shared pool it asks for, and not silently a private one?"""
    pool = host.hv.domain(3).new_pool(shared=True, uuid=(lo, hi))
    return f"CI:3,PI:{pool},PT:ES" in host.hv.list_text(3)


def test_auth_1_allows_and_0_denies(xm: Xm, newest: Host) -> None:
    lo, hi = 0x0123456789ABCDEF, 0x0123456789ABCDEF
    assert not joins(newest, lo, hi)
    assert xm("-c", "model:new", "tmem-shared-auth", "idle", "-u", UUID, "-A", "1") == (
        0,
        "idle (3): allowed\n",
        "",
    )
    assert joins(newest, lo, hi)
    assert (
        xm("-c", "model:new", "tmem-shared-auth", "--deny", "--uuid", UUID, "idle").out
        == "idle (3): denied\n"
    )
    assert not joins(newest, lo, hi)


def test_a_uuid_as_linux_writes_it_matches_a_linux_guest(xm: Xm, newest: Host) -> None:
    options = ["--allow", "-u", UUID, "--uuid-order", "linux"]
    xm("-c", "model:new", "tmem-shared-auth", "idle", *options)
    raw = bytes.fromhex(UUID.replace("-", ""))
    assert joins(newest, int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))


def test_authorising_all_at_once_ended_with_4_9(xm: Xm) -> None:
    assert xm("tmem-shared-auth", "-a", "-u", UUID, "-A", "1").status == 0
    ran = xm("-c", "model:new", "tmem-shared-auth", "-a", "-u", UUID, "-A", "1")
    assert ran.status == 5
    assert "4.9" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["web", "-u", UUID],
        ["web", "-A", "1"],
        ["web", "-u", UUID, "--allow", "--deny"],
        ["web", "-u", UUID, "-A", "0", "--allow"],
        ["web", "-u", "zz", "-A", "1"],
        ["web", "-u", "1", "-A", "1"],
        ["web", "-u", UUID, "-A", "2"],
        ["-u", UUID, "-A", "1"],
    ],
)
def test_half_an_authorisation_is_a_usage_error(xm: Xm, words: list[str]) -> None:
    assert xm("tmem-shared-auth", *words).status == 2

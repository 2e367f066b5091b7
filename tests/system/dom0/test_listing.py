# SPDX-License-Identifier: GPL-2.0-only
"""Listings: what guests did is in them, in every format, and they agree with the hypervisor's own text."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import yaml

from hypervisor_model.public.xen import EEMPTY
from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.guest import Guest
from tests.system.dom0.pages import OID, PAGES, page
from xm_tmem.backends.abi.control import listed_text
from xm_tmem.ids import DomainId, SharedUuid

UUID = SharedUuid(0x1122334455667788, 0x99AABBCCDDEEFF00)


def pool_of(listing: Any, domain: int, pool: int) -> Any:
    """One pool of a listing in JSON."""
    (found,) = [it for it in listing["pools"] if (it["cli_id"], it["pool_id"]) == (domain, pool)]
    return found


def raw_listing(dom0: ControlDomain, domain: DomainId, *, use_long: bool) -> bytes:
    """The hypervisor's text on one domain, asked by the suite itself."""
    call = dom0.abi.list_text(domain, bytearray(64 << 10), use_long=use_long)
    assert dom0.calls.call_many([call]) == [0]
    return listed_text(call)


def test_a_guests_persistent_pages_come_back_and_are_counted(with_tmem: ControlDomain, guest: Guest) -> None:
    pool = guest.new_pool(persistent=True)
    for index in range(3):
        assert guest.put(pool, OID, index, page(index)) == 1
    assert guest.put(pool, OID, 0, page(77)) == 1
    assert guest.get(pool, OID, 0) == (1, page(77))
    assert guest.get(pool, OID, 2) == (1, page(2))
    assert guest.get(pool, OID, 9)[0] == 0
    assert guest.flush_page(pool, OID, 1) == 1
    listed = pool_of(with_tmem.xm("tmem-list", "-l", "0", "-o", "json").json, 0, pool)
    assert listed["persistent"]
    assert not listed["shared"]
    assert (listed["pgp_count"], listed["pgp_count_max"], listed["obj_count"]) == (2, 3, 1)
    assert (listed["puts"], listed["good_puts"], listed["dup_puts_replaced"]) == (4, 4, 1)
    assert (listed["gets"], listed["found_gets"]) == (3, 2)
    assert (listed["flushes"], listed["flushes_found"]) == (1, 1)


def test_a_guests_ephemeral_pages_leave_as_they_are_got(with_tmem: ControlDomain, guest: Guest) -> None:
    pool = guest.new_pool()
    assert guest.get(pool, OID, 0)[0] == -EEMPTY
    for index in range(3):
        assert guest.put(pool, OID, index, page(index)) == 1
    assert guest.get(pool, OID, 1) == (1, page(1))
    assert guest.get(pool, OID, 1)[0] == 0
    listed = pool_of(with_tmem.xm("tmem-list", "-l", "0", "-o", "json").json, 0, pool)
    assert not listed["persistent"]
    assert listed["pgp_count"] == 2
    assert guest.flush_object(pool, OID) == 1
    assert guest.get(pool, OID, 0)[0] == -EEMPTY


def test_a_destroyed_pool_is_listed_no_more(with_tmem: ControlDomain, guest: Guest) -> None:
    pool = guest.new_pool(persistent=True)
    assert guest.put(pool, OID, 0, page(0)) == 1
    assert guest.destroy_pool(pool) == 1
    listing = with_tmem.xm("tmem-list", "0", "-o", "json").json
    assert pool not in [it["pool_id"] for it in listing["pools"]]


@pytest.mark.parametrize("use_long", [False, True], ids=["short", "long"])
def test_raw_is_the_hypervisors_own_text(
    with_tmem: ControlDomain, client: DomainId, *, use_long: bool
) -> None:
    ran = with_tmem.xm("tmem-list", client, "-o", "raw", *(["-l"] if use_long else []))
    text = raw_listing(with_tmem, client, use_long=use_long)
    assert ran.status == 0
    assert text.count(b"\n") == 3
    assert text.decode() in ran.out


def test_the_whole_host_has_all_that_its_domains_have(with_tmem: ControlDomain, client: DomainId) -> None:
    other = with_tmem.create_domain()
    with_tmem.backend.restore_begin(other)
    listing = with_tmem.xm("tmem-list", "-l", "-o", "json").json
    assert {client, other} <= {it["cli_id"] for it in listing["clients"]}
    assert (listing["truncated"], listing["problems"], listing["unknown_lines"]) == (False, [], [])
    assert listing["release"] == with_tmem.name
    own = with_tmem.xm("tmem-list", "-l", client, "-o", "json").json
    for key in ("clients", "pools"):
        assert own[key] == [it for it in listing[key] if it["cli_id"] == client]
    if with_tmem.release.lists_all:
        assert listing["host"]["page_count"] >= 0
        assert listing["host"]["obj_count"] >= 2


def test_every_format_has_the_same_pools(with_tmem: ControlDomain, client: DomainId) -> None:
    shown = {
        form: with_tmem.xm("tmem-list", client, "-l", "-o", form)
        for form in ("json", "jsonl", "yaml", "csv", "plain", "table", "prometheus")
    }
    assert {ran.status for ran in shown.values()} == {0}
    assert {ran.err for ran in shown.values()} == {""}
    expected = [(client, 0, PAGES), (client, 1, PAGES)]

    def pools(records: Any) -> list[tuple[int, ...]]:
        return [tuple(int(it[key]) for key in ("cli_id", "pool_id", "pgp_count")) for it in records]

    assert pools(shown["json"].json["pools"]) == expected
    assert pools(yaml.safe_load(shown["yaml"].out)["pools"]) == expected
    assert pools(csv.DictReader(io.StringIO(shown["csv"].out))) == expected
    lines = [json.loads(line) for line in shown["jsonl"].out.splitlines()]
    assert pools(line for line in lines if "pool_id" in line) == expected
    for form in ("plain", "table"):
        assert sum(str(client) in line.split() for line in shown[form].out.splitlines()) >= 2, form
    samples = [
        line for line in shown["prometheus"].out.splitlines() if line.startswith("xen_tmem_pool_held_pages{")
    ]
    assert len(samples) == 2
    assert all(line.endswith(f" {PAGES}") for line in samples)


def test_the_parser_of_old_takes_the_text(with_tmem: ControlDomain, client: DomainId) -> None:
    raw = with_tmem.xm("tmem-list", client, "-l", "-o", "raw").out.encode()
    listing = with_tmem.xm("tmem-list", client, "-l", "-o", "json").json
    parsed = with_tmem.xm("tmem-list-parse", "-o", "json", stdin=raw).json
    assert parsed["pools"] == [{**pool, "name": None} for pool in listing["pools"]]
    assert with_tmem.xm("tmem-list-parse", "--compat", stdin=raw).out.count(f"domid{client}") >= 1


def test_a_shared_pool_takes_being_allowed(with_tmem: ControlDomain, guest: Guest) -> None:
    """From 4.9 on always; before, only with Xen's option tmem_shared_auth. Else the guest gets a private one."""
    text = UUID.to_text()
    assert guest.new_pool() >= 0  # a client, which older releases want before they allow it something
    if with_tmem.minor >= 9:
        assert with_tmem.xm("tmem-shared-auth", 0, "-u", text, "--deny").status == 0
        private = guest.new_pool(shared=True, uuid=(UUID.lo, UUID.hi))
        assert not pool_of(with_tmem.xm("tmem-list", "-l", 0, "-o", "json").json, 0, private)["shared"]
    assert with_tmem.xm("tmem-shared-auth", 0, "-u", text, "--allow").status == 0
    pool = guest.new_pool(shared=True, uuid=(UUID.lo, UUID.hi))
    assert guest.put(pool, OID, 0, page(0)) == 1
    listing = with_tmem.xm("tmem-list", "-l", "-o", "json").json
    own = pool_of(listing, 0, pool)
    assert (own["shared"], own["persistent"]) == (True, False)
    assert (int(own["uuid_lo"], 16), int(own["uuid_hi"], 16)) == (UUID.lo, UUID.hi)
    if with_tmem.release.lists_all:
        (shared,) = listing["shared_pools"]
        assert (int(shared["uuid_lo"], 16), int(shared["uuid_hi"], 16)) == (UUID.lo, UUID.hi)
    assert with_tmem.xm("tmem-shared-auth", 0, "-u", text, "--deny").status == 0


def test_list_sums_a_domain_up(with_tmem: ControlDomain, client: DomainId) -> None:
    ran = with_tmem.xm("list", "-o", "json")
    (row,) = [row for row in ran.json["domains"] if row["id"] == client]
    assert (row["pools"], row["ephemeral"], row["persistent"]) == (2, PAGES, PAGES)
    assert (row["weight"], row["compress"], row["frozen"]) == (0, True, False)

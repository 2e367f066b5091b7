# SPDX-License-Identifier: GPL-2.0-only
"""The facts of a connection: all there on a good one, and the reason on a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.hosts import booted
from tests.contract.translating import TranslatingTransport, model_release
from tests.xm_tmem.backends.test_complete_list import Forgetful
from tests.xm_tmem.backends.test_truth import Answering, Unprivileged
from xm_tmem.backends.abi.releases import TMEM_RELEASES
from xm_tmem.backends.diagnosis import Fact, examine
from xm_tmem.backends.domains.xenstore_directory import XenstoreDirectory
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.registry import connect
from xm_tmem.settings import Settings


def facts(backend: HypercallBackend) -> dict[str, Fact]:
    return {fact.check: fact for fact in examine(backend)}


@pytest.mark.parametrize("release", TMEM_RELEASES)
def test_nothing_is_wrong_with_a_good_host(release: str) -> None:
    found = facts(HypercallBackend("xen:///", TranslatingTransport(release, booted(model_release(release)))))
    assert not [fact for fact in found.values() if fact.works is False]
    assert f"Xen {release}." in found["hypervisor"].finding
    assert found["tmem"].works
    assert found["privilege"].works
    assert found["listing"].works is (None if release == "4.5" else True)
    assert ("set cap" in found) == (int(release[2:]) >= 8)


def test_examining_changes_nothing() -> None:
    hypervisor = booted("4.3")
    transport = TranslatingTransport("4.3", hypervisor)
    before = hypervisor.list_text(1, use_long=True)
    facts(HypercallBackend("xen:///", transport))
    assert hypervisor.list_text(1, use_long=True) == before


def test_a_host_with_tmem_off_says_what_to_do() -> None:
    found = facts(HypercallBackend("xen:///", TranslatingTransport("4.11", booted("4.12"), off=True)))
    assert found["tmem"].works is False
    assert "tmem=1" in found["tmem"].advice
    assert found["tmem"].exit_status == 5
    assert "listing" not in found
    assert found["domains"].works is None


def test_a_domain_without_privilege_is_told_so() -> None:
    found = facts(HypercallBackend("xen:///", Unprivileged("4.7", booted("4.3"))))
    assert found["privilege"].works is False
    assert found["privilege"].exit_status == found["domains"].exit_status == 4


def test_names_that_could_not_be_had_have_their_reason(tmp_path: Path) -> None:
    directory = XenstoreDirectory((str(tmp_path / "no"),), ())
    backend = HypercallBackend("xen:///", TranslatingTransport("4.7", booted("4.3")), [directory])
    found = facts(backend)
    assert found["names from xenstore"].finding == "no xenstore here"
    assert found["domains"].finding == "2, 1 without a name"


def test_a_listing_with_lines_missing_is_noticed() -> None:
    found = facts(HypercallBackend("xen:///", Forgetful("4.7", booted("4.3"))))
    assert found["listing"].works is False


def test_an_unknown_release_ends_the_examination() -> None:
    (fact,) = examine(HypercallBackend("xen:///", Answering(4 << 16 | 99, 0)))
    assert (fact.works, fact.exit_status) == (False, 5)
    assert "Xen 4.99" in fact.finding


def test_a_saved_listing_can_be_examined(tmp_path: Path) -> None:
    file = tmp_path / "listing"
    file.write_bytes(b"G=Tt:1,Ta:0,Ec:0\nC=CI:1,ww:0,co:0,fr:0\nT\n")
    found = {fact.check: fact for fact in examine(connect(f"replay:{file}", Settings()))}
    assert found["listing"].works
    assert found["freeze"].works is None

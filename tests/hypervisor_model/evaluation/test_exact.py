# SPDX-License-Identifier: GPL-2.0-only
"""The scenarios with tolerance 0, and what it takes for them to fail."""

import pytest

from hypervisor_model.evaluation import exact_contents, exact_drivers, exact_lru, run, scenarios
from hypervisor_model.guests.cleancache import Cleancache
from hypervisor_model.guests.memory import GuestMemory

EXACT = [case.name for case in scenarios() if case.suite == "exact"]


def test_there_are_twelve() -> None:
    assert [f"X{number}" for number in range(1, 13)] == EXACT


@pytest.mark.parametrize("name", EXACT)
def test_exact_scenario(name: str) -> None:
    [result] = run(name)
    assert result.verdict == "PASS", result.measured


def test_two_runs_agree() -> None:
    assert run("X4") == run("X4")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="X12"):
        run("X13")


def test_x1_notices_a_guest_that_evicts_the_wrong_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_lru, "lru_hits", lambda keys, size: len(keys) - len(set(keys)))
    assert exact_lru.x1().verdict == "MISS"


def test_x6_notices_a_wrong_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    set_totalram = GuestMemory.set_totalram
    monkeypatch.setattr(
        GuestMemory, "set_totalram", lambda self, target, now: set_totalram(self, target + 1, now)
    )
    assert exact_drivers.x6().verdict == "MISS"


def test_x3_notices_a_pool_that_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cleancache, "init_shared_fs", lambda self, uuid: self.init_fs())
    assert exact_contents.x3().verdict == "MISS"

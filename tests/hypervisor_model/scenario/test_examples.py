# SPDX-License-Identifier: GPL-2.0-only
"""The scenario files that come with the project run as they are, always the same way, and show what they say."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.scenario.load import load_file, load_text
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import Runner, boot
from tests.hypervisor_model.guests.recordings import write_recording

EXAMPLES = Path(__file__).parents[3] / "examples"
TEMPLATE = "recorded"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml") if path.stem != TEMPLATE)
STEP = 1000


def booted(name: str) -> Runner:
    return boot(load_file(str(EXAMPLES / f"{name}.yaml")))


def stored(runner: Runner) -> int:
    return sum(guest["good_puts"] for guest in report(runner, complete=False)["guests"])


def finished(text: str) -> Mapping[str, Any]:
    runner = boot(load_text(text))
    assert runner.run()
    runner.hypervisor.check()
    return report(runner, complete=True)


def test_there_is_something_for_a_newcomer() -> None:
    assert len(NAMES) >= 6
    for name in (*NAMES, TEMPLATE):
        text = (EXAMPLES / f"{name}.yaml").read_text()
        assert f"xm model run examples/{name}.yaml" in text
        assert "\ndescription: " in text


@pytest.mark.parametrize("name", NAMES)
def test_an_example_comes_to_use_tmem(name: str) -> None:
    runner = booted(name)
    assert not runner.endless
    while not stored(runner):
        assert runner.advance(STEP) == STEP, "all is done, and tmem was not used"
    runner.hypervisor.check()


def test_an_example_runs_the_same_way_twice() -> None:
    first, second = booted("compile"), booted("compile")
    while stored(first) < 1000:
        first.advance(STEP)
        for _ in range(STEP // 50):
            second.advance(50)
    assert report(first, complete=False) == report(second, complete=False)
    assert first.hypervisor.list_text(use_long=True) == second.hypervisor.list_text(use_long=True)


def test_clones_fit_only_with_deduplication() -> None:
    text = (EXAMPLES / "clones.yaml").read_text()
    together, apart = finished(text), finished(text.replace(" tmem_dedup=1", ""))
    assert together["host"]["deduplicated_puts"] > 1000
    assert together["host"]["evicted"] * 100 < apart["host"]["evicted"]
    assert min(guest["hit_ratio"] for guest in together["guests"]) > 0.8
    assert max(guest["hit_ratio"] for guest in apart["guests"]) < 0.1


def test_memory_goes_to_the_guest_whose_turn_it_is() -> None:
    runner = booted("balancer")
    for second, larger, smaller in ((70, "day", "night"), (110, "night", "day")):
        while runner.advance(STEP, second * 1_000_000):
            pass
        owned = {guest["name"]: guest["owned_pages"] for guest in report(runner, complete=False)["guests"]}
        assert owned[larger] > 2 * owned[smaller]


def test_a_full_domain_puts_no_persistent_page() -> None:
    full, roomy = finished((EXAMPLES / "persistent.yaml").read_text())["guests"]
    assert full["driver"]["frontswap_succ_stores"] == 0 < full["driver"]["frontswap_failed_stores"]
    assert roomy["driver"]["frontswap_failed_stores"] == 0 == roomy["driver"]["swap_outs"]
    assert full["driver"]["swap_outs"] == roomy["driver"]["frontswap_succ_stores"]
    assert full["modelled_s"] > roomy["modelled_s"]


def test_the_template_replays_the_recordings_beside_it(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / f"{TEMPLATE}.yaml", tmp_path)
    (tmp_path / "recordings").mkdir()
    for name in ("compile", "db"):
        write_recording(tmp_path / "recordings" / f"{name}.tmemops.gz", gets=True)
    runner = boot(load_file(str(tmp_path / f"{TEMPLATE}.yaml")))
    assert runner.run()
    assert [guest["found_gets"] for guest in report(runner, complete=True)["guests"]] == [100, 100]

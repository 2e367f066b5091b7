# SPDX-License-Identifier: GPL-2.0-only
"""The model answers the traffic of real Linux guests as Xen did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import recordings
from tests.conformance.guest_fit import fit
from tests.conformance.guest_replay import GuestReplay
from tests.conformance.guest_trace import SUFFIX, GuestTrace

RUNS = recordings.files(f"guests/*{SUFFIX}")
QUICK = ("compile-4.12", "twofs-4.3-dedup")  # a few seconds each, one of either release

needs_recordings = pytest.mark.skipif(not RUNS, reason=f"recordings of Xen are {recordings.ABSENT}")


def name_of(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


@needs_recordings
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name_of(path), marks=() if name_of(path) in QUICK else pytest.mark.long)
        for path in RUNS
    ],
)
def test_guest_is_answered_as_by_xen(path: Path) -> None:
    trace = GuestTrace(path)
    outcome = GuestReplay(trace).run()
    assert not outcome.divergences, f"{outcome}\n{outcome.divergences[0]}"
    assert (outcome.records, outcome.snapshots) == (trace.records, len(trace.snapshots))


@needs_recordings
@pytest.mark.long
def test_one_host_size_explains_every_get() -> None:
    (path,) = (path for path in RUNS if name_of(path) == "grep-4.12-icache")
    found = fit(GuestTrace(path))
    assert found.outcome.wrong_ephemeral_gets == 0
    assert found.outcome.ephemeral_gets == 196_828
    assert found.outcome.evicted == 514
    assert not found.outcome.divergences  # the listings agree too

# SPDX-License-Identifier: GPL-2.0-only
"""The model answers every recorded operation as Xen's C did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import recordings
from tests.conformance.replay import replay

TRACES = recordings.files("4.*/*.jsonl.gz")


@pytest.mark.skipif(not TRACES, reason=f"recordings of Xen are {recordings.ABSENT}")
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_trace_is_answered_as_xen_did(path: Path) -> None:
    outcome = replay(path)
    assert not outcome.divergences, f"{outcome}\n{outcome.divergences[0]}"
    assert outcome.operations > 1000

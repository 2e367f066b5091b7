# SPDX-License-Identifier: GPL-2.0-only
"""Where the recordings of real Xen are: traces, guests' traffic, transcripts and listings.

They are not part of this repository. XM_TMEM_CONFORMANCE names their folder; without it, `shared/conformance` beside
the checkout is looked for. Tests that need them are skipped where they are absent, and say so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

ABSENT: Final = "absent, so what compares with them is skipped (XM_TMEM_CONFORMANCE names their folder)"


def root() -> Path | None:
    """The folder of recordings, or None. Raises pytest.UsageError if XM_TMEM_CONFORMANCE names no folder."""
    named = os.environ.get("XM_TMEM_CONFORMANCE")
    if named:
        if not Path(named).is_dir():
            raise pytest.UsageError(f"XM_TMEM_CONFORMANCE is {named!r}, which is no folder")
        return Path(named)
    beside = Path(__file__).resolve().parents[2] / "shared" / "conformance"
    return beside if beside.is_dir() else None


def files(pattern: str) -> list[Path]:
    """The recordings that match a glob pattern, sorted; none where there are no recordings."""
    folder = root()
    return [] if folder is None else sorted(folder.glob(pattern))


def needed(folder: Path | None) -> Path:
    """`folder`, or the test is skipped."""
    if folder is None:
        pytest.skip(f"recordings of Xen are {ABSENT}")
    return folder


def header_line() -> str:
    """For the head of a pytest run."""
    return f"recordings of Xen: {root() or ABSENT}"

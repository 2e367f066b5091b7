# SPDX-License-Identifier: GPL-2.0-only
"""Run in dom0 by its start script: the suite of tests/system/dom0, with its output between marker lines.

The argument is what the host meant this boot to be (see conftest.py there). Files that tests leave in REPORT go back
with the output.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from tests.system import machine

REPORT = Path("/run/report")
IN_DOM0 = "XM_TMEM_IN_DOM0"
"""Set in dom0, to what this boot is meant to be."""


def main() -> int:
    """The exit status is that of the suite."""
    REPORT.mkdir(parents=True, exist_ok=True)
    os.environ[IN_DOM0] = sys.argv[1]
    print(machine.BEGIN, flush=True)
    # setup.cfg is the project's, for its markers and strictness; the tests above this folder are not here.
    arguments = [
        "-p",
        "no:cacheprovider",
        "--color=no",
        "-rs",
        "--tb=short",
        "--confcutdir=tests/system/dom0",
    ]
    status = pytest.main([*arguments, "-q", "--durations=8", "tests/system/dom0"])
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(REPORT, arcname=".")
    print(machine.FILES)
    print(base64.encodebytes(archive.getvalue()).decode("ascii"), end="")
    print(f"{machine.END} {int(status)}>>>", flush=True)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())

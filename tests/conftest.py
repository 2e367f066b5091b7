# SPDX-License-Identifier: GPL-2.0-only
"""What every test may use: golden files, rewritten by --update-golden, and the head of the run's report."""

from __future__ import annotations

from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path

import hypothesis
import pytest

from tests import optional, recordings

GOLDEN = Path(__file__).parent / "golden"

# A deadline tells how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("xm-tmem", deadline=None)
hypothesis.settings.load_profile("xm-tmem")

Golden = Callable[[str, "str | bytes"], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files that tests compare with"
    )


def pytest_report_header() -> list[str]:
    return [recordings.header_line(), *optional.header_lines()]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(name, text)` compares `text` with the file tests/golden/NAME and shows the difference."""
    update: bool = request.config.getoption("--update-golden")

    def compare(name: str, output: str | bytes) -> None:
        actual = output.encode("utf-8") if isinstance(output, str) else output
        file = GOLDEN / name
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(actual)
            return
        if not file.exists():
            pytest.fail(f"tests/golden/{name} is not there: `make golden` writes it")
        expected = file.read_bytes()
        if actual != expected:
            pytest.fail(
                f"{_difference(name, expected, actual)}\nIf this is meant: make golden", pytrace=False
            )

    return compare


def _difference(name: str, expected: bytes, actual: bytes) -> str:
    old, new = (
        text.decode("utf-8", "backslashreplace").splitlines(keepends=True) for text in (expected, actual)
    )
    return "".join(unified_diff(old, new, f"tests/golden/{name}", "what was printed"))

# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong with a scenario, in one line that names the file, the line in it and the key."""

from __future__ import annotations

from typing import Any


class ScenarioError(ValueError):
    """A scenario that cannot be run. Nothing has been changed."""

    def __init__(self, message: str, *, file: str, line: int | None = None, key: str = "") -> None:
        self.message, self.file, self.line, self.key = message, file, line, key
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {key}: {message}" if key else f"{place}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        """It may come from another process (see sweep.py)."""
        return _again, (self.message, self.file, self.line, self.key)


def _again(message: str, file: str, line: int | None, key: str) -> ScenarioError:
    return ScenarioError(message, file=file, line=line, key=key)

# SPDX-License-Identifier: GPL-2.0-only
"""The model's README tells the truth: its session runs, and the modules and tests that it names are there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import hypervisor_model.hypervisor

MODEL = Path(hypervisor_model.hypervisor.__file__).parent
README = MODEL / "README.md"


def test_its_session_runs() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 10
    assert failed == 0


def test_the_session_in_the_source_runs() -> None:
    failed, tried = doctest.testmod(hypervisor_model.hypervisor)
    assert tried > 4
    assert failed == 0


def test_the_modules_that_it_names_are_there() -> None:
    named = set(re.findall(r"`((?:tmem|host|lib)/\w+\.py)`", README.read_text(encoding="utf-8")))
    there = {
        str(path.relative_to(MODEL))
        for room in ("tmem", "host", "lib")
        for path in (MODEL / room).glob("*.py")
        if path.name != "__init__.py"
    }
    assert named <= there
    assert there - named == {"host/guest_memory.py"}, "say in README.md what they model"

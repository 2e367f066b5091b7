# SPDX-License-Identifier: GPL-2.0-only
"""Each oddity marked in the model has a test whose docstring bears the mark, and README.md lists both."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "hypervisor_model"
TESTS = ROOT / "tests" / "hypervisor_model"
MARK = re.compile(r"QUIRK (\w+(?:, \w+)*):")
ROW = re.compile(r"^\| `([\w, ]+)` \| (.+) \| `(\w+)` \|$", re.MULTILINE)


def marks() -> Counter[str]:
    """How often each mark stands in the model's sources."""
    return Counter(
        mark
        for path in MODEL.rglob("*.py")
        if MODEL / "guests"
        not in path.parents  # Linux's oddities have their tests beside those of the guests
        for mark in MARK.findall(path.read_text(encoding="utf-8"))
    )


def quirk_tests() -> list[tuple[str, str, str]]:
    """Mark, test's name and what its docstring says, for each test of a quirk."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.get_docstring(node) or ""
                if match := MARK.match(text):
                    says = text[match.end() :].partition("\n")[0].strip()
                    found.append((match[1], node.name, says))
    return sorted(found, key=lambda row: row[0].lower())


def test_every_mark_in_the_sources_has_its_test() -> None:
    tested = Counter(mark for mark, _, _ in quirk_tests())
    assert marks() - tested == Counter()


def test_no_test_bears_a_mark_that_the_sources_do_not() -> None:
    assert {mark for mark, _, _ in quirk_tests()} <= marks().keys()


def table() -> str:
    """The rows of README.md's table of quirks."""
    return "\n".join(f"| `{mark}` | {says} | `{name}` |" for mark, name, says in quirk_tests())


def test_the_readme_lists_every_quirk_with_its_test() -> None:
    text = (MODEL / "README.md").read_text(encoding="utf-8")
    listed = "\n".join(match[0] for match in ROW.finditer(text))
    assert listed == table(), f"the table of quirks in hypervisor_model/README.md should be:\n{table()}"

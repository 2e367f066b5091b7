# SPDX-License-Identifier: GPL-2.0-only
"""The dictionary: everything is found by every word for it, and near misses are helped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xm_tmem.errors import BadInput
from xm_tmem.listing.defects import KNOWN_DEFECTS
from xm_tmem.listing.explain import KINDS, entries, explain
from xm_tmem.listing.known_errors import KNOWN_ERRORS
from xm_tmem.listing.records import RECORD_TYPES
from xm_tmem.render import explanation, plain


def titles(word: str) -> list[str]:
    return [entry.title for entry in explain(word)]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("px", ["px of S=", "px of P=", "px of T="]),
        ("P=px", ["px of P="]),
        ("Pp", ["Pp of C="]),
        ("Gt", ["Gt of T="]),
        ("gt", ["gt of S=", "gt of P=", "gt of T="]),
        ("refused", ["px of P="]),
        ("no_mem_puts", ["px of S=", "px of P="]),
        ("hit_rate", ["hit_rate"]),
        ("EPERM", ["EPERM (1)"]),
        ("eperm", ["EPERM (1)"]),
        ("-1", ["EPERM (1)"]),
        ("1000", ["EFROZEN (1000)"]),
        ("quota-inverted", ["quota-inverted"]),
        ("client_over_quota", ["quota-inverted"]),
        ("do_tmem_flush_object", ["frozen-flush"]),
        ("Weight", ["ww of C=", "dead-weight", "quota-inverted"]),
        ("weight", ["ww of C=", "dead-weight", "quota-inverted"]),
        ("migration", ["first-page-skipped", "second-save-empty", "migration-loses-tmem"]),
        ("NoSuchDomain", ["exit 3"]),
        ("exit 5", ["exit 5"]),
    ],
)
def test_a_word_finds_what_it_stands_for(word: str, found: list[str]) -> None:
    assert titles(word) == found


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("quota-invertet", "did you mean quota-inverted"),
        ("EFROZE", "did you mean EFROZEN"),
        ("hitrate", "did you mean hit_rate"),
        ("%%%%", "`xm tmem-explain` lists what is"),
        ("", "`xm tmem-explain` lists what is"),
    ],
)
def test_a_near_miss_is_helped(word: str, suggestion: str) -> None:
    with pytest.raises(BadInput, match=suggestion):
        explain(word)


def test_nothing_of_what_is_declared_is_missing() -> None:
    known = list(entries())
    assert [kind for kind in KINDS if not any(entry.kind == kind for entry in known)] == []
    assert sum(entry.kind == "key" for entry in known) == sum(len(each.tags) for each in RECORD_TYPES)
    for entry in known:
        for word in entry.words:
            assert entry in explain(word)


def test_words_of_errors_and_defects_are_theirs_alone() -> None:
    assert len({error.name for error in KNOWN_ERRORS}) == len({error.number for error in KNOWN_ERRORS})
    assert len({defect.name for defect in KNOWN_DEFECTS}) == len(KNOWN_DEFECTS)


MODEL = Path(__file__).parents[3] / "hypervisor_model"
MARKS = re.compile(r"QUIRK (\w+(?:, \w+)*):")


def test_every_oddity_that_the_model_keeps_is_explained() -> None:
    """QUIRK marks in the model's sources name the C functions."""
    files = [file for folder in ("tmem", "host", "lib") for file in (MODEL / folder).rglob("*.py")]
    marked = {
        name for file in files for mark in MARKS.findall(file.read_text("utf-8")) for name in mark.split(", ")
    }
    known = {name for defect in KNOWN_DEFECTS for name in defect.where.split(", ")}
    assert marked - known == set(), "tell what they do in xm_tmem/listing/defects"


def test_releases_of_defects_are_ranges() -> None:
    for defect in KNOWN_DEFECTS:
        since, until = (tuple(map(int, release.split("."))) for release in (defect.since, defect.until))
        assert (4, 0) <= since <= until <= (4, 12), defect.name


def test_an_entry_is_told_in_lines_that_fit() -> None:
    text = explanation.text(explain("EPERM"), width=60)
    assert text.startswith(
        "EPERM (1)\n  5 things, which the number does not tell apart\n  cause 1   the caller"
    )
    assert max(map(len, text.splitlines())) <= 60
    assert explanation.text(explain("EPERM"), width=1)


def test_the_contents_name_words_that_are_found() -> None:
    section = explanation.contents(entries())
    for word in section.columns[1].values:
        assert explain(word)
    assert plain.render([section]).count("\n") == section.row_count + 1


def test_a_program_gets_the_same() -> None:
    (entry,) = explanation.document(explain("cap-ignored"))["entries"]
    assert entry["details"]["releases"] == "Xen 4.0 to 4.7"

# SPDX-License-Identifier: GPL-2.0-only
"""Formats for programs: valid, complete, equal among themselves, and as the published schema says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import recordings
from tests.xm_tmem.listing import texts
from tests.xm_tmem.render.reports import HOSTILE_NAMES, hostile, report
from xm_tmem.listing.fields import FIELDS
from xm_tmem.listing.report import Report, read_report
from xm_tmem.listing.select import selection
from xm_tmem.render import reference, structured
from xm_tmem.render.formats import FORMATS, render_listing
from xm_tmem.render.yaml_writer import yaml_text

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = jsonschema.Draft202012Validator(json.loads((DOCS / "listing-schema.json").read_text("ascii")))
RECORDED = recordings.files("listings/*.txt") + recordings.files("listings/*.bin")


def document(some: Report, where: str | None = None) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(structured.render_json(some, selection(where=where)))
    return loaded


def test_the_schema_is_a_schema_and_not_stale(tmp_path: Path) -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    reference.write(tmp_path)
    for name in ("listing-schema.json", "listing-fields.md"):
        fresh, published = (folder.joinpath(name).read_text("utf-8") for folder in (tmp_path, DOCS))
        assert published == fresh, f"docs/{name} is stale: python -m xm_tmem.render.reference docs"


@pytest.mark.parametrize("name", texts.NAMES)
def test_every_release_holds_to_the_schema(name: str) -> None:
    SCHEMA.validate(document(report(name)))


@pytest.mark.skipif(not RECORDED, reason=recordings.ABSENT)
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
def test_every_recording_holds_to_the_schema(file: Path) -> None:
    SCHEMA.validate(document(read_report(file.read_bytes(), connection="x", timestamp=1e9)))


@settings(max_examples=60)
@given(hostile)
def test_any_listing_holds_to_the_schema_in_ascii(some: Report) -> None:
    SCHEMA.validate(document(some))
    for fmt in ("json", "jsonl", "yaml"):
        text = render_listing(some, selection(), fmt)
        assert isinstance(text, str)
        assert text.isascii()


def test_the_schema_notices_a_name_it_does_not_know_and_a_missing_one() -> None:
    whole = document(report())
    whole["clients"][0]["colour"] = "red"
    del whole["pools"][0]["gets"]
    wrong = {tuple(error.absolute_path)[:2] for error in SCHEMA.iter_errors(whole)}
    assert wrong == {("clients", 0), ("pools", 0)}


def test_an_empty_listing_has_empty_lists() -> None:
    whole = document(read_report(b"", connection="x", timestamp=0.0))
    assert [whole[name] for name in ("clients", "pools", "shared_pools", "timings")] == [[], [], [], []]
    assert whole["host"] is None
    assert whole["truncated"] is True


def test_values_have_the_types_that_programs_want() -> None:
    whole = document(report("4.3", names=HOSTILE_NAMES))
    client, pool = whole["clients"][0], whole["pools"][2]
    assert (client["frozen"], client["compress"], client["weight"], client["cap"]) == (True, True, 100, 1000)
    assert (pool["uuid_lo"], pool["uuid_hi"], pool["shared"], pool["persistent"]) == (
        "abc",
        "def",
        True,
        False,
    )
    assert whole["clients"][1]["name"] == HOSTILE_NAMES[1].replace("\ud800", "\\ud800")
    assert whole["timestamp"] == "1970-01-01T00:00:01.500Z"
    assert whole["timings"][0]["samples"] == 3
    assert document(report("4.12"))["clients"][0]["cap"] is None


def test_unknown_tags_are_handed_on() -> None:
    whole = document(read_report(b"C=CI:1,Zz:5\nwhat\n", connection="x", timestamp=0.0))
    assert whole["clients"][0]["unknown"] == {"Zz": "5"}
    assert whole["unknown_lines"] == ["what"]
    SCHEMA.validate(whole)


def test_a_filter_applies_to_clients_and_pools() -> None:
    whole = document(report(), where="pool=3")
    assert [client["cli_id"] for client in whole["clients"]] == [1]
    assert [pool["pool_id"] for pool in whole["pools"]] == [3]


def test_yaml_says_what_json_says() -> None:
    some = report("4.12-shared", names=HOSTILE_NAMES)
    assert yaml.safe_load(structured.render_yaml(some, selection())) == document(some)


_WORDS = st.from_regex("k_[a-z]{1,3}", fullmatch=True)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=2)
    ),
    max_leaves=3,
)
_RECORDS = st.dictionaries(_WORDS, _VALUES, min_size=1, max_size=3)


@settings(max_examples=80)
@example({"k_a": {"k_b": 1e-05, "k_c": 1e16, "k_d": -1e300}})
@given(
    st.dictionaries(_WORDS, st.integers() | st.text() | _RECORDS | st.lists(_RECORDS, max_size=3), min_size=1)
)
def test_yaml_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(document)) == document


def test_json_lines_are_the_documents_records() -> None:
    some = report("4.3")
    lines = [json.loads(line) for line in structured.render_jsonl(some, selection()).splitlines()]
    whole = document(some)
    assert [line["record"] for line in lines] == [
        "host",
        *["client"] * 2,
        *["pool"] * 6,
        "shared_pool",
        *["timing"] * 9,
    ]
    common = {name: whole[name] for name in ("connection", "release", "timestamp")}
    assert lines[3] == {"record": "pool", **common, **whole["pools"][0]}


def test_csv_has_a_row_for_each_pool_and_every_field_if_asked() -> None:
    some = report("4.3", names={0: 'a,"b"\n', 1: "=1+1"})
    rows = list(csv.DictReader(io.StringIO(structured.render_csv(some, selection(), every_field=True))))
    assert list(rows[0]) == list(FIELDS)
    assert len(rows) == 6
    assert rows[2] | {"uuid_lo": "abc", "shared": "true", "hit_rate": "1.0", "frozen": "true"} == rows[2]
    assert rows[3]["hit_rate"] == ""
    assert [rows[0]["name"], rows[3]["name"]] == ['a,"b"\\n', "'=1+1"]
    few = structured.render_csv(some, selection(columns="pool,type"))
    assert few.splitlines()[:2] == ["pool_id,type", "0,persistent"]


def test_raw_is_the_text_as_it_came() -> None:
    text = b"G=\xff\x1b[31m\r\n\tC=\n"
    some = read_report(text + b"\0after", connection="x", timestamp=0.0)
    assert render_listing(some, selection(), "raw") == text


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt != "table"])
def test_every_format_takes_an_empty_listing(fmt: str) -> None:
    some = read_report(b"", connection="x", timestamp=0.0)
    assert render_listing(some, selection(), fmt) is not None

# SPDX-License-Identifier: GPL-2.0-only
"""The published schema is the one in force: the validator and the jsonschema package agree on what passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypervisor_model.scenario.document import Node
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.kinds import DEFAULT_KIND, GUEST_KINDS
from hypervisor_model.scenario.schema import scenario_schema
from hypervisor_model.scenario.validate import Validator

SCHEMA = scenario_schema(GUEST_KINDS, DEFAULT_KIND)
PUBLISHED = Path(__file__).parents[3] / "docs" / "scenario-schema.json"
ORACLE = jsonschema.Draft202012Validator(SCHEMA)


def test_the_published_schema_is_current() -> None:
    text = json.dumps(SCHEMA, indent=2) + "\n"
    assert PUBLISHED.read_text() == text, "write it anew: python -m hypervisor_model.scenario.schema"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def node_of(value: Any) -> Node:
    """A document as if it had been read from a file."""
    if isinstance(value, dict):
        return Node({key: node_of(child) for key, child in value.items()}, 1)
    if isinstance(value, list):
        return Node([node_of(child) for child in value], 1)
    return Node(value, 1)


def passes(document: Any) -> bool:
    try:
        Validator("test").check(node_of(document), SCHEMA)
    except ScenarioError:
        return False
    return True


# Values that some key likes, so that most documents are nearly right.
NUMBERS = (None, True, False, 0, 1, 2.0, 2.5, -1, 100, 1 << 33, 1 << 70)
WORDS = ("", "a", "4.3", "64MiB", "12 pages", "5s", "zipf", "scan", "random", "direct", "xen", "tokens")
UUID = "2b5c0a52-64f2-4d1e-9a57-0f6d3c1e8b11"
VALUES: Any = st.sampled_from([*NUMBERS, *WORDS, UUID, [], {}])


def mapping(keys: list[str], values: Any = VALUES) -> Any:
    return st.dictionaries(st.sampled_from([*keys, "other"]), values, max_size=3)


WORKLOAD = mapping(["kind", "skew", "rate", "operations", "working_set", "content"]) | st.fixed_dictionaries(
    {"kind": st.sampled_from(["zipf", "scan", "nothing"])},
    optional={"mix": mapping(["put", "get", "flush"]), "skew": VALUES, "operations": VALUES},
)
GUEST = st.fixed_dictionaries(
    {"name": st.sampled_from(["web", "db", "9", "", 3])},
    optional={
        "id": VALUES,
        "kind": VALUES,
        "memory": VALUES,
        "weight": VALUES,
        "compress": VALUES,
        "workload": WORKLOAD | VALUES,
        "pools": st.lists(mapping(["persistent", "shared", "uuid"]) | VALUES, max_size=2) | VALUES,
    },
)
DOCUMENT = st.fixed_dictionaries(
    {"guests": st.lists(GUEST | VALUES, max_size=2) | VALUES},
    optional={
        "seed": VALUES,
        "duration": VALUES,
        "host": mapping(["release", "memory", "quirks", "exact", "codec", "command_line"]) | VALUES,
    },
)


@settings(max_examples=200, deadline=None)
@given(DOCUMENT)
def test_validator_and_jsonschema_agree(document: Any) -> None:
    if not passes(document) and ORACLE.is_valid(document):
        # Bounds of quantities are the one thing that the schema says in words of its own.
        with pytest.raises(ScenarioError, match=r"too little|too much"):
            Validator("test").check(node_of(document), SCHEMA)
    else:
        assert passes(document) == ORACLE.is_valid(document)


def test_the_documents_are_not_all_bad_or_all_good() -> None:
    assert passes({"guests": [{"name": "a", "memory": "64MiB", "workload": {"kind": "zipf", "skew": 2}}]})
    assert not passes({"guests": [{"name": "a", "memory": "0.5", "workload": {"kind": "zipf"}}]})

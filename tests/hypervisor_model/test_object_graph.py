# SPDX-License-Identifier: GPL-2.0-only
"""Graphs come back as they were; what is no plain data, or nothing of this package's, is refused."""

from __future__ import annotations

import json
import random
import types
from array import array
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypervisor_model.guests.contents import ZERO_TOKEN
from hypervisor_model.host.options import BootOptions
from hypervisor_model.lib.tlsf import Block
from hypervisor_model.object_graph import reader as reader_module
from hypervisor_model.object_graph.kinds import GraphError, Row
from hypervisor_model.object_graph.reader import GraphReader
from hypervisor_model.object_graph.writer import GraphWriter
from hypervisor_model.releases import RELEASES
from hypervisor_model.scenario.driver import no_complaint
from hypervisor_model.scenario.load import HostSpec
from hypervisor_model.tmem.page import Pgp

LINKS = 5_000  # five times as many as calls may be nested


def there_and_back(root: Any, externals: dict[str, object] | None = None) -> Any:
    externals = externals or {}
    writer = GraphWriter(externals)
    rows = list(writer.rows(root))
    return read_back(rows, len(writer), externals)


def read_back(rows: list[Row], count: int, externals: dict[str, object] | None = None) -> Any:
    reader = GraphReader(count, externals or {})
    for act in (reader.make, reader.make_late, reader.fill):
        for row in rows:
            act(row)
    return reader.root()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.binary(max_size=3)
VALUES = st.recursive(
    SCALARS | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers(), max_size=1)
        | st.lists(inner).map(deque)
        | st.binary().map(bytearray)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES))
def test_plain_data_comes_back_equal_and_of_its_types(value: list[Any]) -> None:
    back = there_and_back(value)
    assert back == value
    assert repr(back) == repr(value), "1 is not True, and dicts keep their order"


def test_an_ordered_dict_keeps_what_was_moved() -> None:
    ordered = OrderedDict(a=1, b=2, c=3)
    ordered.move_to_end("a")
    assert list(there_and_back([ordered])[0].items()) == [("b", 2), ("c", 3), ("a", 1)]


def test_ranges() -> None:
    assert there_and_back([range(3), (range(9, 1, -2), 1)]) == [range(3), (range(9, 1, -2), 1)]


def test_transient_attributes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BootOptions, "__transient__", ("tze",), raising=False)
    back = there_and_back([BootOptions(dedup=True)])[0]
    assert back.dedup
    assert not hasattr(back, "tze")


@given(st.sets(st.integers()))
def test_sets_come_back_equal_though_not_in_order(value: set[int]) -> None:
    assert there_and_back([value, frozenset(value)]) == [value, frozenset(value)]


def test_identity_is_kept() -> None:
    page, block = b"x" * 4096, Block()
    block.before = block  # a cycle
    back = there_and_back([page, page, block, [block], {"key": block}])
    assert back[0] is back[1]
    assert back[2] is back[3][0] is back[4]["key"] is back[2].before


def test_what_was_not_set_is_not_set() -> None:
    head, page = Pgp.__new__(Pgp), Pgp.__new__(Pgp)
    page.index = 7
    back = there_and_back([head, page, None])
    assert not hasattr(back[0], "index")
    assert back[1].index == 7
    assert not hasattr(back[1], "obj")


def test_a_list_of_many_links_needs_no_stack() -> None:
    first = here = Pgp.__new__(Pgp)
    for index in range(LINKS):
        following = Pgp.__new__(Pgp)
        here.index, here.list_next = index, following
        here = following
    here.index, here.list_next = -1, first
    back = there_and_back([first])[0]
    count = 0
    node = back
    while node.index >= 0:
        assert node.index == count
        node, count = node.list_next, count + 1
    assert (count, node.list_next) == (LINKS, back)


def test_generators_of_random_numbers_go_on_where_they_were() -> None:
    rng = random.Random("seed")
    rng.gauss(0, 1)
    back = there_and_back([rng])[0]
    assert [back.random(), back.gauss(0, 1)] == [rng.random(), rng.gauss(0, 1)]


def test_arrays_bounded_deques_and_frozen_records() -> None:
    host = HostSpec("4.3", 1, "", "xen", True, "pages", None)
    back = there_and_back([array("d", [0.5, 1e300]), deque([1, 2], maxlen=2), host, {("a", 1): host}])
    assert back[0] == array("d", [0.5, 1e300])
    assert back[1].maxlen == 2
    assert back[2] == host
    assert back[3]["a", 1] is back[2]


def test_what_the_package_defines_is_kept_by_name() -> None:
    options = BootOptions()
    original = [no_complaint, Block, RELEASES, ZERO_TOKEN, options._spelt, (Block, ZERO_TOKEN)]
    back = there_and_back([*original, options])
    assert all(one is other for one, other in zip(original[:4], back[:4], strict=True))
    assert back[4].__self__ is back[6]
    assert back[5][0] is Block


def test_externals_are_named_and_put_back() -> None:
    codec, other = types.SimpleNamespace(), types.SimpleNamespace()
    writer = GraphWriter({"codec": codec})
    rows = list(writer.rows([codec, 1]))
    assert read_back(rows, len(writer), {"codec": other}) == [other, 1]


def numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    "value", [lambda: 1, numbers(), open, json.dumps, json, object(), 1j, ValueError("x"), [].append, type]
)
def test_what_is_no_plain_data_is_refused(value: object) -> None:
    with pytest.raises(GraphError, match="cannot be kept in a checkpoint"):
        there_and_back([[value]])


def one_value(value: object) -> list[Row]:
    """A graph of a list with one encoded value in it."""
    state = {"length": [1], "items": {"mixed": [value]}}
    return [("list", array("Q", [0]).tobytes(), json.dumps(state).encode())]


@pytest.mark.parametrize(
    "value",
    [
        ["name", "os:system"],
        ["name", "hypervisor_model.public.places:os"],
        ["name", "hypervisor_model.public.places:os.system"],
        ["name", "hypervisor_model.object_graph.writer:json.dumps"],
        ["name", "hypervisor_model.object_graph.writer:GraphWriter.__init__"],
        ["name", "hypervisor_model.lib.tlsf:__builtins__"],
        ["name", "hypervisor_model.nothing:x"],
        ["name", 3],
        ["name"],
        ["method", 1, "append"],
        ["method", 0, "__class__"],
        ["ref", -1],
        ["ref", 5],
        ["ref", "0"],
        ["external", "clock"],
        ["enum", "hypervisor_model.lib.tlsf:Block", "x"],
        ["call", "hypervisor_model.server:main"],
        [],
        {},
    ],
)
def test_hostile_values_are_refused(value: object) -> None:
    with pytest.raises(GraphError):
        read_back(one_value(value), 1)


@pytest.mark.parametrize(
    "row",
    [
        ("class os:stat_result", b"\0" * 8, b"{}"),
        ("class hypervisor_model.object_graph.kinds:GraphError", b"\0" * 8, b"{}"),
        ("class hypervisor_model.object_graph.writer:json", b"\0" * 8, b"{}"),
        ("class hypervisor_model.lib.tlsf:Block", b"\0" * 8, b"{}"),
        ("list", b"\0" * 7, b"{}"),
        ("list", b"\1" * 8, b"{}"),
        ("list", b"\0" * 16, b"{}"),
        ("list", b"\0" * 8, b"nonsense"),
        ("list", b"\0" * 8, b'{"length":[2],"items":{"plain":[1]}}'),
        ("list", b"\0" * 8, b'{"length":[1],"items":{"plain":[[1]]}}'),
        ("list", b"\0" * 8, b'{"length":[1],"items":{"else":[1]}}'),
        ("random", b"\0" * 8, b'{"state":{"plain":[1]}}'),
        ("bytes", b"\0" * 8, b"\xff\xff\xff\xffabc"),
        ("bytes", b"\0" * 8, b"\1"),
        ("eval", b"\0" * 8, b"{}"),
    ],
)
def test_damaged_rows_are_refused(row: Row) -> None:
    with pytest.raises(GraphError):
        read_back([row], 1)


def test_attributes_of_another_version_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = GraphWriter({})
    rows = list(writer.rows([Block()]))
    monkeypatch.setattr(reader_module, "attribute_names", lambda cls: ["other"])
    with pytest.raises(GraphError, match="Block had other attributes when this was written"):
        read_back(rows, len(writer))

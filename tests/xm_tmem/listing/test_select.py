# SPDX-License-Identifier: GPL-2.0-only
"""Filters, orders, columns and units as a user types them, right and wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xm_tmem.listing import texts
from xm_tmem.errors import BadInput
from xm_tmem.listing.fields import FIELDS, POOL_COLUMNS, Row
from xm_tmem.listing.filter import DEEPEST, LONGEST, parse_filter
from xm_tmem.listing.report import Report, read_report
from xm_tmem.listing.select import selection


def report(name: str = "4.12") -> Report:
    names = {0: "Domain-0", 1: "Web 2"}
    return read_report(texts.recorded(name), connection="replay:x", timestamp=0.0, names=names)


def pools(rows: list[Row]) -> list[tuple[int, int | None]]:
    return [(row.pool.cli_id, row.pool.pool_id) for row in rows if row.pool is not None]


ALL: list[tuple[int, int | None]] = [(0, 0), (0, 1), (0, 2), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("persistent", [(0, 0), (1, 0)]),
        ("shared", [(0, 2), (1, 2)]),
        ("pages>=9 and not shared", [(1, 0), (1, 1)]),
        ("pages>36KiB", [(1, 0), (1, 1)]),
        ("pages<1MiB", ALL),
        ("pages=0", [(0, 2), (1, 3), (1, 4)]),
        ("pages!=0 and domain=0", [(0, 0), (0, 1), (0, 2)]),
        ("name~web", [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]),
        ("name='Web 2' and pool<2", [(1, 0), (1, 1)]),
        ('name="Web 2" and pool==0', [(1, 0)]),
        ("hit_rate<=50%", [(0, 1)]),
        ("hit_rate>0.5", [(0, 0)]),
        ("type=ephemeral-shared", [(0, 2), (1, 2)]),
        ("uuid~abc", [(0, 2), (1, 2)]),
        ("U0=abc", [(0, 2), (1, 2)]),
        ("weight>10 or px>0 and pool=0", [(0, 0), (0, 1), (0, 2), (0, 2), (1, 0)]),
        ("(weight>10 or px>0) and pool=0", [(0, 0), (1, 0)]),
        ("frozen", []),
        ("frozen=no", ALL),
        ("not not compress", ALL),
        ("cap>=0", []),  # 4.12 has no caps: unknown, which no comparison is true of
    ],
)
def test_a_filter_passes_what_it_says(text: str, expected: list[tuple[int, int | None]]) -> None:
    assert pools(selection(where=text).rows(report())) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wieght>1", "there is no field 'wieght': did you mean 'weight'?"),
        ("qqqqqq", "there is no field 'qqqqqq': `xm tmem-explain` lists them"),
        ("", "the filter has its end where a field should stand"),
        ("weight>", "the filter has its end where a value should stand, behind '>'"),
        ("weight>1 and", "the filter has its end where a field should stand"),
        ("and", "the filter has 'and' where a field should stand"),
        ("(frozen", "the filter has a '(' without its ')'"),
        ("frozen)", "in the filter, ')' stands where it should end or have 'and' or 'or'"),
        ("frozen weight", "in the filter, 'weight' stands where it should end or have 'and' or 'or'"),
        ("weight~1", "weight is no text: compare it with = != < <= > or >="),
        ("weight=heavy", "'heavy' is no value to compare weight with: use a number"),
        ("frozen=perhaps", "'perhaps' is no value to compare frozen with: use yes or no"),
        (
            "hit_rate>x%",
            "'x%' is no value to compare hit_rate with: use a number from 0 to 1 or a percentage",
        ),
        ("pages>2parsecs", "'parsecs' is no unit: use KiB, MiB, GiB or pages"),
        ("name='x", 'the filter cannot be understood from "\'x" on'),
        ("weight ! 1", "the filter cannot be understood from '! 1' on"),
        ("(" * (DEEPEST + 2) + "frozen", f"the filter nests deeper than {DEEPEST} levels"),
        ("not " * (DEEPEST + 2) + "frozen", f"the filter nests deeper than {DEEPEST} levels"),
        ("x" * (LONGEST + 1), f"the filter is longer than {LONGEST} characters"),
    ],
)
def test_a_wrong_filter_is_told_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_filter(text)
    assert str(caught.value) == message


_WORDS = st.sampled_from(
    ["frozen", "weight", "name", "and", "or", "not", "(", ")", "=", "~", ">", "10", "5MiB", "'x y'"]
)


@given(st.lists(_WORDS, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_filter_is_a_test_or_bad_input(text: str) -> None:
    try:
        passes = parse_filter(text)
    except BadInput:
        return
    assert {passes(row) for row in selection().rows(report())} <= {True, False}


def test_rows_are_sorted_by_the_first_key_then_the_next() -> None:
    rows = selection(order="-pages,domain").rows(report())
    sizes = [(row.pool.pgp_count, row.pool.cli_id) for row in rows if row.pool is not None]
    assert sizes == [(29, 1), (20, 1), (9, 0), (9, 1), (7, 0), (4, 0), (0, 0), (0, 1), (0, 1)]


@pytest.mark.parametrize("order", ["hit_rate", "-hit_rate"])
def test_what_has_no_value_comes_last_in_either_direction(order: str) -> None:
    rates = [FIELDS["hit_rate"].of(row) for row in selection(order=order).rows(report())]
    assert rates == [*sorted([0.5, 0.8], reverse=order.startswith("-")), *[None] * 7]


def test_columns_replace_the_usual_ones_or_add_to_them() -> None:
    assert [each.name for each in selection(columns="pages, gt").columns] == ["pgp_count", "gets"]
    assert [each.name for each in selection(columns="+gets,name").columns] == [*POOL_COLUMNS, "gets"]


@pytest.mark.parametrize("words", ["", ",", "a,,b", "+", "nosuch"])
def test_wrong_columns_and_orders_are_refused(words: str) -> None:
    with pytest.raises(BadInput):
        selection(columns=words)
    with pytest.raises(BadInput):
        selection(order=words)


def test_units_are_taken_in_any_case_and_no_others() -> None:
    assert selection(units="mib").units == "MiB"
    with pytest.raises(BadInput, match="use auto, pages, bytes, KiB or MiB"):
        selection(units="GB")


def test_by_client_there_is_one_row_for_each() -> None:
    rows = selection(by_client=True).rows(report())
    assert [(row.client and row.client.cli_id, row.pool and row.pool.pgp_count) for row in rows] == [
        (0, 11),
        (1, 49),
    ]


def test_a_client_without_pools_and_a_pool_without_its_client_have_rows() -> None:
    text = b"C=CI:1,ww:5\nP=CI:2,PI:3,Pc:4\n"
    rows = selection().rows(read_report(text, connection="x", timestamp=0))
    values = [[FIELDS[name].of(row) for name in ("cli_id", "weight", "pool_id", "pgp_count")] for row in rows]
    assert values == [[1, 5, None, None], [2, None, 3, 4]]


def test_every_field_has_a_name_of_its_own_and_answers_every_row() -> None:
    shorts = [field.heading for field in FIELDS.values()]
    assert len(set(shorts)) == len(shorts)
    for row in selection().rows(report("4.12-shared-short")):
        for field in FIELDS.values():
            field.of(row)

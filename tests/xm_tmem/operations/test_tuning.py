# SPDX-License-Identifier: GPL-2.0-only
"""Settings: what differs is sent and nothing else, on every ABI, and a change that was not made is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xm_tmem.operations.tripping import model
from xm_tmem.backends.interface import Capability, ClientInfo
from xm_tmem.errors import BadInput, Failed, Unsupported
from xm_tmem.operations.query import client_targets
from xm_tmem.operations.rehearsal import Rehearsal
from xm_tmem.operations.tuning import MAX_SETTING, Wanted, change, differences

weights = st.one_of(st.none(), st.sampled_from([0, 1, 100, MAX_SETTING]))
switches = st.sampled_from([None, False, True])


@pytest.mark.parametrize("release", ["4.3", "4.12"])
@settings(max_examples=25, deadline=None)
@given(first=st.tuples(weights, switches), second=st.tuples(weights, switches))
def test_a_change_is_made_and_touches_nothing_else(
    release: str, first: tuple[int | None, bool | None], second: tuple[int | None, bool | None]
) -> None:
    _, backend = model(release, clients=2)
    one, other = client_targets(backend.typed)
    assert one.domain_id is not None
    assert other.domain_id is not None
    untouched = backend.client_info(other.domain_id)
    expected = backend.client_info(one.domain_id)
    for weight, compress in (first, second):
        (outcome,) = change(backend.typed, [one], Wanted(weight=weight, compress=compress))
        assert outcome.error is None
        expected = expected._replace(
            weight=expected.weight if weight is None else weight,
            compress=expected.compress if compress is None else compress,
        )
        assert backend.client_info(one.domain_id) == expected
    assert backend.client_info(other.domain_id) == untouched


def test_nothing_is_sent_when_nothing_differs() -> None:
    _, backend = model()
    change(backend.typed, client_targets(backend.typed), Wanted(weight=0, cap=0, compress=False))
    assert backend.changes == []


def test_only_what_differs_is_sent() -> None:
    _, backend = model()
    change(backend.typed, client_targets(backend.typed)[:1], Wanted(weight=5, cap=0, compress=False))
    assert backend.changes == ["set_weight"]


def test_a_switch_that_did_not_move_is_a_failure() -> None:
    _, backend = model()
    backend.trip["set_compress"] = lambda client, compress: None
    (outcome, *_) = change(backend.typed, client_targets(backend.typed), Wanted(compress=True))
    assert isinstance(outcome.error, Failed)


def test_a_cap_where_there_are_none_stops_before_the_weight_is_sent() -> None:
    _, backend = model("4.12")
    with pytest.raises(Unsupported, match=r"retired in Xen 4\.8"):
        change(backend.typed, client_targets(backend.typed), Wanted(weight=5, cap=5))
    assert backend.changes == []


@pytest.mark.parametrize("value", [-1, MAX_SETTING + 1, 2**32, 2**64])
def test_a_number_that_would_be_cut_is_refused(value: int) -> None:
    with pytest.raises(BadInput):
        Wanted(weight=value)
    with pytest.raises(BadInput):
        Wanted(cap=value)


def test_what_is_needed_is_what_is_asked_for() -> None:
    assert Wanted().capabilities == Capability(0)
    assert Wanted(weight=0, compress=False).capabilities == Capability.SET_WEIGHT | Capability.SET_COMPRESS


def test_differences_are_told_in_words() -> None:
    info = ClientInfo(weight=1, compress=False, frozen=False, cap=None)
    told = [str(each) for each in differences(info, Wanted(weight=2, cap=3, compress=True))]
    assert told == ["weight 1 -> 2", "cap ? -> 3", "compress off -> on"]


def test_a_rehearsal_reads_back_what_it_was_told_and_sends_nothing() -> None:
    _, backend = model()
    rehearsal = Rehearsal(backend.typed)
    outcomes = change(rehearsal, client_targets(rehearsal), Wanted(weight=9, compress=True))
    assert {outcome.done for outcome in outcomes} == {"weight 0 -> 9, compress off -> on"}
    assert backend.changes == []

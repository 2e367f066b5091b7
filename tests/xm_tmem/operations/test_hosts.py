# SPDX-License-Identifier: GPL-2.0-only
"""Several hosts at once: in parallel, in order, each closed, each with its own answer or error; and the sum of them."""

from __future__ import annotations

import threading

import pytest

from tests.xm_tmem.operations.tripping import Tripping, model
from xm_tmem.backends.interface import Backend
from xm_tmem.errors import Failed, NoSuchDomain, PartlyDone, TmemError, Unreachable
from xm_tmem.operations.hosts import ask_all
from xm_tmem.operations.outcome import sum_up

CONNECTIONS = ("a", "b", "c")


def connect_to(backends: dict[str, Tripping], name: str) -> Backend:
    if name not in backends:
        raise Unreachable(f"no {name}")
    return backends[name].typed


def test_answers_come_in_order_and_connections_are_closed() -> None:
    backends = {name: model(clients=number)[1] for number, name in enumerate(CONNECTIONS, 1)}
    answers = ask_all(CONNECTIONS, lambda name: connect_to(backends, name), lambda b: len(b.domains()))
    assert [answer.value for answer in answers] == [2, 3, 4]
    assert all(backend.calls[-1] == "close" for backend in backends.values())


def test_hosts_are_asked_at_the_same_time() -> None:
    backends = {name: model(clients=1)[1] for name in CONNECTIONS}
    together = threading.Barrier(len(CONNECTIONS), timeout=10)
    answers = ask_all(CONNECTIONS, lambda name: connect_to(backends, name), lambda b: together.wait())
    assert all(answer.error is None for answer in answers)


def test_a_host_that_fails_leaves_the_others_alone() -> None:
    backends = {"a": model(clients=1)[1], "c": model(clients=1)[1]}
    good, bad, other = ask_all(CONNECTIONS, lambda name: connect_to(backends, name), lambda b: 1)
    assert (good.value, other.value) == (1, 1)
    assert isinstance(bad.error, Unreachable)
    assert bad.connection == "b"


@pytest.mark.parametrize("connections", [("a",), CONNECTIONS])
def test_a_fault_of_ours_is_not_swallowed_and_the_connection_is_closed(connections: tuple[str, ...]) -> None:
    backends = {name: model(clients=1)[1] for name in CONNECTIONS}
    with pytest.raises(ZeroDivisionError):
        ask_all(connections, lambda name: connect_to(backends, name), lambda b: 1 // 0)
    assert backends["a"].calls[-1] == "close"


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([], None),
        ([None, None], None),
        ([NoSuchDomain("x")], 3),
        ([NoSuchDomain("x"), NoSuchDomain("y")], 3),
        ([NoSuchDomain("x"), Failed("y")], 6),
        ([NoSuchDomain("x"), None], 6),
    ],
)
def test_the_sum_of_errors(errors: list[TmemError | None], status: int | None) -> None:
    error = sum_up(errors)
    assert (error.exit_status if error else None) == status
    if status == PartlyDone.exit_status:
        assert f"of {len(errors)} failed" in str(error)

# SPDX-License-Identifier: GPL-2.0-only
"""frozen_meanwhile and reclaim: whatever step fails or is interrupted, every domain is left as it was."""

from __future__ import annotations

import signal

import pytest

from tests.xm_tmem.operations.tripping import frozen, model, raises
from xm_tmem.errors import BadInput, Disconnected, Failed, NoSuchDomain, TmemError, Unsupported
from xm_tmem.ids import DomainId
from xm_tmem.operations.interrupts import Endings
from xm_tmem.operations.lifecycle import MAX_FLUSH_KB, flush, frozen_meanwhile, thawed_now, wait_for_clients
from xm_tmem.operations.outcome import Target, everyone
from xm_tmem.operations.reclaim import reclaim

ERRORS = [Failed("no"), Disconnected("gone"), KeyboardInterrupt(), RuntimeError("a fault of ours")]
ONE = Target("guest1", DomainId(1))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["freeable_mb", "flush", "window"])
def test_reclaim_restores_whichever_step_fails(step: str, error: BaseException) -> None:
    hv, backend = model()
    hv.set_frozen(2, True)
    backend.trip[step] = raises(error)
    window = raises(error) if step == "window" else None
    with pytest.raises(type(error)):
        reclaim(backend.typed, 64, window=window)  # type: ignore[arg-type]
    assert frozen(hv) == [2]


def test_all_are_frozen_before_the_flush_and_in_the_window() -> None:
    hv, backend = model()
    seen: list[list[int]] = []

    def window() -> int:
        seen.append(frozen(hv))
        return 0

    result = reclaim(backend.typed, 64, window=window)
    assert seen == [[1, 2, 3]]
    assert backend.changes == ["freeze", "flush", "thaw", "thaw", "thaw"]
    assert (result.freed_kb, result.freeable_mb, result.status) == (64, 1, 0)


def test_a_domain_that_comes_in_the_window_is_not_touched() -> None:
    hv, backend = model(clients=1)

    def window() -> int:
        hv.create_domain(9).new_pool()
        hv.set_frozen(9, True)
        return 0

    reclaim(backend.typed, 4, window=window)
    assert frozen(hv) == [9]


def test_a_domain_that_goes_in_the_window_is_no_failure() -> None:
    hv, backend = model()

    def window() -> int:
        hv.destroy_domain(2)
        return 0

    reclaim(backend.typed, 4, window=window)
    assert frozen(hv) == []


def test_a_domain_that_cannot_be_thawed_is_named() -> None:
    _, backend = model(clients=2)
    backend.trip["thaw"] = raises(Failed("no"))
    with pytest.raises(Failed, match="still frozen: domain 1, domain 2"):
        reclaim(backend.typed, 4)


def test_one_that_cannot_be_thawed_does_not_keep_the_others_frozen() -> None:
    hv, backend = model()
    real = backend._backend.thaw

    def thaw(client: DomainId | None) -> None:
        if client == 1:
            raise Failed("no")
        real(client)

    backend.trip["thaw"] = thaw
    with pytest.raises(Failed, match="still frozen: domain 1 "):
        reclaim(backend.typed, 4)
    assert frozen(hv) == [1]


@pytest.mark.parametrize("size_kb", [0, -1, MAX_FLUSH_KB + 1, 2**32])
def test_a_size_that_would_wrap_around_is_refused_and_nobody_stays_frozen(size_kb: int) -> None:
    hv, backend = model()
    with pytest.raises(BadInput):
        reclaim(backend.typed, size_kb)
    assert frozen(hv) == []
    with pytest.raises(BadInput):
        flush(backend.typed, size_kb)
    assert "flush" not in backend.calls


def test_freezing_some_for_a_while_undoes_only_what_it_did() -> None:
    hv, backend = model()
    hv.set_frozen(1, True)
    with frozen_meanwhile(backend.typed, [ONE, Target("guest2", DomainId(2))]) as outcomes:
        assert [outcome.done for outcome in outcomes] == ["frozen", "frozen"]
        assert frozen(hv) == [1, 2]
    assert frozen(hv) == [1]


def test_a_target_that_failed_to_resolve_freezes_nobody_else() -> None:
    hv, backend = model()
    with frozen_meanwhile(backend.typed, [Target("x", None, NoSuchDomain("x"))]) as outcomes:
        assert isinstance(outcomes[0].error, NoSuchDomain)
        assert frozen(hv) == []
    assert thawed_now(backend.typed, [Target("x", None, NoSuchDomain("x"))]) == []


def test_everyone_is_every_client() -> None:
    _, backend = model()
    assert [target.domain_id for target in thawed_now(backend.typed, [everyone()])] == [1, 2, 3]


def test_an_interrupt_while_thawing_waits_for_the_last_thaw() -> None:
    hv, backend = model()
    real = backend._backend.thaw

    def thaw(client: DomainId | None) -> None:
        if client == 1:
            signal.raise_signal(signal.SIGINT)
        real(client)

    backend.trip["thaw"] = thaw
    with pytest.raises(KeyboardInterrupt):
        reclaim(backend.typed, 4)
    assert frozen(hv) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_from_outside_interrupts_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Endings():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_has_to_wait_comes_when_the_block_is_left(number: signal.Signals) -> None:
    reached: list[bool] = []

    def block() -> None:
        with Endings() as endings:
            endings.wait()
            signal.raise_signal(number)
            signal.raise_signal(number)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached


def test_a_second_interrupt_does_not_disturb_what_the_first_set_off() -> None:
    undone: list[bool] = []

    def block() -> None:
        with Endings() as endings:
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGTERM)
                endings.wait()
                undone.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert undone


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Endings():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_waiting_for_a_client_looks_again_until_it_is_there() -> None:
    hv, backend = model(clients=1)
    hv.create_domain(5)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] > 1:
            hv.domain(5).new_pool()

    (found,) = wait_for_clients(backend.typed, ["5"], 60, now=lambda: clock[0], sleep=sleep)
    assert (found.domain_id, found.error) == (5, None)
    assert 1 < clock[0] < 2
    assert backend.calls.count("list_text") > 3


def test_waiting_ends_with_its_time() -> None:
    _, backend = model(clients=1)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    (found,) = wait_for_clients(backend.typed, ["nosuch"], 3, now=lambda: clock[0], sleep=sleep)
    assert isinstance(found.error, NoSuchDomain)
    assert clock[0] == pytest.approx(3)


def test_reclaim_asks_first_whether_it_can() -> None:
    _, backend = model()
    backend._backend = Limited(backend._backend)  # type: ignore[assignment]
    with pytest.raises(Unsupported):
        reclaim(backend.typed, 4)
    assert backend.changes == []


class Limited:
    """A backend that can list and freeze, and not flush."""

    def __init__(self, backend: object) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    @property
    def capabilities(self) -> object:
        from xm_tmem.backends.interface import Capability

        return Capability.LIST | Capability.FREEZE


def test_every_error_of_ours_is_kept_for_its_target() -> None:
    hv, backend = model()
    backend.trip["freeze"] = raises(Failed("no"))
    with frozen_meanwhile(backend.typed, [ONE]) as outcomes:
        assert isinstance(outcomes[0].error, TmemError)
    assert frozen(hv) == []

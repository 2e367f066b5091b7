# SPDX-License-Identifier: GPL-2.0-only
"""A copy ends between two calls, or at once if asked twice."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.xm_tmem.operations.models import DOMAIN, Host
from xm_tmem.backends.interface import SavedPage
from xm_tmem.ids import DomainId, PoolId
from xm_tmem.operations.interrupts import ENDINGS
from xm_tmem.operations.migration import save
from xm_tmem.operations.stopping import stoppable


@pytest.mark.parametrize("number", ENDINGS)
def test_the_first_request_waits_for_a_check_and_the_second_does_not(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in ENDINGS]
    with stoppable() as check:
        check()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(each) for each in ENDINGS] == before


def test_what_is_noted_after_the_last_check_is_dropped() -> None:
    with stoppable():
        signal.raise_signal(signal.SIGTERM)


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as check:
            os.kill(os.getpid(), signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_leave_signals_alone() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with stoppable() as check:
                check()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised == []


def test_no_call_is_left_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.fill(20)
    real = host.backend.save_pages
    exchanges = [0, 0]

    def interrupted(client: DomainId, pool: PoolId) -> Iterator[SavedPage]:
        for page in real(client, pool):
            exchanges[0] += 1
            signal.raise_signal(signal.SIGINT)  # as if waiting for the answer
            exchanges[1] += 1
            yield page

    monkeypatch.setattr(host.backend, "save_pages", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(host.backend, DOMAIN, io.BytesIO())
    assert exchanges == [1, 1]
    assert not host.frozen()

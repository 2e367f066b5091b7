# SPDX-License-Identifier: GPL-2.0-only
"""Signals as a process at a terminal has them: a job in the background, or under nohup, ignores some of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def endings_end() -> Iterator[None]:
    """Neither Ctrl-C, a hangup nor a request to terminate is ignored, whoever started the tests."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)

# SPDX-License-Identifier: GPL-2.0-only
"""Where the suite runs: in a real dom0, once, or before a played Xen of every release.

A test asks for `with_tmem` or `without_tmem` when it makes sense on such hosts only, for `dom0` when it does on all.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.system.dom0.control_domain import ABSENT, ON, ControlDomain
from tests.system.dom0.guest import Guest
from tests.system.dom0.pages import EPHEMERAL, PERSISTENT, fill
from tests.system.in_dom0 import IN_DOM0, REPORT
from xm_tmem.backends.interface import PoolInfo
from xm_tmem.ids import DomainId, SharedUuid

REAL = os.environ.get(IN_DOM0)
"""What this boot is meant to be, with tmem "on" or "off"; None where nothing was booted."""
LIMIT_SECONDS = 120
collect_ignore = [] if REAL else ["test_machine.py"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A real host as it is; of the played ones, those that a test makes sense on."""
    if REAL:
        return
    from tests.system.played import QUICK, WITH_TMEM, WITHOUT_TMEM

    if "with_tmem" in metafunc.fixturenames:
        names = WITH_TMEM
    elif "without_tmem" in metafunc.fixturenames:
        names = WITHOUT_TMEM
    else:
        names = (*WITH_TMEM, *WITHOUT_TMEM)
    marked = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in names]
    metafunc.parametrize("dom0", marked, indirect=True)


@pytest.fixture(autouse=True)
def limit_of_time() -> Iterator[None]:
    """No test may hang in a real dom0, where nobody could stop it."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError(f"over the limit of {LIMIT_SECONDS} seconds")

    if not REAL:
        yield
        return
    signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT_SECONDS)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def real_dom0() -> Iterator[ControlDomain]:
    """The machine this runs on. What is asked of it goes back with the reports."""
    from tests.system.dom0.frames import machine_frame

    host = ControlDomain(machine_frame, real=True)
    with open(REPORT / "transcript.txt", "w", encoding="utf-8", errors="surrogateescape") as file:
        host.transcript = file
        yield host


@pytest.fixture
def dom0(request: pytest.FixtureRequest) -> Iterator[ControlDomain]:
    """The control domain; what a test leaves behind is taken away."""
    if REAL:
        host: ControlDomain = request.getfixturevalue("real_dom0")
        yield host
        host.clean()
        return
    from tests.system.played import control_domain

    with control_domain(request.param) as played:
        yield played
        played.clean()


@pytest.fixture
def with_tmem(dom0: ControlDomain) -> ControlDomain:
    """A host whose tmem is on."""
    state = dom0.tmem()
    if state == ABSENT:
        pytest.skip(f"Xen {dom0.name} has no tmem")
    if REAL == "off":
        pytest.skip("booted without tmem=1")
    assert state == ON
    return dom0


@pytest.fixture
def without_tmem(dom0: ControlDomain) -> ControlDomain:
    """A host whose tmem was not switched on at boot, or that has none."""
    state = dom0.tmem()
    if REAL == "on" and state == ON:
        pytest.skip("booted with tmem=1")
    assert state != ON
    return dom0


@pytest.fixture
def guest(with_tmem: ControlDomain) -> Guest:
    """dom0 as a user of tmem."""
    return with_tmem.guest


@pytest.fixture
def idle(dom0: ControlDomain) -> DomainId:
    """A domain that has never used tmem."""
    return dom0.create_domain()


@pytest.fixture
def client(with_tmem: ControlDomain) -> DomainId:
    """A domain with an ephemeral and a persistent pool, a few pages in each, all of them compressed."""
    domain = with_tmem.create_domain()
    backend = with_tmem.backend
    backend.restore_begin(domain)
    for pool, persistent in ((EPHEMERAL, False), (PERSISTENT, True)):
        backend.restore_pool(domain, PoolInfo(pool, persistent, False, 0, SharedUuid(0, 0)))
        fill(backend, domain, pool)
    return domain

# SPDX-License-Identifier: GPL-2.0-only
"""Killed, cut off or refused at any point: the source is as it was, and the target has the whole or nothing."""

from __future__ import annotations

import io
import random
import signal
from collections.abc import Callable

import pytest

from tests.xm_tmem.operations.models import DOMAIN, Contents, Host, Tripwire, throwing
from xm_tmem.errors import Disconnected, Failed, NoClient, TmemError
from xm_tmem.operations.migration import migrate, restore, save
from xm_tmem.operations.saving import SaveOptions

POINTS = 50
PAGES = (80, 0, 1)


@pytest.fixture(autouse=True)
def _few_pages_in_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if there were many pages: most round trips carry some.
    monkeypatch.setattr("xm_tmem.operations.restoring.PAGES_AT_ONCE", 2)
    monkeypatch.setattr("xm_tmem.operations.restoring.HANDLES_AT_ONCE", 2)


def kill(number: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


WAYS_TO_END = {
    "ctrl-c": kill(signal.SIGINT),
    "terminated": kill(signal.SIGTERM),
    "hung up": kill(signal.SIGHUP),
    "cut off": throwing(Disconnected("the connection broke")),
    "refused": throwing(Failed("out of memory")),
}


CLEANING_UP = 3  # calls at the end of a save that bring the source back to its state


def points(calls: int) -> list[tuple[int, str]]:
    """Fifty of the calls of a whole run, the first and last ones among them, and how the run ends there.

    Signals may come at any of them. Errors of the calls that clean up are another matter, and have their own tests.
    """
    choose = random.Random(calls)
    middle = sorted(choose.sample(range(7, calls - 7), POINTS - 14))
    every = [*range(1, 7), *middle, *range(calls - 7, calls + 1)]
    names = list(WAYS_TO_END)
    return [(at, names[at % (5 if at <= calls - CLEANING_UP else 3)]) for at in every]


def interrupted(act: Callable[[], object]) -> bool:
    """Did `act` end before its end?"""
    try:
        act()
    except (KeyboardInterrupt, TmemError):
        return True
    return False


def held(host: Host) -> int:
    """Persistent pages of the host's domain, 0 without a client."""
    try:
        return host.count()
    except NoClient:
        return 0


@pytest.mark.parametrize("release", ["4.3", "4.12"])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("live", [False, True])
def test_a_killed_save_leaves_the_source_as_it_was(release: str, frozen: bool, live: bool) -> None:
    host = Host(release)
    contents = host.fill(*PAGES)
    host.hv.set_frozen(1, frozen)
    options = SaveOptions(live=live)
    whole = Tripwire(host.backend, 0, lambda: None)
    reference = io.BytesIO()
    save(whole, DOMAIN, reference, options=options)
    ended = 0
    for at, how in points(whole.calls):
        broken = Tripwire(host.backend, at, WAYS_TO_END[how])
        ended += interrupted(lambda: save(broken, DOMAIN, io.BytesIO(), options=options))  # noqa: B023
        assert host.frozen() == frozen, (at, how)
        assert not host.backend.client_info(DOMAIN).migrating
    assert ended > POINTS - 5
    assert host.found(contents) == contents
    again = io.BytesIO()
    save(host.backend, DOMAIN, again, options=options)
    assert again.getvalue() == reference.getvalue()
    host.hv.check()


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_a_killed_restore_leaves_the_whole_or_nothing(release: str) -> None:
    source = Host()
    contents = source.fill(*PAGES)
    raw = source.save()
    whole = Tripwire(Host(release).backend, 0, lambda: None)
    restore(whole, DOMAIN, io.BytesIO(raw), "file")
    nothing = 0
    for at, how in points(whole.calls):
        target = Host(release)
        broken = Tripwire(target.backend, at, WAYS_TO_END[how])
        ended = interrupted(lambda: restore(broken, DOMAIN, io.BytesIO(raw), "file"))  # noqa: B023
        assert held(target) in ((0, len(contents)) if ended else (len(contents),)), (at, how)
        assert target.found(contents) == (contents if held(target) else {})
        nothing += not held(target)
        target.hv.check()
    assert nothing > POINTS - 5


@pytest.mark.parametrize("release", ["4.3", "4.12"])
def test_a_killed_restore_of_a_frozen_client_is_undone_with_xens_quirks_too(release: str) -> None:
    source = Host()
    contents = source.fill(3)
    source.hv.set_frozen(1, True)
    raw = source.save()
    whole = Tripwire(Host(release, "xen").backend, 0, lambda: None)
    restore(whole, DOMAIN, io.BytesIO(raw), "file")
    for at in range(1, whole.calls + 1):
        target = Host(release, "xen")
        broken = Tripwire(target.backend, at, WAYS_TO_END["cut off"])
        assert interrupted(lambda: restore(broken, DOMAIN, io.BytesIO(raw), "file"))  # noqa: B023
        assert held(target) == 0, at
        assert target.found(contents) == {}


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_killed_migration_leaves_both_ends_well(side: str, live: bool) -> None:
    source = Host("4.3")
    contents = source.fill(*PAGES)
    options = SaveOptions(live=live)

    def run(target: Host, at: int, act: Callable[[], object]) -> int:
        ends = {"source": source.backend, "target": target.backend}
        wire = Tripwire(ends[side], at, act)
        ends[side] = wire  # type: ignore[assignment]  # it answers to every method
        ended = interrupted(lambda: migrate(ends["source"], DOMAIN, ends["target"], DOMAIN, options=options))
        assert ended or held(target) == len(contents)
        return wire.calls

    calls = run(Host("4.12"), 0, lambda: None)
    nothing = 0
    for at, how in points(calls):
        target = Host("4.12")
        run(target, at, WAYS_TO_END[how])
        assert not source.frozen(), (at, how)
        assert held(target) in (0, len(contents)), (at, how)
        nothing += not held(target)
    assert nothing > POINTS - 12
    assert source.found(contents) == contents
    source.hv.check()


def test_an_error_of_a_restore_says_what_became_of_it() -> None:
    source, target = Host(), Host()
    source.fill(60)
    broken = Tripwire(target.backend, 20, throwing(Disconnected("the connection broke")))
    with pytest.raises(
        Disconnected, match=r"the connection broke\. Every page was taken back; a client with 1 empty"
    ):
        restore(broken, DOMAIN, io.BytesIO(source.save()), "file")


def test_a_save_that_the_hypervisor_does_not_end_is_thawed_nevertheless() -> None:
    source = Host()
    source.fill(1)
    calls = Tripwire(source.backend, 0, lambda: None)
    save(calls, DOMAIN, io.BytesIO())
    at_save_end = calls.calls - 1
    broken = Tripwire(source.backend, at_save_end, throwing(Failed("no")))
    with pytest.raises(Failed, match=r"may not have ended for the hypervisor \(no\)"):
        save(broken, DOMAIN, io.BytesIO())
    assert not source.frozen()


class DeadAfter(Tripwire):
    """A backend that is gone for good from call number `at` on."""

    def _step(self) -> None:
        self.calls += 1
        if self.calls >= self._at:
            raise Disconnected("the connection broke")


def test_a_source_that_cannot_be_thawed_is_said_to_be_frozen() -> None:
    source = Host()
    source.fill(20)
    with pytest.raises(Failed, match=r"may not be thawed again .* `xm tmem-thaw 1`"):
        save(DeadAfter(source.backend, 20, lambda: None), DOMAIN, io.BytesIO())


def test_a_target_that_cannot_be_undone_is_said_to_be_broken() -> None:
    source, target = Host(), Host()
    source.fill(60)
    with pytest.raises(
        Failed, match=r"Taking it back failed too .*: destroy the domain, its tmem is not whole"
    ):
        restore(DeadAfter(target.backend, 20, lambda: None), DOMAIN, io.BytesIO(source.save()), "file")


def test_a_full_disk_leaves_the_source_as_it_was() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    source = Host()
    contents: Contents = source.fill(300)
    with pytest.raises(OSError, match="No space"):
        save(source.backend, DOMAIN, Full())
    assert not source.frozen()
    assert source.found(contents) == contents

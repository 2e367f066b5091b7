# SPDX-License-Identifier: GPL-2.0-only
"""Dom0's balancer and tmem policy in a scenario: what moves stays within the host, however the run is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypervisor_model.checkpoint import resume, write_snapshot
from hypervisor_model.guests.balancer import POLICIES
from hypervisor_model.guests.guest import Guest
from hypervisor_model.guests.tmem_policy import Metered
from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.host_policies import Balancer, HostTimer, TmemSharing
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import Runner, boot

SECOND_US = 1_000_000
MB = 256
HOST_MB = 80

TURNS = """
duration: 60s
host: {memory: 80MiB, contents: tokens, exact: false, balancer: {policy: squeeze, interval: 2s}}
guests:
  - name: early
    kind: linux
    memory: 24MiB
    max_memory: 64MiB
    kernel: 2MiB
    workload: {kind: usemem, size: 32MiB, lifetimes: 9, delay: 10s, hold: 10s}
    balloon: {kind: xenballoond, down_hysteresis: 2}
  - name: late
    kind: linux
    memory: 24MiB
    max_memory: 64MiB
    kernel: 2MiB
    workload: {kind: usemem, size: 32MiB, lifetimes: 9, delay: 20s, hold: 10s}
    balloon: {kind: xenballoond, down_hysteresis: 2, weight: 768}
"""
DIRECT = """
host: {memory: 16MiB, exact: false, contents: tokens, tmem_policy: {kind: KIND, interval: 100ms}}
guests:
  - {name: a, max_memory: 64MiB, pools: [{persistent: true}], workload: {kind: scan, working_set: 16MiB,
     mix: {put: 1}, rate: 8000, operations: 16000}}
  - {name: b, max_memory: 64MiB, pools: [{persistent: true}], workload: {kind: scan, working_set: 1MiB,
     mix: {put: 1}, rate: 100, operations: 200}}
"""
CAPACITY = (16 - 2 * 4) * MB


def owned(runner: Runner) -> list[int]:
    """Pages of their own that the guests have now."""
    return [runner.hypervisor.domain(guest.domain_id).domain.own_pages for guest in runner.guests]


def persistent(runner: Runner) -> list[int]:
    domains = [runner.hypervisor.domain(guest.domain_id).domain for guest in runner.guests]
    return [domain.tot_pages - domain.own_pages for domain in domains]


def outcome(runner: Runner) -> tuple[Any, ...]:
    """All that can be seen of a run."""
    reports = [guest.driver.report() for guest in runner.guests]
    return reports, owned(runner), runner.hypervisor.list_text(use_long=True), runner.position


def balancer_of(runner: Runner) -> Balancer:
    balancer = runner._timers[0]._action.__self__  # type: ignore[attr-defined]
    assert isinstance(balancer, Balancer)
    return balancer


def go_to_second(runner: Runner, second: int) -> None:
    while runner.advance(1000, second * SECOND_US):
        pass


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_guests_have_stays_within_the_host(policy: str) -> None:
    runner = boot(load_text(TURNS.replace("squeeze", policy)))
    sizes = set()
    for second in range(1, 61):
        go_to_second(runner, second)
        heap = runner.hypervisor.heap
        assert sum(owned(runner)) + sum(persistent(runner)) + heap.avail + heap.freeable == HOST_MB * MB
        sizes.add(tuple(owned(runner)))
    assert len(sizes) > 1, "nothing was moved"
    for guest, pages in zip(runner.guests, owned(runner), strict=True):
        assert isinstance(guest.driver, Guest)
        assert guest.driver.memory.totalram == pages
    runner.hypervisor.check()


@pytest.mark.parametrize("policy", POLICIES)
def test_targets_are_within_what_there_is(policy: str) -> None:
    """On a host that cannot give both guests what they need."""
    text = TURNS.replace("memory: 80MiB", "memory: 60MiB").replace("delay: 20s", "delay: 10s")
    runner = boot(load_text(text.replace("squeeze", policy)))
    go_to_second(runner, 18)
    balancer = balancer_of(runner)
    balancer.run(18)
    assert sum(persistent(runner)) > 0
    assert sum(balancer.targets.values()) + sum(persistent(runner)) <= 60 * MB
    assert min(balancer.targets.values()) >= 20 * MB, "the daemon's minimum"


def test_memory_follows_the_need() -> None:
    runner = boot(load_text(TURNS))
    go_to_second(runner, 19)
    early, late = owned(runner)
    assert early > 32 * MB > 24 * MB > late
    go_to_second(runner, 29)
    early, late = owned(runner)
    assert early < 24 * MB < 32 * MB < late


def test_shares_go_by_the_balloons_weights() -> None:
    text = TURNS.replace("memory: 80MiB", "memory: 64MiB").replace("squeeze", "proportional")
    runner = boot(load_text(text.replace("size: 32MiB, lifetimes: 9, delay: 10s", "delay: 1h")))
    go_to_second(runner, 20)
    early, late = owned(runner)
    minimum = (8 + (24 * MB >> 9)) * MB
    assert (late - minimum) / (early - minimum) == pytest.approx(3, abs=0.1)


def test_without_a_balancer_the_daemon_goes_by_what_is_committed() -> None:
    runner = boot(load_text(TURNS.replace(", balancer: {policy: squeeze, interval: 2s}", "")))
    go_to_second(runner, 20)
    early, late = owned(runner)
    assert early == 24 * MB > late


def test_persistent_pages_count_against_what_a_guest_can_grow_to() -> None:
    runner = boot(load_text(TURNS.replace("max_memory: 64MiB", "max_memory: 28MiB")))
    go_to_second(runner, 20)
    held = persistent(runner)[0]
    assert held > 0
    assert owned(runner)[0] + held <= 28 * MB
    balancer = balancer_of(runner)
    balancer.run(20)
    assert balancer.targets["early"] == 28 * MB - held
    runner.hypervisor.check()


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 25_000_000)), min_size=1, max_size=30))
def test_cutting_a_run_into_pieces_does_not_matter(pieces: list[tuple[int, int]]) -> None:
    text = TURNS.replace("balancer:", "tmem_policy: {kind: smart, interval: 300ms}, balancer:")
    whole, cut = boot(load_text(text)), boot(load_text(text))
    for budget, until_us in pieces:
        cut.advance(budget, until_us)
    for runner in (whole, cut):
        go_to_second(runner, 25)
    assert outcome(cut) == outcome(whole)


def test_a_resumed_host_goes_on_balancing(tmp_path: Path) -> None:
    text = TURNS.replace("balancer:", "tmem_policy: {kind: smart, interval: 300ms}, balancer:")
    runner = boot(load_text(text))
    go_to_second(runner, 9)
    runner.advance(10_000)
    path = str(tmp_path / "state.sqlite")
    write_snapshot(path, runner, {})
    resumed = resume(path)
    before = owned(resumed)
    for one in (runner, resumed):
        go_to_second(one, 30)
    assert outcome(resumed) == outcome(runner)
    assert owned(resumed) != before


def test_a_timer_is_due_at_multiples_of_its_interval() -> None:
    times: list[int] = []
    timer = HostTimer(15_000, times.append)
    for now_us in (0, 10_000, 20_000, 20_000, 60_000):
        timer.run(now_us)
    assert times == [15_000_000, 30_000_000, 45_000_000, 60_000_000]


def test_a_timer_acts_when_every_guest_has_got_to_it_and_no_further() -> None:
    clocks: list[list[int]] = []
    times: list[int] = []
    runner = boot(load_text(DIRECT.replace("KIND", "greedy")))

    def look(now_ns: int) -> None:
        times.append(now_ns // 1000)
        clocks.append([guest.driver.time_us for guest in runner.guests])

    runner._timers = (HostTimer(500_000, look),)
    runner.run()
    assert times == [500_000, 1_000_000, 1_500_000]
    assert clocks == [[now_us, now_us] for now_us in times]


def run_direct(kind: str) -> tuple[list[int], list[int]]:
    """Persistent pages of the two guests at the end, and puts of theirs that were stored."""
    runner = boot(load_text(DIRECT.replace("KIND", kind)))
    runner.run()
    runner.hypervisor.check()
    return persistent(runner), [int(guest.driver.report()["puts_stored"] or 0) for guest in runner.guests]


def test_a_put_beyond_a_target_is_refused() -> None:
    [greedy, _], _ = run_direct("greedy")
    assert greedy > CAPACITY * 3 // 4
    [static, other], [stored, _] = run_direct("static")
    assert static == CAPACITY // 2
    assert stored < 16_000
    assert 0 < other < 256


def test_smart_gives_more_to_who_is_refused() -> None:
    [smart, other], _ = run_direct("smart, step_percent: 5")
    assert CAPACITY // 2 < smart < CAPACITY
    assert other > 0


def test_ephemeral_pages_have_no_target() -> None:
    static = DIRECT.replace("KIND", "static").replace("persistent: true", "persistent: false")
    none = static.replace(", tmem_policy: {kind: static, interval: 100ms}", "")
    with_policy, without = boot(load_text(static)), boot(load_text(none))
    for runner in (with_policy, without):
        runner.run()
    assert outcome(with_policy) == outcome(without)


def test_what_guests_give_back_is_shared_out_too() -> None:
    hypervisor = Hypervisor(frames=1000, contents="tokens")
    guests = {domid: Metered(hypervisor.create_domain(domid, tot_pages=500)) for domid in (1, 2)}
    sharing = TmemSharing(
        hypervisor, guests, {"kind": "static", "step_percent": 2, "weights": False, "caps": False}
    )
    assert [guest.target for guest in guests.values()] == [500, 500]
    hypervisor.decrease_reservation(1, 200)
    sharing.run(0)
    assert [guest.target for guest in guests.values()] == [600, 600]


def settings_of(text: str) -> list[tuple[int, int]]:
    """Weight and cap of each guest at the end."""
    runner = boot(load_text(text))
    runner.run()
    return [(client.weight, client.cap) for client in runner.hypervisor.tmem.clients]


def test_weights_and_caps_in_xen_follow_the_targets_if_asked_for() -> None:
    text = DIRECT.replace("- {name: a", "- {weight: 7, cap: 9, name: a")
    assert settings_of(text.replace("KIND", "static")) == [(7, 9), (0, 0)]
    assert settings_of(text.replace("KIND", "static, caps: true")) == [(7, CAPACITY // 2), (0, CAPACITY // 2)]
    assert settings_of(text.replace("KIND", "greedy, caps: true, weights: true")) == [(0, 0), (0, 0)]
    [(weight, cap), (other, least)] = settings_of(
        text.replace("KIND", "smart, step_percent: 5, weights: true, caps: true")
    )
    assert (weight, other) == (100 * cap // (cap + least), 100 * least // (cap + least))
    assert weight > other > 0


FOLLOWER = "guests: [{name: a, kind: linux, workload: {kind: idle}, balloon: {kind: xenballoond}}]"
BAD = [
    ("balancer: {policy: squeez}", "scenario:2: host.balancer.policy: 'squeez' is not one of proportional, "),
    ("balancer: {policy: squeez}", "did you mean squeeze?"),
    ("balancer: {}", "scenario:2: host.balancer: policy is missing"),
    ("balancer: squeeze", "scenario:2: host.balancer: must be a mapping, not 'squeeze'"),
    (
        "balancer: {policy: squeeze, intervall: 5s}",
        "host.balancer.intervall: no such key; did you mean interval?",
    ),
    ("balancer: {policy: squeeze, interval: 5}", "host.balancer.interval: must be text, such as 250us"),
    ("balancer: {policy: squeeze, interval: 9ms}", "interval: '9ms' is too little: at least 10000 us"),
    ("balanser: {policy: squeeze}", "host.balanser: no such key; did you mean balancer?"),
    ("tmem_policy: {kind: smarty}", "did you mean smart?"),
    ("tmem_policy: {kind: smart, step_percent: 0}", "host.tmem_policy.step_percent: 0 is too small"),
    (
        "release: 4.12\n  tmem_policy: {kind: smart, caps: true}",
        "scenario:3: host.tmem_policy.caps: Xen 4.12 has no caps: they were retired in 4.8",
    ),
    ("tmem_policy: {step_percent: 2}", "host.tmem_policy: kind is missing"),
]


@pytest.mark.parametrize(("line", "complaint"), BAD)
def test_a_bad_policy_is_refused_with_line_and_key(line: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(f"host:\n  {line}\n{FOLLOWER}")
    assert complaint in str(caught.value)


@pytest.mark.parametrize("guest", ["{name: a}", FOLLOWER.replace("xenballoond", "selfballoon")[9:-1]])
def test_a_balancer_that_nobody_follows_is_refused(guest: str) -> None:
    with pytest.raises(ScenarioError, match=r"scenario:3: host.balancer: no guest follows it: give"):
        load_text(f"host:\n  memory: 64MiB\n  balancer: {{policy: squeeze}}\nguests: [{guest}]")


def test_intervals_are_filled_in() -> None:
    host = load_text(
        f"host: {{balancer: {{policy: squeeze}}, tmem_policy: {{kind: smart}}}}\n{FOLLOWER}"
    ).host
    assert host.balancer == {"policy": "squeeze", "interval": 5_000_000}
    assert host.tmem_policy == {
        "kind": "smart",
        "step_percent": 2,
        "interval": 1_000_000,
        "weights": False,
        "caps": False,
    }

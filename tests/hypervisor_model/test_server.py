# SPDX-License-Identifier: GPL-2.0-only
"""A model host as a process: it starts once, stops in order, and comes back from a crash as it was."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from hypervisor_model import build, launch
from hypervisor_model.checkpoint import read_notes
from hypervisor_model.instance import checkpoint_path, log_path, pid_path, previous_checkpoint_path
from hypervisor_model.launch import LaunchError, NotRunning
from hypervisor_model.public import tmem, wire
from hypervisor_model.public.places import PlaceError, socket_path
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.runner import boot
from tests.hypervisor_model.hosts import ENDLESS, Host, checkpointed, control

FINITE = ENDLESS.replace("operations: null", "operations: 60000")


QUIET = """
host: {memory: 256MiB, contents: tokens}
guests:
  - {name: asleep, kind: linux, memory: 64MiB, workload: {kind: idle, seconds: null}}
  - {name: fits, kind: linux, memory: 64MiB, workload: {kind: zipf, file: 16MiB, accesses: null}}
"""


def test_start_status_stop(host: Host) -> None:
    pid = host.start()
    with pytest.raises(LaunchError, match=f"the model host t is running already, as process {pid}"):
        host.start()
    status = launch.ask("t", "status")
    assert (status["pid"], status["state"], status["guests"]) == (str(pid), "running", "2")
    assert os.getsid(pid) not in (os.getsid(0), pid), (
        "a session of its own, which it cannot take a terminal for"
    )
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {log_path("t")}
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    path = socket_path("t")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    launch.stop("t")
    assert not os.path.exists(path)
    assert int(read_notes(checkpoint_path("t"))["objects"]) > 0
    for verb in ("status", "stop"):
        with pytest.raises(NotRunning, match="no model host t is running"):
            launch.ask("t", verb)


def test_stale_files_are_in_nobodys_way(host: Host) -> None:
    path = socket_path("t")
    for file in (Path(path), Path(pid_path("t"))):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(path)
    Path(pid_path("t")).write_text(f"{os.getpid()}\n")  # a process that lives and is none of ours
    host.start()
    assert host.answers()


def test_what_does_not_start_says_why(host: Host) -> None:
    with pytest.raises(LaunchError, match=r"scenario.yaml:1: gests: no such key"):
        host.start("gests: []")
    with pytest.raises(LaunchError, match="there is no checkpoint at"):
        host.start(None)
    with pytest.raises(PlaceError):
        launch.start("../t", None)


def test_guests_run_at_their_pace_and_in_the_directory_are_their_names(host: Host) -> None:
    host.start(ENDLESS, "--factor", "2")
    with host.connect() as client:
        client.sendall(wire.frame(wire.DIRECTORY))
        entries = wire.decode_directory(wire.expect(wire.read_frame(client.recv), wire.DIRECTORY))
    assert [(domid, name) for domid, name, _ in entries] == [(0, "Domain-0"), (1, "web"), (2, "db")]
    assert all(len(uuid) == 36 for _, _, uuid in entries)
    first = launch.ask("t", "status")
    time.sleep(0.5)
    second = launch.ask("t", "status")
    passed_s = float(second["up_s"]) - float(first["up_s"])
    modelled_s = float(second["modelled_s"]) - float(first["modelled_s"])
    assert modelled_s <= 2 * passed_s + 0.05
    assert modelled_s + float(second["late_s"]) == pytest.approx(2 * passed_s, abs=0.3)


@pytest.mark.parametrize("factor", ["inf", "100000"])
def test_guests_that_ask_nothing_of_tmem_keep_nobody_waiting(host: Host, factor: str) -> None:
    host.start(QUIET, "--factor", factor)
    began = time.monotonic()
    first = float(launch.ask("t", "status")["modelled_s"])
    assert host.answers()
    time.sleep(0.2)
    assert float(launch.ask("t", "status")["modelled_s"]) > first
    launch.stop("t")
    assert time.monotonic() - began < 10


def test_an_operators_change_shows_at_once(host: Host) -> None:
    host.start()
    with host.connect() as client:
        assert host.call(client, control(tmem.TMEMC_FREEZE, 1), control(tmem.TMEMC_SET_WEIGHT, 2, 7)) == [
            0,
            0,
        ]
    assert "C=CI:1,ww:0,ca:0,co:0,fr:1," in host.listing()
    assert "C=CI:2,ww:7," in host.listing()


def test_nothing_an_operator_did_is_lost_in_a_crash(host: Host) -> None:
    host.start(ENDLESS, "--interval", "0")
    host.wait_for_guests()
    launch.ask("t", "checkpoint")
    with host.connect() as client:
        host.call(client, control(tmem.TMEMC_FREEZE, 1), control(tmem.TMEMC_SET_WEIGHT, 2, 77))
    before = int(launch.ask("t", "status")["operations"])
    host.kill()
    host.start(None)
    assert "C=CI:1,ww:0,ca:0,co:0,fr:1," in host.listing()
    assert "C=CI:2,ww:77," in host.listing()
    assert int(launch.ask("t", "status")["operations"]) > 0
    assert before > 0


def test_a_host_that_crashed_again_and_again_ends_as_one_that_did_not(host: Host) -> None:
    host.start(FINITE, "--factor", "inf", "--interval", "0.1")
    host.wait_for_guests()
    for _ in range(3):
        launch.ask("t", "checkpoint")
        time.sleep(0.15)
        host.kill()
        host.start(None)
    assert int(launch.ask("t", "status")["operations"]) > 0
    deadline = time.monotonic() + 60
    while launch.ask("t", "status")["state"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    launch.stop("t")
    whole = boot(load_text(FINITE))
    whole.run()
    resumed = checkpointed(checkpoint_path("t"))
    assert resumed["listing"] == whole.hypervisor.list_text(use_long=True)
    assert resumed["reports"] == [guest.driver.report() for guest in whole.guests]


def test_a_fresh_start_keeps_the_state_before_it(host: Host) -> None:
    host.start()
    launch.stop("t")
    operations = checkpointed(checkpoint_path("t"))["operations"]
    host.start()
    assert checkpointed(previous_checkpoint_path("t"))["operations"] == operations


def test_a_host_says_which_build_of_the_model_it_is(host: Host) -> None:
    host.start()
    assert launch.ask("t", "status")["build"] == build.name()


def test_a_terminated_host_goes_in_order(host: Host) -> None:
    pid = host.start()
    os.kill(pid, signal.SIGHUP)  # a terminal that closes is nothing to it
    assert host.answers()
    host.wait_for_guests()
    os.kill(pid, signal.SIGTERM)
    host.wait_for_end()
    assert "stopped after" in Path(log_path("t")).read_text().splitlines()[-1]
    assert not os.path.exists(socket_path("t"))
    assert checkpointed(checkpoint_path("t"))["operations"] > 0

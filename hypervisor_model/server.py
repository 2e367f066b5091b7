# SPDX-License-Identifier: GPL-2.0-only
"""The process of a model host: its lock, socket, signals and log, from `python -m hypervisor_model.server` to its end.

What it does meanwhile is in `model_host.py`; `launch.py` starts it in the background.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys

from hypervisor_model.checkpoint import CheckpointError, Journal, read_notes, resume, retire
from hypervisor_model.checkpoints import Checkpoints
from hypervisor_model.instance import Held, checkpoint_path, hold, pid_path, previous_checkpoint_path, say
from hypervisor_model.model_host import ModelHost
from hypervisor_model.public.places import PlaceError, make_private_directory, socket_path
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import load_file
from hypervisor_model.scenario.runner import boot


def listen(path: str) -> socket.socket:
    """A socket at `path` that only this user can connect to; one left there by a dead host goes. Raises OSError."""
    make_private_directory(os.path.dirname(path))
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


def run_host(
    name: str, *, scenario: str | None, factor: float | None, interval_s: float, ready_fd: int | None = None
) -> None:
    """Be the model host `name`, with a scenario file or, without one, from its checkpoint; returns when stopped.

    The process id is written to `ready_fd` once clients are answered, and it is closed.
    Raises Held, ScenarioError, CheckpointError, PlaceError, OSError.
    """
    make_private_directory(os.path.dirname(checkpoint_path(name)))
    lock = hold(pid_path(name))
    try:
        _run_held(name, scenario, factor, interval_s, ready_fd)
    finally:
        os.close(lock)


def _run_held(
    name: str, scenario: str | None, factor: float | None, interval_s: float, ready_fd: int | None
) -> None:
    state = checkpoint_path(name)
    if scenario is not None:
        runner = boot(load_file(scenario))
        retire(state, previous_checkpoint_path(name))
        journal = None
        factor = 1.0 if factor is None else factor
    else:
        factor = float(read_notes(state).get("factor", "1")) if factor is None else factor
        runner = resume(state)
        journal = Journal(state)
    notes = {"scenario": runner.file, "factor": str(factor)}
    checkpoints = Checkpoints(state, interval_s=interval_s, notes=notes, journal=journal)
    path = socket_path(name)
    listener = listen(path)
    host = ModelHost(name, runner, listener, checkpoints, factor=factor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: host.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if ready_fd is not None:
        os.write(ready_fd, f"{os.getpid()}\n".encode())
        os.close(ready_fd)
    say(f"model host {name}: {runner.file}, process {os.getpid()}, {path}")
    try:
        host.serve()
        if not host.checkpointed:  # it was a signal that stopped it
            checkpoints.write_last(runner)
    finally:
        os.unlink(path)
        listener.close()
        checkpoints.close()
    say(f"model host {name}: stopped after {runner.operations} operations")


def main() -> int:
    """`python -m hypervisor_model.server`, as `xm model start` runs it: errors go to the log, the last line first."""
    parser = argparse.ArgumentParser(prog="hypervisor_model.server")
    parser.add_argument("--name", required=True)
    parser.add_argument("--factor", type=float)
    parser.add_argument("--interval", type=float, default=60.0)
    parser.add_argument("--detach", action="store_true", help="go on in a process that nobody waits for")
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("scenario", nargs="?")
    arguments = parser.parse_args()
    if arguments.detach and os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    try:
        run_host(
            arguments.name,
            scenario=arguments.scenario,
            factor=arguments.factor,
            interval_s=arguments.interval,
            ready_fd=arguments.ready_fd,
        )
    except Held as error:
        say(f"error: the model host {arguments.name} is running already ({error})")
        return 1
    except (ScenarioError, CheckpointError, PlaceError) as error:
        say(f"error: {error}")
        return 1
    except OSError as error:
        say(f"error: {error.strerror}: {error.filename}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

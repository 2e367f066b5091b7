# SPDX-License-Identifier: GPL-2.0-only
"""Starting, asking and stopping a model host from another process: what `xm model` does.

A host runs in a session of its own with its streams in its log, so that neither a closed terminal nor the end of
whoever started it concerns it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import hypervisor_model
from hypervisor_model.instance import holder, log_path, pid_path
from hypervisor_model.public import wire
from hypervisor_model.public.places import make_private_directory, socket_path

POLL_S: Final = 0.02
START_S: Final = 60.0
ANSWER_S: Final = 60.0
STOP_S: Final = 600.0  # writing the last checkpoint of a large host takes its time
MAX_LOG_BYTES: Final = 4 << 20  # then the log starts afresh, and the old one is kept beside it
_LOG_TAIL_BYTES: Final = 4096


class LaunchError(Exception):
    """The host could not be started, asked or stopped."""


class NotRunning(LaunchError):
    """There is no host of that name."""


def start(name: str, scenario: str | None, options: Sequence[str] = (), *, wait_s: float = START_S) -> int:
    """Start the host `name` and wait until it answers; its process id.

    Without a `scenario` it goes on from its checkpoint. Raises LaunchError, PlaceError, OSError.
    """
    pid = holder(pid_path(name))
    if pid is not None:
        raise LaunchError(f"the model host {name} is running already, as process {pid}")
    socket_path(name)  # complains of a path that is too long
    log = log_path(name)
    make_private_directory(os.path.dirname(log))
    _turn_log(log)
    options = [*options] if scenario is None else [*options, "--", os.path.abspath(scenario)]
    log_end, pid = _spawn(name, options, log, wait_s)
    if pid is None:
        raise LaunchError(_last_error(log, log_end) or f"the model host {name} ended at once; see {log}")
    if ask(name, "status")["pid"] != str(pid):
        raise LaunchError(f"another process answers for the model host {name}")
    return pid


def _spawn(name: str, options: Sequence[str], log: str, wait_s: float) -> tuple[int, int | None]:
    """Run a host; where the log ended before, and the process id it said when ready, None if it ended instead."""
    ready, told = os.pipe()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        log_end = os.fstat(descriptor).st_size
        command = [sys.executable, "-m", "hypervisor_model.server", "--detach", "--ready-fd", str(told)]
        subprocess.run(
            [*command, "--name", name, *options],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            pass_fds=(told,),
            env=_environment(),
            check=False,
        )
        os.close(told)
        told = -1
        # Its end of the pipe closes when it has said that it is ready, or when it has ended.
        if not select.select([ready], [], [], wait_s)[0]:
            raise LaunchError(f"the model host {name} is not ready after {wait_s:.0f} s; see {log}")
        text = os.read(ready, 32)
        return log_end, int(text) if text else None
    finally:
        os.close(descriptor)
        os.close(ready)
        if told >= 0:
            os.close(told)


def ask(name: str, verb: str, *, timeout_s: float = ANSWER_S, **fields: str) -> dict[str, str]:
    """Have the host do `verb`. Raises NotRunning, LaunchError, PlaceError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        try:
            client.connect(socket_path(name))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(f"no model host {name} is running") from None
        except OSError as error:
            raise LaunchError(f"the model host {name} cannot be reached: {error.strerror or error}") from None
        try:
            client.sendall(wire.hello_request())
            wire.decode_hello_answer(wire.expect(wire.read_frame(client.recv), wire.HELLO))
            client.sendall(wire.fields_request(wire.CONTROL, {"verb": verb, **fields}))
            return wire.decode_fields(wire.expect(wire.read_frame(client.recv), wire.CONTROL))
        except (OSError, wire.WireError, wire.RemoteError) as error:
            raise LaunchError(f"the model host {name}: {error}") from None


def ask_report(name: str) -> dict[str, Any]:
    """The host's report so far (hypervisor_model.scenario.report). Raises as `ask` does."""
    try:
        found = json.loads(wire.from_fields(ask(name, "report")))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise LaunchError(f"the model host {name} sent no report")
    return found


def stop(name: str, *, discard: bool = False) -> None:
    """Stop the host, with a last checkpoint unless `discard`ed, and wait until it is gone.

    Raises NotRunning, LaunchError, PlaceError.
    """
    pid = holder(pid_path(name))
    ask(name, "stop", timeout_s=STOP_S, discard="1" if discard else "0")
    deadline = time.monotonic() + ANSWER_S
    while holder(pid_path(name)) == pid is not None:
        if time.monotonic() >= deadline:
            raise LaunchError(f"the model host {name}, process {pid}, does not end")
        time.sleep(POLL_S)


def _environment() -> Mapping[str, str]:
    """With the package on the path, also where it is not installed but run from its checkout."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(hypervisor_model.__file__)))
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{root}" if path else root}


def _turn_log(log: str) -> None:
    try:
        if os.path.getsize(log) > MAX_LOG_BYTES:
            os.replace(log, f"{log}.old")
    except FileNotFoundError:
        pass


def _last_error(log: str, start: int) -> str:
    """What the host said of its end, if it said it orderly."""
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        _, found, text = line.partition(" error: ")
        if found:
            return text
    return ""

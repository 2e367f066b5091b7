# SPDX-License-Identifier: GPL-2.0-only
"""A remote dom0: the system's ssh runs the agent there, with nothing installed and nothing left behind.

ssh is the user's own, so that its configuration, keys, agents and multiplexing all work. The agent's text is sent
ahead of the first request on the remote Python's standard input; greeting, first calls and names share that trip.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xm_tmem.backends.transport import agent
from xm_tmem.backends.transport.stream import StreamTransport
from xm_tmem.errors import BadInput, Disconnected, NotPermitted, TmemError, Unreachable

TIMEOUT_SECONDS: Final = 10.0
_PROMPT_SECONDS: Final = 120.0
"""How long a person may take to answer ssh's questions on the terminal."""
_STARTUP_SECONDS: Final = 15.0
"""For key exchange and the start of a Python, on top of the timeout."""
_GRACE_SECONDS: Final = 1.0
_STDERR_BYTES: Final = 4096
_NOT_FOUND: Final = 127
_SSH_FAILED: Final = 255

_HOST = re.compile(r"[A-Za-z0-9_.:%\[\]-]+", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_.@$-]+", re.ASCII)


def agent_source() -> bytes:
    """The text of the agent."""
    return Path(agent.__file__).read_bytes()


def agent_command(source: bytes) -> str:
    """What the remote Python runs: it reads the agent's text from its standard input, and no byte more.

    No newline, `!` or `$` in it: whatever the login shell is, single quotes keep it whole.
    """
    size = len(source)
    read = "r=lambda n:(lambda d:d+r(n-len(d)) if d and len(d)<n else d)(os.read(0,n))"
    return f'import os;{read};exec(compile(r({size}),"xm-agent","exec"));main()'


def ssh_command(
    host: str,
    *,
    user: str | None = None,
    port: int | None = None,
    ssh: str = "ssh",
    remote_python: str = "python3",
    timeout_seconds: float = TIMEOUT_SECONDS,
    interactive: bool = False,
) -> list[str]:
    """The command that runs the agent on `host`. Raises BadInput for what cannot be a host, user or port."""
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise BadInput(f"{host!r} cannot be the name of a host")
    if user is not None and (not _USER.fullmatch(user) or user.startswith("-")):
        raise BadInput(f"{user!r} cannot be the name of a user")
    try:
        words, python = shlex.split(ssh), shlex.split(remote_python)
    except ValueError as error:
        raise BadInput(f"settings ssh and remote-python: {error}") from error
    if not words or not python:
        raise BadInput("settings ssh and remote-python must not be empty")
    options = [
        f"ConnectTimeout={max(1, round(timeout_seconds))}",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=2",
        "ClearAllForwardings=yes",  # what the user's configuration forwards is not for this connection
        "RemoteCommand=none",
    ]
    if not interactive:
        options.append("BatchMode=yes")
    command = [*words, "-T"]
    for option in options:
        command += ["-o", option]
    if port is not None:
        command += ["-p", str(port)]
    if user is not None:
        command += ["-l", user]
    remote = " ".join(shlex.quote(word) for word in [*python, "-I", "-c", agent_command(agent_source())])
    return [*command, "--", host.strip("[]"), f"exec {remote}"]


class SshTransport(StreamTransport):
    """Runs `command`, as `ssh_command` makes it, and talks to the agent that it starts.

    Raises Unreachable, NotPermitted at the first call; Disconnected when the link dies later.
    """

    def __init__(
        self,
        host: str,
        command: Sequence[str],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        interactive: bool = False,
    ) -> None:
        super().__init__(host)
        self._host = host
        self._timeout_seconds = timeout_seconds
        self._start_seconds = _PROMPT_SECONDS if interactive else timeout_seconds + _STARTUP_SECONDS
        # A file, not a pipe: a talkative login script must not fill it and stop the conversation.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0
            )
        except OSError as error:
            self._stderr.close()
            raise Unreachable(f"{command[0]} cannot be run: {error.strerror}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._write_fd, self._read_fd = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._write_fd, False)
        self._unsent_source = agent_source()

    def _send_all(self, data: bytes) -> None:
        data, self._unsent_source = self._unsent_source + data, b""
        rest = memoryview(data)
        while rest:
            self._wait(self._write_fd, select.POLLOUT)
            try:
                rest = rest[os.write(self._write_fd, rest) :]
            except BlockingIOError:
                continue

    def _receive(self, limit: int) -> bytes:
        self._wait(self._read_fd, select.POLLIN)
        return os.read(self._read_fd, limit)

    def _wait(self, fd: int, event: int) -> None:
        """Until `fd` is ready. Raises TimeoutError."""
        seconds = self._timeout_seconds if self._greeted else self._start_seconds
        poll = select.poll()
        poll.register(fd, event)
        if not poll.poll(seconds * 1000):
            raise TimeoutError(f"no answer within {seconds:g} s")

    def _shut(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def _broken(self, error: Exception) -> TmemError:
        if self._closed:
            return Disconnected(f"the connection to {self._host} is closed")
        timed_out = isinstance(error, TimeoutError)
        status = None if timed_out else self._exit_status()
        complaint = self._complaint()
        greeted = self._greeted
        self.close()
        if timed_out:
            kind = Disconnected if greeted else Unreachable
            return kind(f"{self._host} does not answer: {error}")
        return diagnosis(self._host, status, complaint, greeted=greeted)

    def _exit_status(self) -> int | None:
        try:
            return self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _complaint(self) -> str:
        """The last line that ssh or the remote side wrote to standard error."""
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - _STDERR_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").split("\n")
        printable = ("".join(c for c in line if c.isprintable()).strip() for line in lines)
        return next((line for line in reversed([*printable]) if line), "")


def diagnosis(host: str, status: int | None, complaint: str, *, greeted: bool) -> TmemError:
    """The error for an ssh that ended with `status` after writing `complaint`."""
    if greeted:
        return Disconnected(f"the connection to {host} was cut{': ' + complaint if complaint else ''}")
    if status == _NOT_FOUND:
        return Unreachable(f"{host} has no Python where it was looked for; set remote-python ({complaint})")
    if status == _SSH_FAILED and "host key" in complaint.lower():
        return Unreachable(f"the host key of {host} is not trusted yet: run `ssh {host}` once and answer ssh")
    if status == _SSH_FAILED and "permission denied" in complaint.lower():
        return NotPermitted(f"{host} does not let this user in: {complaint}")
    return Unreachable(f"{host} cannot be reached by ssh: {complaint or f'ssh ended with status {status}'}")


def is_interactive() -> bool:
    """Whether there is somebody at a terminal to answer ssh's questions."""
    return sys.stdin is not None and sys.stdin.isatty()

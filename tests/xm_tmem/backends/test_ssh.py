# SPDX-License-Identifier: GPL-2.0-only
"""`xen+ssh://` through a real sshd on loopback, whose remote `python3` has a fake dom0 under it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.xm_tmem.backends import fake_dom0
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.registry import connect
from xm_tmem.backends.transport.ssh import SshTransport
from xm_tmem.errors import Disconnected, NotPermitted, Unreachable
from xm_tmem.ids import DomainId
from xm_tmem.settings import Settings

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(SSHD is None, reason="no sshd here (apt install openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd lets nobody in without root"),
]

SSHD_CONFIG = """\
ListenAddress 127.0.0.1
HostKey {home}/host_key
PidFile none
AuthorizedKeysFile {home}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
"""
SSH_CONFIG = """\
Host *
    IdentityFile {home}/{key}
    IdentitiesOnly yes
    UserKnownHostsFile {home}/{known}
    StrictHostKeyChecking yes
    GlobalKnownHostsFile none
"""


class Sshd(NamedTuple):
    """A running server; `settings(...)` are those of a user who may reach it."""

    home: Path
    port: int

    @property
    def uri(self) -> str:
        return f"xen+ssh://root@127.0.0.1:{self.port}/"

    def settings(self, *, key: str = "key", known: str = "known_hosts", python: str = "") -> Settings:
        config = self.home / f"ssh-{key}-{known}"
        config.write_text(SSH_CONFIG.format(home=self.home, key=key, known=known))
        settings = Settings()
        settings.ssh = f"ssh -F {config}"
        settings.remote_python = python or str(self.home / "python3")
        return settings

    @contextmanager
    def backend(self, settings: Settings | None = None, uri: str | None = None) -> Iterator[HypercallBackend]:
        made = connect(uri or self.uri, settings or self.settings())
        assert isinstance(made, HypercallBackend)
        try:
            yield made
        finally:
            made.close()


def make_key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    assert SSHD is not None
    home = tmp_path_factory.mktemp("sshd")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    host_key = make_key(home / "host_key")
    (home / "authorized_keys").write_text(make_key(home / "key"))
    make_key(home / "stranger")
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (home / "nobody").write_text("")
    python = home / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {fake_dom0.__file__} "$@"\n')
    python.chmod(0o755)
    config = home / "sshd_config"
    config.write_text(SSHD_CONFIG.format(home=home))
    os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-p", str(port), "-f", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "sshd does not listen"
                time.sleep(0.05)
        yield Sshd(home, port)
    finally:
        process.terminate()
        process.wait()


def test_a_hundred_domains_in_three_round_trips(sshd: Sshd) -> None:
    with sshd.backend() as backend:
        assert len(backend.domains()) == 101
        assert backend.list_text(None, use_long=True).count(b"\nC=") == 100
        assert isinstance(backend.transport, SshTransport)
        assert backend.transport.round_trips <= 3
        backend.set_weight(DomainId(7), 5)
        assert backend.client_info(DomainId(7)).weight == 5


def test_a_host_key_that_nobody_has_confirmed(sshd: Sshd) -> None:
    with sshd.backend(sshd.settings(known="nobody")) as backend, pytest.raises(Unreachable, match="host key"):
        backend.host()


def test_a_user_without_a_key(sshd: Sshd) -> None:
    with (
        sshd.backend(sshd.settings(key="stranger")) as backend,
        pytest.raises(NotPermitted, match="let this user in"),
    ):
        backend.host()


def test_a_remote_without_that_python(sshd: Sshd) -> None:
    settings = sshd.settings(python="/opt/no/python3")
    with sshd.backend(settings) as backend, pytest.raises(Unreachable, match="remote-python"):
        backend.host()


def test_a_remote_that_is_no_xen_host(sshd: Sshd) -> None:
    with (
        sshd.backend(sshd.settings(python=sys.executable)) as backend,
        pytest.raises(Unreachable, match="no Xen host"),
    ):
        backend.host()


def test_nobody_listens(sshd: Sshd) -> None:
    nowhere = "xen+ssh://root@127.0.0.1:1/"
    with sshd.backend(uri=nowhere) as backend, pytest.raises(Unreachable, match="refused"):
        backend.host()


def test_a_link_that_is_cut(sshd: Sshd) -> None:
    with sshd.backend() as backend:
        backend.host()
        assert isinstance(backend.transport, SshTransport)
        backend.transport._process.kill()
        with pytest.raises(Disconnected):
            backend.freeable_mb()


def test_the_remote_process_ends_with_the_connection(sshd: Sshd) -> None:
    with sshd.backend() as backend:
        backend.host()
        running = agents()
        assert running
    deadline = time.monotonic() + 10
    while agents() & running:
        assert time.monotonic() < deadline, "the agent outlives its connection"
        time.sleep(0.05)


def agents() -> set[int]:
    """Processes that run the agent in the fake dom0."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if fake_dom0.__file__.encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
            except OSError:
                continue
    return found

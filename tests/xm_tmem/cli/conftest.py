# SPDX-License-Identifier: GPL-2.0-only
"""The command line over real models in this process: `host` is a hypervisor, `xm` runs a command on it.

Other connections than those of `hosts` go where they would go for a user.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from hypervisor_model.hypervisor import Hypervisor
from xm_tmem.backends import registry
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.interface import Backend
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.cli.run import run
from xm_tmem.settings import Settings

NAMES = {0: "Domain-0", 1: "web", 2: "db", 3: "idle"}
OID = 7


class Ran(NamedTuple):
    """What a command did: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Xm = Callable[..., Ran]


class Host:
    """A model with domains web and db, which use tmem, and idle, which does not."""

    def __init__(self, release: str = "4.3", names: dict[int, str] | None = None) -> None:
        self.names = dict(NAMES if names is None else names)
        self.hv = Hypervisor(release=release, frames=4096, command_line="tmem=1", exact=False)
        for domid in self.names:
            self.hv.create_domain(domid, name=self.names[domid])
        for domid in (1, 2):
            guest = self.hv.domain(domid)
            persistent, ephemeral = guest.new_pool(persistent=True), guest.new_pool()
            for index in range(10):
                guest.put(persistent, OID, index, bytes([index + 1]) * 4096)
                guest.put(ephemeral, OID, index, bytes([index + 101]) * 4096)
            guest.get(ephemeral, OID, 0)
            guest.get(ephemeral, OID, 99)

    def backend(self, name: str) -> HypercallBackend:
        return HypercallBackend(name, InProcessTransport(self.hv, self.names))

    def frozen(self, domid: int) -> bool:
        return "fr:1" in self.line(domid)

    def weight(self, domid: int) -> int:
        return int(self.line(domid).partition("ww:")[2].partition(",")[0])

    def compress(self, domid: int) -> bool:
        return "co:1" in self.line(domid)

    def line(self, domid: int) -> str:
        return next(line for line in self.hv.list_text(domid).split("\n") if line.startswith("C="))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def newest() -> Host:
    return Host("4.12")


@pytest.fixture
def hosts(host: Host, newest: Host) -> dict[str, Host]:
    """Connection -> the model behind it; the one without a name is found without -c."""
    return {"": host, "model:old": host, "model:new": newest}


@pytest.fixture
def environ(tmp_path: Any) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XM_LIBVIRT_URI": "", "XM_CONFIG": ""}


@pytest.fixture
def xm(
    hosts: dict[str, Host],
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Xm:
    """`xm("tmem-freeze", "web")` runs the command as a user would and says what it did."""
    real = registry.connect

    def connect(uri: str | None, settings: Settings) -> Backend:
        if (uri or "") in hosts:
            return hosts[uri or ""].backend(uri or "model:default")
        return real(uri, settings)

    monkeypatch.setattr(registry, "connect", connect)

    def call(*arguments: str) -> Ran:
        capfd.readouterr()
        status = run(arguments, environ)
        return Ran(status, *capfd.readouterr())

    return call

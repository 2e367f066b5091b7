# SPDX-License-Identifier: GPL-2.0-only
"""The domain that the suite runs in, as its tests see it: `xm`, and Xen itself behind `calls` to compare it with."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple, TextIO

from hypervisor_model.public import tmem
from hypervisor_model.public.xen import ENODEV, ENOSYS, HYPERCALL_TMEM_OP
from tests.system.dom0 import domains
from tests.system.dom0.guest import Guest
from tests.system.dom0.hypercalls import Hypercalls, Memory
from xm_tmem.backends.abi import abi_of, host
from xm_tmem.backends.abi.control import ControlAbi
from xm_tmem.backends.abi.releases import NONE, TMEMC, release_of
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.cli.run import run
from xm_tmem.ids import DomainId

ON, OFF, ABSENT = "on", "off", "absent"
UNKNOWN_SUBOP: Final = 99
FIRST_DOMAIN: Final = 100
_XM_SECONDS: Final = 15


class Ran(NamedTuple):
    """What a command did: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class ControlDomain:
    """`frame_of` finds out the machine frame of a page; `real` is False for a played Xen."""

    def __init__(self, frame_of: Callable[[Hypercalls, Memory], int], *, real: bool) -> None:
        self._frame_of, self.real = frame_of, real
        self.transcript: TextIO | None = None  # for people: what was asked and what was answered
        self.calls = Hypercalls()
        self.release = release_of(self.calls.version())
        self._next_domain = FIRST_DOMAIN
        self._made: list[DomainId] = []

    @property
    def name(self) -> str:
        """The release: "4.12"."""
        return self.release.name

    @cached_property
    def version(self) -> str:
        """In full: "4.12.4"."""
        extra = host.extra_version()
        assert self.calls.call_many([extra]) == [0]
        return self.name + host.text(extra)

    @property
    def minor(self) -> int:
        """12 of 4.12."""
        return int(self.name.partition(".")[2])

    @cached_property
    def backend(self) -> HypercallBackend:
        """The adapter, over this suite's own hypercalls."""
        return HypercallBackend("xen:///", self.calls)

    @cached_property
    def abi(self) -> ControlAbi:
        """How tmem is controlled here."""
        return abi_of(self.release)

    @cached_property
    def guest(self) -> Guest:
        """dom0 as a user of tmem."""
        page = Memory(1)
        return Guest(self.calls, page, self._frame_of(self.calls, page))

    def tmem(self) -> str:
        """Whether tmem is there, as only the guests' hypercall tells; asked without the adapter's help."""
        if self.release.abi == TMEMC:
            probe = tmem.TMEM_OP_CTRL.pack(tmem.TMEM_CONTROL, 0, UNKNOWN_SUBOP, 0, 0, 0, bytes(24), 0)
        else:
            probe = bytes(tmem.TMEM_OP_BYTES)
        value = self.calls.call_struct(HYPERCALL_TMEM_OP, probe)
        if value == -ENOSYS or self.release.abi == NONE:
            return ABSENT
        return OFF if value == -ENODEV else ON

    def xm(
        self,
        *arguments: object,
        connect: str | None = "xen:///",
        stdin: bytes = b"",
        user: int | None = None,
        **environ: str,
    ) -> Ran:
        """Run `xm` as an operator would; for another `user` in a process of its own, which takes a real dom0."""
        base = {"HOME": "/root", "PATH": "/bin:/usr/bin", "XM_LIBVIRT_URI": "", **environ}
        if connect is not None:
            base["XM_CONNECT"] = connect
        words = [str(argument) for argument in arguments]
        ran = run_here(words, base, stdin) if user is None else run_in_child(words, base, stdin, user)
        if self.transcript is not None:
            self.transcript.write(
                f"# xm {shlex.join(words)}\n{ran.out}{ran.err}# exit status {ran.status}\n\n"
            )
            self.transcript.flush()
        return ran

    def create_domain(self) -> DomainId:
        """A new domain without memory, that has never used tmem. Ids are not used again."""
        domain = DomainId(self._next_domain)
        self._next_domain += 1
        domains.create(self.calls, self.name, domain)
        self._made.append(domain)
        return domain

    def destroy_domain(self, domain: DomainId) -> None:
        """Destroy what `create_domain` made."""
        self._made.remove(domain)
        domains.destroy(self.calls, self.name, domain)

    def clean(self) -> None:
        """Destroy the domains and the pools that tests left."""
        for domain in list(self._made):
            self.destroy_domain(domain)
        if "guest" in vars(self):
            self.guest.leave()


def run_here(arguments: Sequence[str], environ: Mapping[str, str], stdin: bytes) -> Ran:
    """Run a command line in this process: to start a Python for each takes seconds here."""
    before = sys.stdin, sys.stdout, sys.stderr
    with _streams(stdin) as files:
        sys.stdin, sys.stdout, sys.stderr = files
        try:
            status = run(arguments, environ)
            sys.stdout.flush()
            sys.stderr.flush()
            return _ran(status, files)
        finally:
            sys.stdin, sys.stdout, sys.stderr = before


def run_in_child(arguments: Sequence[str], environ: Mapping[str, str], stdin: bytes, user: int) -> Ran:
    """Run a command line as `user`; a negative exit status is the signal that ended it, SIGALRM if it took long."""
    with _streams(stdin) as files:
        child = os.fork()
        if child == 0:
            status = 99
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(_XM_SECONDS)
                for number, file in enumerate(files):
                    os.dup2(file.fileno(), number)
                sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
                sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
                sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115
                os.setgid(user)
                os.setuid(user)
                os.environ.clear()
                os.environ.update(environ)
                status = run(arguments, environ)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        return _ran(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), files)


@contextmanager
def _streams(stdin: bytes) -> Iterator[list[TextIO]]:
    """What a command reads, and where its output and its errors go."""
    with ExitStack() as stack:
        files = [
            stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape"))
            for _ in range(3)
        ]
        files[0].write(stdin.decode("utf-8", "surrogateescape"))
        files[0].seek(0)
        yield list(files)


def _ran(status: int, files: list[TextIO]) -> Ran:
    for file in files[1:]:
        file.seek(0)
    return Ran(status, files[1].read(), files[2].read())

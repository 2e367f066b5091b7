# SPDX-License-Identifier: GPL-2.0-only
"""Every error raised on purpose, named by what the user can do about it; each has its exit status.

    TmemError
    ├── Failed              1  the operation was tried and did not succeed
    │   ├── HypercallError  1  the hypervisor answered with an errno nobody foresaw
    │   └── BadListing      1  the hypervisor's text (or a saved one) cannot be understood
    ├── BadInput            2  an argument, a file or a setting is not what it should be
    ├── NoSuchDomain        3  no domain of that id, uuid or name
    │   ├── NoClient        3  the domain is there and has never used tmem
    │   └── NoSuchPool      3  the client has no pool of that id
    ├── NotPermitted        4  the caller lacks the privilege
    ├── Unreachable         5  no hypervisor answers there
    │   └── Disconnected    5  it answered, and then the connection broke
    ├── Unsupported         5  this hypervisor, reached this way, has no such operation
    │   └── TmemOff         5  tmem was not switched on at boot, or not compiled in
    ├── PartlyDone          6  some of several failed; each one's result was printed
    └── CheckFailed         7  a check ran and found something

The one-line message says what happened and what to do. An errno ends at the adapter: nothing above it sees one,
except through HypercallError.
"""

from __future__ import annotations

import os
from typing import ClassVar

EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C; there is no exception class for it besides KeyboardInterrupt."""


class TmemError(Exception):
    """Base of all; never raised itself."""

    exit_status: ClassVar[int] = 1


class Failed(TmemError):
    """The operation was tried and did not succeed."""

    exit_status = 1


class HypercallError(Failed):
    """The hypervisor answered `operation` with an errno that has no better name here."""

    def __init__(self, operation: str, errno: int) -> None:
        self.operation, self.errno = operation, errno
        super().__init__(f"{operation}: the hypervisor answered {errno_text(errno)}")


class BadListing(Failed):
    """A listing's text cannot be understood."""


class BadInput(TmemError):
    """An argument, a file or a setting is not what it should be."""

    exit_status = 2


class NoSuchDomain(TmemError):
    """No domain of that id, uuid or name."""

    exit_status = 3


class NoClient(NoSuchDomain):
    """The domain exists and has no tmem client: it has never used tmem."""


class NoSuchPool(NoSuchDomain):
    """The client has no pool of that id."""


class NotPermitted(TmemError):
    """The caller may not do this; usually it has to be root in dom0."""

    exit_status = 4


class Unreachable(TmemError):
    """No hypervisor answers at the given connection."""

    exit_status = 5


class Disconnected(Unreachable):
    """The connection broke in the middle of a call: whether the call took effect is unknown."""


class Unsupported(TmemError):
    """This hypervisor, reached this way, has no such operation."""

    exit_status = 5


class TmemOff(Unsupported):
    """tmem is not there: off at boot or not compiled in."""


class PartlyDone(TmemError):
    """Some of several targets failed; the result of each has been printed."""

    exit_status = 6


class CheckFailed(TmemError):
    """A check ran to its end and found something."""

    exit_status = 7


def errno_text(errno: int) -> str:
    """`errno` (Xen's number, positive) as a person would want to read it."""
    own = {1000: "EFROZEN (1000): the client is frozen", 1001: "EEMPTY (1001): the pool is empty"}
    return own.get(errno) or f"{os.strerror(errno)} (errno {errno})"

# SPDX-License-Identifier: GPL-2.0-only
"""What an errno of tmem's means.

EPERM alone stands for: no such domain, a domain without a client, no such pool, a client that is there already, an
unknown command, and a lack of privilege; other errnos stand for several of these too, differently by release. So the
host is asked: who may call at all, whether the domain exists, whether it is a client. Only then is the errno read.
"""

from __future__ import annotations

from collections.abc import Callable

from hypervisor_model.public.xen import (
    E2BIG,
    EACCES,
    EEXIST,
    EFROZEN,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSYS,
    EPERM,
    ESRCH,
)
from xm_tmem.backends.abi import host
from xm_tmem.backends.abi.control import ONE_CLIENT_LIST_BYTES, Ask, ControlAbi
from xm_tmem.errors import (
    Failed,
    HypercallError,
    NoClient,
    NoSuchDomain,
    NoSuchPool,
    NotPermitted,
    TmemError,
    TmemOff,
    Unsupported,
)
from xm_tmem.ids import DomainId, PoolId

_AMBIGUOUS = frozenset((EPERM, ENOENT, ESRCH, EINVAL, ENOMEM, EEXIST))

_CANNOT_COPY = (
    "from 4.6 on Xen cannot copy a page that is not compressed (or of a client with compression off)"
)
_REASONS = {
    ("SET_COMPRESS", EPERM): "compression cannot be changed while Xen runs with tmem_dedup",
    ("RESTORE_BEGIN", EPERM): "it is a client of tmem already",
    ("RESTORE_BEGIN", EEXIST): "it is a client of tmem already",
    ("RESTORE_POOL", EPERM): "the pool's id is in use, or its flags are not accepted",
    ("RESTORE_PUT_PAGE", EINVAL): _CANNOT_COPY,
    ("SAVE_GET_NEXT_PAGE", EINVAL): _CANNOT_COPY,
    ("SHARED_AUTH", ENOMEM): "its table of authorised uuids is full (16)",
    ("SHARED_AUTH", E2BIG): "its table of authorised uuids is full (16)",
}
_POOL_OPERATIONS = frozenset(("SAVE_GET_NEXT_PAGE", "RESTORE_PUT_PAGE", "RESTORE_FLUSH_PAGE"))
_MAKES_CLIENT = frozenset(("RESTORE_BEGIN", "RESTORE_POOL", "SHARED_AUTH"))  # the latter two from 4.9 on


class Truth:
    """Turns errnos into errors, asking the host where that takes asking."""

    def __init__(self, connection: str, abi: ControlAbi, ask: Ask, off: Callable[[], TmemOff]) -> None:
        self._connection = connection
        self._abi = abi
        self._ask = ask
        self._off = off  # the error for a host whose tmem is not on

    def error(
        self, operation: str, errno: int, client: DomainId | None = None, pool: PoolId | None = None
    ) -> TmemError:
        """The error to raise for `errno`, answered to `operation` on `client` (None: all) and `pool`."""
        if errno in (ENODEV, ENOSYS):
            return self._off()
        if errno == EACCES:
            return Unsupported(
                f"{self._connection}: Xen {self._abi.release.name} refuses its sysctl interface version"
                f" {self._abi.release.sysctl_interface:#x}; it may have been rebuilt with another"
            )
        if errno == EFROZEN:
            return Failed(f"{operation}: domain {client} is frozen; thaw it first")
        if errno in _AMBIGUOUS:
            return self._asked(operation, errno, client, pool)
        return HypercallError(operation, errno)

    def _asked(self, operation: str, errno: int, client: DomainId | None, pool: PoolId | None) -> TmemError:
        if errno == EPERM and self._ask([self._abi.freeable()])[0] == -EPERM:
            return NotPermitted(f"{self._connection}: not permitted; tmem is controlled by root in dom0")
        if client is None:
            return HypercallError(operation, errno)
        if not self.domain_exists(client):
            return NoSuchDomain(f"there is no domain {client}")
        there = self.client_exists(client)
        if not there and operation in _MAKES_CLIENT and errno == ENOMEM:
            return HypercallError(operation, errno)
        if not there and operation != "RESTORE_BEGIN":
            return NoClient(f"domain {client} has never used tmem")
        if operation in _POOL_OPERATIONS and errno == EPERM:
            return NoSuchPool(f"domain {client} has no pool {pool}")
        reason = _REASONS.get((operation, errno))
        return HypercallError(operation, errno) if reason is None else Failed(f"domain {client}: {reason}")

    def domain_exists(self, domain: DomainId) -> bool:
        """Whether the host has this domain. Raises NotPermitted."""
        call = host.domain_list(self._abi.release, domain, limit=1)
        value = self._ask([call])[0]
        if value == -EPERM:
            raise NotPermitted(f"{self._connection}: not permitted to list domains; that takes root in dom0")
        found = host.listed_domains(self._abi.release, call) if value >= 0 else []
        return bool(found) and found[0].domain_id == domain

    def client_exists(self, domain: DomainId) -> bool:
        """Whether this domain is a client: LIST of one is the question that every release answers without harm."""
        return (
            self._ask([self._abi.list_text(domain, bytearray(ONE_CLIENT_LIST_BYTES), use_long=False)])[0] >= 0
        )

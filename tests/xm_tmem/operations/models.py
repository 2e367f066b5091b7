# SPDX-License-Identifier: GPL-2.0-only
"""Hosts to save from and restore to: real models behind the real backend, and a backend that breaks on purpose."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.tmem.guest_ops import Guest
from xm_tmem.backends.hypercall import HypercallBackend
from xm_tmem.backends.transport.inprocess import InProcessTransport
from xm_tmem.ids import DomainId
from xm_tmem.operations.migration import restore, save
from xm_tmem.operations.restoring import INTO_NEW, Restored, RestoreOptions
from xm_tmem.operations.saving import STILL, SaveOptions

DOMAIN = DomainId(1)
Handle: TypeAlias = tuple[int, int, int]  # pool id, oid, index
Contents: TypeAlias = dict[Handle, bytes]
QUIRKS_AND_RELEASES = [(q, r) for q in ("xen", "documented") for r in ("4.3", "4.12")]


class Host:
    """A model with domains 0 and 1, and the control plane's way to it."""

    def __init__(
        self, release: str = "4.3", quirks: str = "documented", *, compress: bool = True, frames: int = 40_000
    ) -> None:
        line = f"tmem=1 tmem_compress={int(compress)}"
        self.hv = Hypervisor(release=release, quirks=quirks, frames=frames, command_line=line, exact=False)
        self.hv.create_domain(0)
        self.guest: Guest = self.hv.create_domain(DOMAIN, name="web")
        self.backend = HypercallBackend(f"model:{release}", InProcessTransport(self.hv))

    def fill(self, *pages_of_pool: int, seed: int = 1) -> Contents:
        """A persistent pool for each count, with so many pages that compress; what they hold."""
        choose = random.Random(seed)
        contents: Contents = {}
        for pages in pages_of_pool:
            pool_id = self.guest.new_pool(persistent=True)
            for number in range(pages):
                handle = (pool_id, number // 16 << 64 | pool_id, number % 16)
                contents[handle] = page = choose.randbytes(64) * 64
                assert self.guest.put(*handle, page) == 1
        return contents

    def found(self, wanted: Contents) -> Contents:
        """Those of the pages of `wanted` that are here, as they are here."""
        answers = {handle: self.guest.get(*handle) for handle in wanted}
        return {handle: page for handle, (_, page) in answers.items() if page is not None}

    def count(self) -> int:
        """Persistent pages of the domain, by the hypervisor's own count."""
        return sum(pool.n_pages for pool in self.backend.pools(DOMAIN) if pool.persistent)

    def frozen(self) -> bool:
        return self.backend.client_info(DOMAIN).frozen

    def save(self, options: SaveOptions = STILL) -> bytes:
        file = io.BytesIO()
        save(self.backend, DOMAIN, file, options=options)
        return file.getvalue()

    def restore(self, raw: bytes, options: RestoreOptions = INTO_NEW) -> Restored:
        return restore(self.backend, DOMAIN, io.BytesIO(raw), "file", options=options)


class Tripwire:
    """A backend that calls `act` before its call number `at`; pages and invalidations count as calls."""

    def __init__(self, backend: HypercallBackend, at: int, act: Callable[[], object]) -> None:
        self._backend, self._at, self._act = backend, at, act
        self.calls = 0

    @property
    def name(self) -> str:
        return self._backend.name

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._act()

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._backend, method)
        if not callable(real):
            return real

        def call(*args: Any, **more: Any) -> Any:
            self._step()
            answer = real(*args, **more)
            return self._stepping(answer) if isinstance(answer, Iterator) else answer

        return call

    def _stepping(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item


def throwing(error: BaseException) -> Callable[[], None]:
    """Something for a Tripwire to do."""

    def throw() -> None:
        raise error

    return throw

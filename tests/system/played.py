# SPDX-License-Identifier: GPL-2.0-only
"""dom0 of a played Xen: a model answers the suite's hypercalls and those of `xm`, through a kernel that is a fake.

With it the suite runs without a machine, for every release: what it asks is right when a real Xen comes. Frames of
machine memory are numbers that the kernel here makes up, and the pages behind them go to the model and back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public import tmem
from hypervisor_model.public.wire import Call
from hypervisor_model.public.xen import (
    EACCES,
    EEXIST,
    ENOSYS,
    ESRCH,
    HYPERCALL_DOMCTL,
    HYPERCALL_TMEM_OP,
    PAGE_SIZE,
)
from tests.contract.translating import TranslatingTransport, model_release
from tests.system.dom0 import domains
from tests.system.dom0.control_domain import ControlDomain
from tests.system.dom0.hypercalls import Hypercalls, Memory
from tests.xm_tmem.backends.fake_dom0 import FakeKernel
from xm_tmem.backends.abi.releases import NONE, RELEASES, TMEM_RELEASES

FRAME: Final = 5
"""The one machine frame that dom0's pages have here."""
WITH_TMEM: Final = TMEM_RELEASES
WITHOUT_TMEM: Final = ("4.17", "4.3-off", "4.7-off", "4.12-off")
"""What can be played; `off` was booted without tmem=1, as far as hypercalls show."""
QUICK: Final = frozenset(("4.0", "4.3", "4.5", "4.7", "4.8", "4.12", "4.17", "4.7-off"))
"""One of each kind; the others are for `make test-long`."""
COMMAND_LINE: Final = "loglvl=all tmem=1 tmem_compress=1"
_STRUCT_BYTES: Final = 256


class PlayedKernel(FakeKernel):
    """The kernel of dom0 on a Xen `name`, as above. Making and destroying domains, and tmem as guests use it,
    are added to what the fake kernel carries."""

    def __init__(self, name: str) -> None:
        self._name, _, off = name.partition("-")
        self._model = Hypervisor(
            release=model_release(self._name), frames=65536, command_line=COMMAND_LINE, exact=False
        )
        self._model.create_domain(0, tot_pages=1024, gfns=FRAME + 1)
        self._xen = TranslatingTransport(self._name, self._model, off=bool(off))
        self._is_off = bool(off)
        self._page: Memory | None = None
        super().__init__(self, lacks=())  # type: ignore[arg-type]  # it asks for `hypercall` and no more

    def frame_of(self, calls: Hypercalls, page: Memory) -> int:
        """What frames.machine_frame finds out on a machine."""
        del calls
        self._page = page
        return FRAME

    def hypercall(
        self, domid: int, number: int, argument: bytes, memory: dict[int, bytearray] | None = None
    ) -> int:
        """What the fake kernel hands over once it has read the caller's memory."""
        assert domid == 0
        address, buffer = next(iter((memory or {}).items()), (0, None))
        offset = argument.find(address.to_bytes(8, "little")) if buffer is not None else None
        if number == HYPERCALL_TMEM_OP:
            return self._tmem_op(Call(number, argument, offset, buffer))
        return self._xen.call_many([Call(number, argument, offset, buffer)])[0]

    def _hypercall(self, number: int, first: int, second: int) -> int:
        if number == HYPERCALL_DOMCTL:
            return self._domctl(ctypes.string_at(first, _STRUCT_BYTES))
        return super()._hypercall(number, first, second)

    def _tmem_op(self, call: Call) -> int:
        if RELEASES[self._name].abi == NONE:
            return -ENOSYS
        command = int.from_bytes(call.argument[:4], "little")
        if self._is_off or command in (tmem.TMEM_CONTROL, tmem.TMEM_AUTH, tmem.TMEM_RESTORE_NEW):
            return self._xen.call_many([call])[0]
        if command not in (tmem.TMEM_PUT_PAGE, tmem.TMEM_GET_PAGE):
            return self._model.hypercall(0, call.number, call.argument)
        assert self._page is not None
        frames = self._model.domain(0).memory
        frames.write_frame(FRAME, self._page.bytes[:PAGE_SIZE])
        value = self._model.hypercall(0, call.number, call.argument)
        page = frames.read_frame(FRAME)
        assert page is not None
        self._page.put(page)
        return value

    def _domctl(self, argument: bytes) -> int:
        command, interface, domain = domains.HEAD.unpack_from(argument)
        if interface != domains.INTERFACES[self._name]:
            return -EACCES
        there = domain in self._model.domain_ids()
        if command == domains.CREATE:
            if there:
                return -EEXIST
            self._model.create_domain(domain, max_pages=0)
            return 0
        if not there:
            return -ESRCH
        if command == domains.DESTROY:
            self._model.destroy_domain(domain)
            return 0
        assert command == domains.MAX_MEM
        kilobytes = int.from_bytes(argument[domains.HEAD.size : domains.HEAD.size + 8], "little")
        self._model.set_max_pages(domain, kilobytes // 4)
        return 0


@contextmanager
def control_domain(name: str) -> Iterator[ControlDomain]:
    """dom0 of the Xen `name`, as above."""
    kernel = PlayedKernel(name)
    with kernel.installed():
        dom0 = ControlDomain(kernel.frame_of, real=False)
        try:
            yield dom0
        finally:
            dom0.calls.close()

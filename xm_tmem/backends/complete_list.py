# SPDX-License-Identifier: GPL-2.0-only
"""A listing that is complete, out of a command that leaves lines out without a sign when they do not fit.

LIST (C: tmemc_list) drops a line that does not fit in the buffer and answers 0 all the same; some lines it writes
without looking, and once past the length its arithmetic wraps and the rest goes *behind* the buffer. So the buffer
is large from the start and grows until there is room to spare; a listing that still lacks its first or last line is
put together from those of each client. (Transports lay a guard behind the buffer besides.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hypervisor_model.public.wire import MAX_BUFFER_BYTES
from hypervisor_model.public.xen import CLI_ID_ALL, EPERM
from xm_tmem.backends.abi.control import ONE_CLIENT_LIST_BYTES, Ask, ControlAbi, checked, listed_text
from xm_tmem.ids import DomainId

FIRST_BUFFER_BYTES = 256 << 10
SPARE_BYTES = 1024
"""With less room than this behind the text, a line may have been left out: the longest has some 400 bytes."""
_GROWTH = 4
_CLIENTS_PER_BATCH = 256


class CompleteList:
    """Fetches listings of one host; `domain_ids` lists its domains."""

    def __init__(self, abi: ControlAbi, ask: Ask, domain_ids: Callable[[], Iterable[DomainId]]) -> None:
        self._abi = abi
        self._ask = ask
        self._domain_ids = domain_ids

    def of_client(self, client: DomainId, *, use_long: bool) -> bytes:
        """`C=` and `P=` lines of one client. Raises HypercallError."""
        return self._grown(client, use_long)[0]

    def of_all(self, *, use_long: bool) -> bytes:
        """Everything, in the hypervisor's own order and words. Raises HypercallError."""
        if not self._abi.release.lists_all:
            return self._of_each(use_long)
        text, roomy = self._grown(CLI_ID_ALL, use_long)
        if roomy and is_whole(text):
            return text
        head, tail = _head_and_tail(text)
        return head + self._of_each(use_long) + tail

    def _grown(self, client: int, use_long: bool) -> tuple[bytes, bool]:
        """(text, whether there was room to spare) with the largest buffer tried."""
        size = FIRST_BUFFER_BYTES
        while True:
            call = self._abi.list_text(client, bytearray(size), use_long=use_long)
            checked("LIST", self._ask([call])[0])
            text = listed_text(call)
            if len(text) + SPARE_BYTES < size:
                return text, True
            if size * _GROWTH > MAX_BUFFER_BYTES:
                return text, False
            size *= _GROWTH

    def _of_each(self, use_long: bool) -> bytes:
        """The lines of every client, one LIST each."""
        ids = list(self._domain_ids())
        parts: list[bytes] = []
        for start in range(0, len(ids), _CLIENTS_PER_BATCH):
            parts += self._of_batch(ids[start : start + _CLIENTS_PER_BATCH], use_long)
        return b"".join(parts)

    def _of_batch(self, ids: Sequence[DomainId], use_long: bool) -> list[bytes]:
        calls = [
            self._abi.list_text(domid, bytearray(ONE_CLIENT_LIST_BYTES), use_long=use_long) for domid in ids
        ]
        parts: list[bytes] = []
        for domid, call, value in zip(ids, calls, self._ask(calls), strict=True):
            if value == -EPERM:  # not a client, or gone since
                continue
            checked("LIST", value)
            text = listed_text(call)
            roomy = len(text) + SPARE_BYTES < ONE_CLIENT_LIST_BYTES
            parts.append(text if roomy else self.of_client(domid, use_long=use_long))
        return parts


def is_whole(text: bytes) -> bool:
    """Whether a listing of all has its first line, its last, and no half line at its end."""
    last = text[text.rfind(b"\n", 0, -1) + 1 :]
    return text.startswith(b"G=") and text.endswith(b"\n") and last.startswith(b"T")


def _head_and_tail(text: bytes) -> tuple[bytes, bytes]:
    """The lines of a cut-off listing that belong to no client: `G=` and `S=`, and `T`."""
    lines = text.splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    head = b"".join(line for line in whole if line.startswith((b"G=", b"S=")))
    return head, b"".join(line for line in whole if line.startswith(b"T"))

# SPDX-License-Identifier: GPL-2.0-only
"""Where a hypercall is sent. Every transport carries the same thing: number, argument struct, buffer.

Transports raise Unreachable, Disconnected, NotPermitted or Unsupported, and what the hypervisor answers they return.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from hypervisor_model.public import wire
from hypervisor_model.public.wire import Call
from xm_tmem.errors import Failed, NotPermitted, TmemError, Unreachable, Unsupported

_ERRORS: Mapping[int, type[TmemError]] = {
    wire.ERROR_VERSION: Unsupported,
    wire.ERROR_UNKNOWN: Unsupported,
    wire.ERROR_REFUSED: Unsupported,
    wire.ERROR_NOT_PERMITTED: NotPermitted,
    wire.ERROR_UNREACHABLE: Unreachable,
}


class Transport(abc.ABC):
    """A way to a hypervisor, acting as its control domain."""

    @abc.abstractmethod
    def call_many(self, calls: Sequence[Call]) -> list[int]:
        """Make `calls` in order; the value of each (>= 0, or -errno), and their buffers changed in place."""

    def call(
        self,
        number: int,
        argument: bytes,
        *,
        handle_offset: int | None = None,
        buffer: bytearray | None = None,
    ) -> int:
        """Make one call; its value."""
        return self.call_many([Call(number, argument, handle_offset, buffer)])[0]

    def directory(self) -> list[tuple[int, str, str]]:
        """Domains that the other end knows by more than an id: (id, name, uuid), "" for unknown, unchecked text."""
        return []

    def details(self) -> Mapping[str, str]:
        """What this way is, for people to read, in reading order."""
        return {}

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give the connection back. Closing twice is harmless."""


def error_of(code: int, text: str) -> TmemError:
    """The error for one of the codes of an ERROR frame."""
    return _ERRORS.get(code, Failed)(text)

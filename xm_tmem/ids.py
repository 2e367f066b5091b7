# SPDX-License-Identifier: GPL-2.0-only
"""Domain ids, pool ids and shared-pool uuids: their ranges, and how text becomes one of them.

Xen cuts a domain id to 16 bits before it looks at it, so that 65536 means domain 0 and 65535 means *all*. Nothing
in this project sends an id that has not passed `domain_id`.
"""

from __future__ import annotations

import re
from typing import NewType

from xm_tmem.errors import BadInput
from xm_tmem.named_tuple import NamedTuple

DomainId = NewType("DomainId", int)
PoolId = NewType("PoolId", int)

FIRST_RESERVED_DOMAIN_ID = 0x7FF0
"""DOMID_FIRST_RESERVED of xen/include/public/xen.h: no domain has an id from here on."""
MAX_POOLS_PER_DOMAIN = 16


def domain_id(number: int) -> DomainId:
    """`number` as the id of a domain. Raises BadInput outside 0..0x7fef."""
    if not 0 <= number < FIRST_RESERVED_DOMAIN_ID:
        raise BadInput(f"{number} is no domain id: ids go from 0 to {FIRST_RESERVED_DOMAIN_ID - 1}")
    return DomainId(number)


def pool_id(number: int) -> PoolId:
    """`number` as the id of a pool within its domain. Raises BadInput outside 0..15."""
    if not 0 <= number < MAX_POOLS_PER_DOMAIN:
        raise BadInput(f"{number} is no pool id: ids go from 0 to {MAX_POOLS_PER_DOMAIN - 1}")
    return PoolId(number)


CANONICAL_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
"""A pattern of a uuid's text, in lower case. Compiled when first used: few commands read one."""


class SharedUuid(NamedTuple):
    """The 128-bit key of a shared pool as the hypercall carries it: uuid[0] (lo) and uuid[1] (hi).

    Toolstack and guests never agreed which bytes go where. libxc reads the canonical text as one big-endian number
    and puts its upper half in uuid[1]; Linux copies the sixteen bytes into memory, that is bytes 0..7 little-endian
    into uuid[0]. Both are offered; `linux` is what a real guest's pool has.
    """

    lo: int
    hi: int

    @classmethod
    def from_text(cls, text: str, *, order: str = "xen") -> SharedUuid:
        """Parse xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx; `order` is "xen" (libxc) or "linux". Raises BadInput."""
        lowered = text.strip().lower()
        if not re.fullmatch(CANONICAL_UUID, lowered):
            raise BadInput(f"{text!r} is no uuid: write xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in hexadecimal")
        raw = bytes.fromhex(lowered.replace("-", ""))
        if order == "linux":
            return cls(int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))
        if order == "xen":
            return cls(int.from_bytes(raw[8:], "big"), int.from_bytes(raw[:8], "big"))
        raise BadInput(f"{order!r} is no uuid order: use xen or linux")

    def to_text(self, *, order: str = "xen") -> str:
        """The canonical text that `from_text` with the same `order` turns into this."""
        if order == "linux":
            raw = self.lo.to_bytes(8, "little") + self.hi.to_bytes(8, "little")
        else:
            raw = self.hi.to_bytes(8, "big") + self.lo.to_bytes(8, "big")
        digits = raw.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

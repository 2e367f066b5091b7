# SPDX-License-Identifier: GPL-2.0-only
"""What a save stream says, whatever its format: one vocabulary for readers, writers, save, restore and migrate.

A stream is a sequence of items in this order:

    Head  (PoolInfo  SavedPage*)*  Invalidation*  LostPage*  End

`PoolInfo`, `SavedPage` and `Invalidation` are those of the backend interface; only persistent pools have pages. A
save is an iterator of items read from a hypervisor, a file is an iterator of items read from bytes, and a restore
is whatever consumes one: so a migration is a save plugged into a restore.

Left out: the stream that carried these chunks between two hosts (xc_domain_save's own); a file here begins at the
tmem chunk's marker.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from xm_tmem.backends.interface import ClientInfo, Invalidation, PoolInfo, SavedPage
from xm_tmem.ids import PoolId

MAX_POOL_PAGES = (1 << 32) - 1
"""A pool of more pages (16 TiB) is taken for a corrupt count."""
MAX_INVALIDATIONS = 1 << 21
"""Invalidations that one stream may hold: 8 GiB of pages that changed while they were copied."""


class StreamFormat(enum.Enum):
    """How the items are spelt as bytes."""

    A = "A"  # xc_tmem_save of Xen 4.0 to 4.7
    B = "B"  # xc_tmem_save of Xen 4.8 to 4.12
    CONTAINER = "container"  # this project's own: checksummed


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a container was made; informative only, a restore does not depend on it."""

    connection: str
    xen_version: str
    release: str
    domain_id: int
    domain_name: str | None = None
    domain_uuid: str | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The client's settings. `client.nr_pools` is None where the format does not say it in advance (A)."""

    format: StreamFormat
    client: ClientInfo
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class LostPage:
    """The handle of a page that the hypervisor named and would not hand out. Containers only."""

    pool_id: PoolId
    oid: int
    index: int


@dataclass(frozen=True, slots=True)
class End:
    """The totals, in pages.

    `missing` maps a pool to the pages it held that are not in the stream: absent means none. A and B cannot say it
    and their readers report what a list that ended early proves to be missing.
    """

    pages: int
    invalidations: int = 0
    missing: dict[PoolId, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not any(self.missing.values())


Item: TypeAlias = "Head | PoolInfo | SavedPage | Invalidation | LostPage | End"


class Writer(Protocol):
    """Takes the items of one stream in their order; the stream is whole once `End` was written."""

    def write(self, item: Item) -> None:
        """Raises BadInput for an item out of order or that the format cannot express."""

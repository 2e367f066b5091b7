# SPDX-License-Identifier: GPL-2.0-only
"""A Xen host with tmem, in this process.

    >>> from hypervisor_model.hypervisor import Hypervisor
    >>> hv = Hypervisor(release="4.3", frames=1024, command_line="tmem=1")
    >>> guest = hv.create_domain(1, name="web")
    >>> pool_id = guest.new_pool()
    >>> guest.put(pool_id, 7, 0, b"x" * 4096)
    1
    >>> rc, page = guest.get(pool_id, 7, 0)
    >>> rc, page == b"x" * 4096
    (1, True)

Any number of hypervisors can live side by side. None of this is safe to share between threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hypervisor_model.host.compress import Codec, codec_for
from hypervisor_model.host.domain import Domain
from hypervisor_model.host.guest_memory import Buffers, GuestMemory
from hypervisor_model.host.heap import Heap
from hypervisor_model.host.options import parse_command_line
from hypervisor_model.host.reservation import decrease_reservation, increase_reservation
from hypervisor_model.public.sysctl import (
    DOMAIN_INFO,
    XEN_DOMINF_RUNNING,
    XEN_SYSCTL_DOMAINS,
    XEN_SYSCTL_GETDOMAININFOLIST,
    XEN_SYSCTL_HEADER,
    XEN_SYSCTL_TMEM_OP,
)
from hypervisor_model.public.xen import (
    CLI_ID_ALL,
    DOMID_FIRST_RESERVED,
    EACCES,
    EFAULT,
    ENOSYS,
    EPERM,
    HYPERCALL_SYSCTL,
    HYPERCALL_TMEM_OP,
    HYPERCALL_XEN_VERSION,
    PAGE_SIZE,
    XEN_VERSION_ARG,
    XENVER_COMMANDLINE,
    XENVER_COMMANDLINE_BYTES,
    XENVER_EXTRAVERSION,
    XENVER_EXTRAVERSION_BYTES,
    XENVER_VERSION,
)
from hypervisor_model.releases import release_named
from hypervisor_model.tmem import control
from hypervisor_model.tmem.check import check
from hypervisor_model.tmem.client import Client, client_of
from hypervisor_model.tmem.cycles import CycleCounters
from hypervisor_model.tmem.evict import relinquish_page
from hypervisor_model.tmem.guest_ops import Guest
from hypervisor_model.tmem.hypercall import do_sysctl_tmem, do_tmem_op
from hypervisor_model.tmem.lifecycle import destroy_client
from hypervisor_model.tmem.listing import list_clients
from hypervisor_model.tmem.state import Tmem
from hypervisor_model.tmem.timed import TimedGuest

DEFAULT_FRAMES: Final = 262144
"""1 GiB."""
QUIRKS: Final = ("xen", "documented")
CONTENTS: Final = ("pages", "tokens")
_UNLIMITED: Final = (1 << 32) - 1


class Hypervisor:
    """Boot a host of `frames` pages.

    release           "4.3" or "4.12"
    command_line      Xen's; the tmem options on it count, and without tmem=1 there is no tmem
    quirks            "xen": as the C does; "documented": as tmem's documents say
    exact             account for each byte of tmem's own memory as its allocator does; False: pages of data only,
                      which is faster
    contents          "pages" of 4096 bytes, or "tokens": any bytes stand for a page, and nobody looks inside
    codec             what compresses: "lzo1x" as the release does, "lz4", or "model" for tokens
    strict_privilege  refuse unprivileged callers what 4.3 lets any guest do
    clock             cycles since some time, for the cycle counters of 4.3; None: no time passes

    Raises ValueError for anything else.
    """

    def __init__(
        self,
        *,
        release: str = "4.3",
        frames: int = DEFAULT_FRAMES,
        command_line: str = "tmem=1",
        quirks: str = "xen",
        exact: bool = True,
        contents: str = "pages",
        codec: str | None = None,
        strict_privilege: bool = False,
        clock: Callable[[], int] | None = None,
    ) -> None:
        if frames < 1:
            raise ValueError(f"a host of {frames} pages has no memory")
        if quirks not in QUIRKS:
            raise ValueError(f"quirks {quirks!r} are neither {' nor '.join(QUIRKS)}")
        if contents not in CONTENTS:
            raise ValueError(f"contents {contents!r} are neither {' nor '.join(CONTENTS)}")
        self.release = release_named(release)
        self.quirks = quirks
        self.contents = contents
        self.exact = exact
        self.options = parse_command_line(command_line)
        if self.options.dedup and self.options.compress:
            self.options.tze = False  # C: init_tmem, "tze and compression not compatible"
        if self.release.client_info_abi:
            self.options.dedup = self.options.tze = False  # gone since 4.8
        if codec is None:
            codec = "lzo1x" if contents == "pages" else "model"
        self.codec: Codec = codec_for(release, codec)
        documented = quirks == "documented"
        self.heap = Heap(frames, reserve_underflows=not documented)
        self._domains: dict[int, Domain] = {}
        self._guests: dict[int, Guest] = {}
        self._host_pages = 0  # allocated by the hypervisor for itself
        self.tmem = Tmem(
            self.release,
            self.options,
            self.heap,
            self._domains,
            self.codec,
            page_bytes=PAGE_SIZE if contents == "pages" else 0,
            exact=exact,
            documented=documented,
            strict_privilege=strict_privilege,
            cycles=CycleCounters(clock),
        )
        if self.options.tmem:
            self.heap.reclaimer = self

    # Domains.

    def create_domain(
        self,
        domid: int,
        *,
        name: str | None = None,
        max_pages: int = _UNLIMITED,
        tot_pages: int = 0,
        gfns: int = 0,
        read_only: Iterable[int] = (),
        unmapped: Iterable[int] = (),
        privileged: bool | None = None,
    ) -> Guest:
        """A new domain that owns `tot_pages` and may own `max_pages`; it has the page frames 0..gfns-1.

        Its own memory is not taken from the host's heap: `frames` is what Xen has left for tmem. `privileged` is
        true of domain 0 unless said otherwise. Raises ValueError.
        """
        if not 0 <= domid < DOMID_FIRST_RESERVED:
            raise ValueError(f"{domid} is no domain id: ids go from 0 to {DOMID_FIRST_RESERVED - 1}")
        if domid in self._domains:
            raise ValueError(f"domain {domid} is there already")
        if not 0 <= tot_pages <= max_pages or gfns < 0:
            raise ValueError(
                f"a domain cannot own {tot_pages} of at most {max_pages} pages, with {gfns} frames"
            )
        domain = Domain(
            domid,
            name=name,
            max_pages=max_pages,
            tot_pages=tot_pages,
            memory=GuestMemory(gfns, read_only, unmapped),
            privileged=domid == 0 if privileged is None else privileged,
        )
        self._domains[domid] = domain
        timed = self.tmem.cycles.clock is not None and not self.release.client_info_abi
        guest = TimedGuest(self.tmem, domain) if timed else Guest(self.tmem, domain)
        self._guests[domid] = guest
        return guest

    def destroy_domain(self, domid: int) -> int:
        """Tear a domain down, its tmem first (C: domain_kill). Pages of tmem's that it still owned: 0 unless lost."""
        domain = self._domains[domid]
        domain.dying = True
        self._guests[domid].retire()
        destroy_client(self.tmem, domain)
        del self._domains[domid], self._guests[domid]
        return domain.tot_pages - domain.own_pages

    def set_max_pages(self, domid: int, max_pages: int) -> None:
        """How many pages the domain may own, from now on."""
        self._domains[domid].max_pages = max_pages

    def decrease_reservation(self, domid: int, pages: int) -> int:
        """XENMEM_decrease_reservation by the domain: how many of its frames went to the heap."""
        return decrease_reservation(self.heap, self._domains[domid], pages)

    def increase_reservation(self, domid: int, pages: int) -> int:
        """XENMEM_increase_reservation or _populate_physmap by the domain: how many frames it was given."""
        self.tmem.current = self._domains[domid]
        return increase_reservation(self.heap, self._domains[domid], pages)

    def domain(self, domid: int) -> Guest:
        """The hypercalls of a domain. Raises KeyError if there is none."""
        return self._guests[domid]

    def domain_ids(self) -> list[int]:
        """All domains, by id."""
        return sorted(self._domains)

    # The heap's other users.

    def alloc_host_pages(self, count: int, order: int = 0) -> int:
        """The hypervisor allocates `count` times 2^order pages for itself; how many times it got them."""
        self.tmem.current = None  # the idle domain
        done = 0
        while done < count and self.heap.alloc_heap_pages(order, from_tmem=False):
            self._host_pages += 1 << order
            done += 1
        return done

    def free_host_pages(self, count: int) -> int:
        """Free `count` of the pages so allocated, or as many as there are; how many those were."""
        done = min(count, self._host_pages)
        self._host_pages -= done
        self.heap.free_heap_pages(done)
        return done

    def relinquish_page(self, order: int, from_tmem: bool) -> bool:
        """What the heap calls when it runs low (C: tmem_relinquish_pages)."""
        return relinquish_page(self.tmem, order, from_tmem)

    # The binary door.

    def hypercall(
        self,
        domid: int,
        number: int,
        argument: bytes | bytearray,
        memory: Mapping[int, bytearray] | None = None,
    ) -> int:
        """A hypercall by domain `domid`: >= 0 or a negative errno.

        `argument` holds the hypercall's struct (empty: a NULL pointer), `memory` what its guest handles may point
        to, by address from 0x10000 up; buffers are written in place. Raises KeyError if there is no such domain.
        """
        guest = self._guests[domid]
        buffers = Buffers({} if memory is None else memory)
        if number == HYPERCALL_TMEM_OP:
            return do_tmem_op(self.tmem, guest, argument, buffers)
        if number == HYPERCALL_SYSCTL:
            return self._sysctl(guest.domain, argument, buffers)
        if number == HYPERCALL_XEN_VERSION:
            return self._xen_version(argument, buffers)
        return -ENOSYS

    def _sysctl(self, caller: Domain, argument: bytes | bytearray, buffers: Buffers) -> int:
        if len(argument) < XEN_SYSCTL_HEADER.size:
            return -EFAULT
        cmd, version = XEN_SYSCTL_HEADER.unpack_from(argument)
        if version != self.release.sysctl_interface_version:
            return -EACCES
        if not caller.privileged:
            return -EPERM
        if cmd == XEN_SYSCTL_TMEM_OP and self.release.client_info_abi:
            return do_sysctl_tmem(self.tmem, caller, argument, buffers)
        if cmd == XEN_SYSCTL_GETDOMAININFOLIST:
            return self._domain_list(argument, buffers)
        return -ENOSYS

    def _domain_list(self, argument: bytes | bytearray, buffers: Buffers) -> int:
        """XEN_SYSCTL_getdomaininfolist. The number of domains is written only into a mutable argument."""
        if len(argument) < XEN_SYSCTL_DOMAINS.size:
            return -EFAULT
        cmd, version, first, limit, address, _ = XEN_SYSCTL_DOMAINS.unpack_from(argument)
        count = 0
        for domid in self.domain_ids():
            if domid < first or count >= limit:
                continue
            raw = self._domain_info(self._domains[domid])
            if not buffers.write(address + count * len(raw), raw):
                return -EFAULT
            count += 1
        if isinstance(argument, bytearray):
            XEN_SYSCTL_DOMAINS.pack_into(argument, 0, cmd, version, first, limit, address, count)
        return 0

    def _domain_info(self, domain: Domain) -> bytes:
        raw = DOMAIN_INFO.pack(
            domain.domid,
            XEN_DOMINF_RUNNING,
            domain.tot_pages,
            domain.max_pages,
            0,
            0,
            0,
            0,
            0,
            1,
            0,
            0,
            domain_uuid(domain.domid, domain.name),
            0,
        )
        return raw.ljust(self.release.domain_info_bytes, b"\0")

    def _xen_version(self, argument: bytes | bytearray, buffers: Buffers) -> int:
        if len(argument) < XEN_VERSION_ARG.size:
            return -EFAULT
        cmd, address = XEN_VERSION_ARG.unpack_from(argument)
        if cmd == XENVER_VERSION:
            return self.release.major << 16 | self.release.minor
        if cmd == XENVER_EXTRAVERSION:
            text, room = self.release.extraversion, XENVER_EXTRAVERSION_BYTES
        elif cmd == XENVER_COMMANDLINE:
            text, room = self.options.command_line, XENVER_COMMANDLINE_BYTES
        else:
            return -ENOSYS
        raw = text.encode("utf-8")[: room - 1].ljust(room, b"\0")
        return 0 if buffers.write(address, raw) else -EFAULT

    # Conveniences for those who sit in this process.

    def list_text(self, domid: int | None = None, *, use_long: bool = False) -> str:
        """LIST with all the room it needs, of one client or of all. Raises KeyError if there is no such client."""
        client = None
        if domid is not None:
            client = client_of(self._domains[domid])
            if client is None:
                raise KeyError(domid)
        text = bytearray()

        def write(offset: int, data: bytes) -> bool:
            text[offset:] = data
            return True

        list_clients(self.tmem, client, write, _UNLIMITED, use_long=use_long)
        return text.partition(b"\0")[0].decode("ascii")

    def set_frozen(self, domid: int | None, frozen: bool) -> None:
        """Freeze or thaw a client, or all. Raises KeyError if there is no such client."""
        if domid is not None and domid not in self._domains:
            raise KeyError(domid)
        cli_id = CLI_ID_ALL if domid is None else domid
        if control.freeze(self.tmem, cli_id, frozen=frozen) < 0:
            raise KeyError(domid)

    def set_weight(self, domid: int, weight: int) -> None:
        """Raises KeyError if there is no such client."""
        control.set_weight(self.tmem, self._client(domid), weight)

    def set_cap(self, domid: int, cap: int) -> None:
        """Raises KeyError if there is no such client."""
        self._client(domid).cap = cap

    def _client(self, domid: int) -> Client:
        client = control.client_named(self.tmem, domid)
        if client is None:
            raise KeyError(domid)
        return client

    def toggle_freeze_key(self) -> None:
        """Freeze all clients, thaw them the next time (C: tmem_freeze_all)."""
        self.tmem.freeze_key = not self.tmem.freeze_key
        # QUIRK tmem_freeze_all: a key handler that was never bound to a key.
        control.freeze(self.tmem, CLI_ID_ALL, frozen=self.tmem.freeze_key)

    def stat(self, domids: Iterable[int] = ()) -> dict[str, object]:
        """Where the pages and tmem's own bytes are: for comparison with recordings."""
        doms: dict[int, list[int]] = {}
        for domid in domids:
            domain = self._domains.get(domid)
            client = client_of(domain)
            if domain is None:
                doms[domid] = [-1, -1, -1]
            elif client is None:
                doms[domid] = [domain.tot_pages, -1, -1]
            else:
                pool = client.persistent_pool
                doms[domid] = [domain.tot_pages, pool.used_bytes, pool.total_bytes]
        return {
            "avail": self.heap.avail,
            "freeable": self.heap.freeable,
            "tmem_list": self.heap.tmem_list_pages,
            "midsize": self.heap.midsize,
            "mempool": [self.tmem.mempool.used_bytes, self.tmem.mempool.total_bytes],
            "doms": doms,
        }

    def check(self) -> None:
        """Recount everything; AssertionError where a counter lies. O(pages)."""
        check(self.tmem)


def domain_uuid(domid: int, name: str | None) -> bytes:
    """16 bytes that stay the same for the same domain; all zeros for domain 0, as on a real host."""
    if domid == 0:
        return bytes(16)
    return hashlib.sha256(f"{domid}/{name or ''}".encode()).digest()[:16]

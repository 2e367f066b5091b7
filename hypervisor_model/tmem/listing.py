# SPDX-License-Identifier: GPL-2.0-only
"""The text of LIST: two-letter keys and numbers, a line for the host, each shared pool, client and pool.

Models    tmemc_list, tmemc_list_global, tmemc_list_shared, tmemc_list_client, tmemc_list_global_perf of tmem.c
          (4.12: tmem_control.c), with their rules for a buffer that is too small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hypervisor_model.tmem.client import Client
from hypervisor_model.tmem.pool import Pool

if TYPE_CHECKING:
    from hypervisor_model.tmem.state import Tmem

BSIZE: Final = 1024
_U32: Final = (1 << 32) - 1
_I32_SIGN: Final = 1 << 31

Write = Callable[[int, bytes], bool]
"""write(offset, data) into the caller's buffer; False if not all of it could be written."""


def _signed(number: int) -> int:
    """A 32-bit number printed with %d."""
    return number - (1 << 32) if number & _I32_SIGN else number


class _Line:
    """The 1024 bytes on the stack that each line is composed in."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray(BSIZE)

    def print(self, offset: int, text: str) -> int:
        """Write text and a NUL at `offset`, cut to what fits; how much text that was (C: scnprintf)."""
        raw = text.encode("ascii")[: BSIZE - offset - 1]
        self._bytes[offset : offset + len(raw) + 1] = raw + b"\0"
        return len(raw)

    def first(self, length: int) -> bytes:
        return bytes(self._bytes[:length])


class _Writer:
    """Where the next line goes, and how much room the hypervisor believes to be left."""

    __slots__ = ("_checked", "_length", "_write", "offset")

    def __init__(self, write: Write, length: int, *, checked: bool) -> None:
        self._write = write
        self._length = length
        self._checked = checked  # 4.12 looks whether the copy worked
        self.offset = 0

    def room(self, start: int, *, documented: bool) -> int:
        """Bytes left behind `start`.

        QUIRK tmemc_list: an unsigned difference, so that once the text has passed the end there is plenty.
        """
        left = self._length - start
        return max(left, 0) if documented else left & _U32

    def append(self, data: bytes) -> None:
        """Copy a line with its NUL out, and move on behind the line."""
        if self._write(self.offset, data) or not self._checked:
            self.offset += len(data) - 1


def list_clients(tmem: Tmem, client: Client | None, write: Write, length: int, *, use_long: bool) -> None:
    """Write the listing of one client, or of all with the host's lines around it, to a buffer of `length` bytes."""
    out = _Writer(write, length & _U32, checked=tmem.release.client_info_abi)
    if client is not None:
        _list_client(tmem, client, out, use_long)
        return
    _list_global(tmem, out, use_long)
    _list_shared(tmem, out, use_long)
    for each in tmem.clients:
        _list_client(tmem, each, out, use_long)
    _list_perf(tmem, out)


def _list_global(tmem: Tmem, out: _Writer, use_long: bool) -> None:
    text = (
        f"G=Tt:{tmem.total_tmem_ops},Te:{tmem.errored_tmem_ops},Cf:{tmem.failed_copies},Af:{tmem.alloc_failed},"
        f"Pf:{tmem.alloc_page_failed},Ta:{tmem.heap.tmem_list_pages},Lm:{tmem.low_on_memory},"
        f"Et:{tmem.evicted_pgs},Ea:{tmem.evict_attempts},Rt:{tmem.relinq_pgs},Ra:{tmem.relinq_attempts},"
        f"Rx:{tmem.max_evicts_per_relinq},Fp:{tmem.total_flush_pool}"
    )
    if use_long:
        text += (
            f",Ec:{tmem.eph_count},Em:{tmem.eph_count_max},Oc:{tmem.obj_count},Om:{tmem.obj_count_max},"
            f"Nc:{tmem.rtree_node_count},Nm:{tmem.rtree_node_count_max},Pc:{tmem.pgp_count},Pm:{tmem.pgp_count_max},"
            f"Fc:{tmem.page_count},Fm:{tmem.page_count_max},Sc:{tmem.pcd_count},Sm:{tmem.pcd_count_max},"
            f"Ep:{tmem.tot_good_eph_puts},Gd:{tmem.deduped_puts},Zt:{tmem.pcd_tot_tze_size},Gz:{tmem.pcd_tot_csize}"
        )
    raw = text.encode("ascii") + b"\n\0"
    if out.offset + len(raw) - 1 < out.room(0, documented=tmem.documented):
        out.append(raw)


def _pool_counters(pool: Pool) -> str:
    return (
        f"Pc:{pool.pgp_count},Pm:{pool.pgp_count_max},Oc:{pool.obj_count},Om:{pool.obj_count_max},"
        f"Nc:{pool.objnode_count},Nm:{pool.objnode_count_max},ps:{pool.good_puts},pt:{pool.puts},"
        f"pd:{pool.dup_puts_flushed},pr:{pool.dup_puts_replaced},px:{pool.no_mem_puts},gs:{pool.found_gets},"
        f"gt:{pool.gets},fs:{pool.flushs_found},ft:{pool.flushs},os:{pool.flush_objs_found},ot:{pool.flush_objs}\n"
    )


def _pool_type(pool: Pool) -> str:
    return ("P" if pool.persistent else "E") + ("S" if pool.shared else "P")


def _list_shared(tmem: Tmem, out: _Writer, use_long: bool) -> None:
    room = out.room(out.offset, documented=tmem.documented)
    start = out.offset
    line = _Line()
    length = 0
    for slot, pool in enumerate(tmem.shared_pools):
        if pool is None:
            continue
        # QUIRK tmemc_list_shared: from the second pool on each piece goes where the last line ended, and the next
        # over the start of that: such lines are garbage.
        if tmem.documented:
            length = 0
        head = f"S=SI:{slot},PT:{_pool_type(pool)},U0:{pool.uuid[0]:x},U1:{pool.uuid[1]:x}"
        length = line.print(length, head)
        for sharer in pool.sharers:
            length += line.print(length, f",SC:{sharer.client.cli_id}")
        length += line.print(length, "," if use_long else "\n")
        if use_long:
            length += line.print(length, _pool_counters(pool))
        if out.offset - start + length >= room:
            return
        out.append(line.first(length + 1))


def _list_client(tmem: Tmem, client: Client, out: _Writer, use_long: bool) -> None:
    room = out.room(out.offset, documented=tmem.documented)
    start = out.offset
    cap = "" if tmem.release.client_info_abi else f"ca:{_signed(client.cap)},"
    text = (
        f"C=CI:{client.cli_id},ww:{_signed(client.weight)},{cap}co:{int(client.compress)},fr:{int(client.frozen)},"
        f"Tc:{client.total_cycles},Ge:{client.succ_eph_gets},Pp:{client.succ_pers_puts},Gp:{client.succ_pers_gets}"
    )
    if use_long:
        text += (
            f",Ec:{client.eph_count},Em:{client.eph_count_max},cp:{client.compressed_pages},"
            f"cb:{client.compressed_sum_size},cn:{client.compress_poor},cm:{client.compress_nomem}"
        )
    raw = text.encode("ascii") + b"\n\0"
    # QUIRK tmemc_list_client: written whatever room is left.
    if not tmem.documented or len(raw) - 1 < room:
        out.append(raw)
    for pool in client.pools:
        if pool is None:
            continue
        uuid = pool.uuid if pool.shared else (0, 0)
        # QUIRK tmemc_list_client: of a shared pool it gives the owner's slot, not this client's.
        pool_id = client.pools.index(pool) if tmem.documented else pool.pool_id
        text = f"P=CI:{client.cli_id},PI:{pool_id},PT:{_pool_type(pool)},U0:{uuid[0]:x},U1:{uuid[1]:x}"
        text += f",{_pool_counters(pool)}" if use_long else "\n"
        raw = text.encode("ascii") + b"\0"
        if out.offset - start + len(raw) - 1 >= room:
            return
        out.append(raw)


def _list_perf(tmem: Tmem, out: _Writer) -> None:
    room = out.room(out.offset, documented=tmem.documented)
    if tmem.release.client_info_abi:
        text = "T"  # QUIRK tmemc_list_global_perf: with nothing to list, cutting the last comma takes the "="
    else:
        counters = tmem.cycles.by_tag.items()
        text = "T=" + ",".join(
            f"{tag}n:{c.count},{tag}t:{c.sum_cycles},{tag}x:{c.max_cycles},{tag}m:{c.min_cycles}"
            for tag, c in counters
        )
    raw = text.encode("ascii") + b"\n\0"
    if len(raw) - 1 < room:
        out.append(raw)

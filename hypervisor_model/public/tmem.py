# SPDX-License-Identifier: GPL-2.0-only
"""xen/include/public/tmem.h: commands, flags and binary structs of HYPERVISOR_tmem_op for 64-bit guests.

An object id is 192 bits, three little-endian 64-bit words in the structs. Both packages hold it as *one* Python
integer, oid[0] lowest: `oid_from_words`, `oid_to_words`. Integers order as C's oid_compare does (word 2 first).
"""

import struct
from typing import Final

TMEM_SPEC_VERSION: Final = 1

# Commands to HYPERVISOR_tmem_op.
TMEM_CONTROL: Final = 0
TMEM_NEW_POOL: Final = 1
TMEM_DESTROY_POOL: Final = 2
TMEM_NEW_PAGE: Final = 3
TMEM_PUT_PAGE: Final = 4
TMEM_GET_PAGE: Final = 5
TMEM_FLUSH_PAGE: Final = 6
TMEM_FLUSH_OBJECT: Final = 7
TMEM_READ: Final = 8
TMEM_WRITE: Final = 9
TMEM_XCHG: Final = 10
TMEM_AUTH: Final = 101
TMEM_RESTORE_NEW: Final = 102

# Subops of TMEM_CONTROL (4.0 to 4.5); from 4.6 the same numbers are commands of XEN_SYSCTL_tmem_op, except that
# 5, 6 and 7 change their meaning in 4.8, and 9 and 11 in 4.9 (see public/sysctl.py).
TMEMC_THAW: Final = 0
TMEMC_FREEZE: Final = 1
TMEMC_FLUSH: Final = 2
TMEMC_DESTROY: Final = 3
TMEMC_LIST: Final = 4
TMEMC_SET_WEIGHT: Final = 5
TMEMC_SET_CAP: Final = 6
TMEMC_SET_COMPRESS: Final = 7
TMEMC_QUERY_FREEABLE_MB: Final = 8
TMEMC_SAVE_BEGIN: Final = 10
TMEMC_SAVE_GET_VERSION: Final = 11
TMEMC_SAVE_GET_MAXPOOLS: Final = 12
TMEMC_SAVE_GET_CLIENT_WEIGHT: Final = 13
TMEMC_SAVE_GET_CLIENT_CAP: Final = 14
TMEMC_SAVE_GET_CLIENT_FLAGS: Final = 15
TMEMC_SAVE_GET_POOL_FLAGS: Final = 16
TMEMC_SAVE_GET_POOL_NPAGES: Final = 17
TMEMC_SAVE_GET_POOL_UUID: Final = 18
TMEMC_SAVE_GET_NEXT_PAGE: Final = 19
TMEMC_SAVE_GET_NEXT_INV: Final = 20
TMEMC_SAVE_END: Final = 21
TMEMC_RESTORE_BEGIN: Final = 30
TMEMC_RESTORE_PUT_PAGE: Final = 32
TMEMC_RESTORE_FLUSH_PAGE: Final = 33

# Flags of a pool.
TMEM_POOL_PERSIST: Final = 1
TMEM_POOL_SHARED: Final = 2
TMEM_POOL_PRECOMPRESSED: Final = 4
TMEM_POOL_PAGESIZE_SHIFT: Final = 4
TMEM_POOL_PAGESIZE_MASK: Final = 0xF
TMEM_POOL_VERSION_SHIFT: Final = 24
TMEM_POOL_VERSION_MASK: Final = 0xFF
TMEM_POOL_RESERVED_BITS: Final = 0x00FFFF00

# Flags of a client (answer of SAVE_GET_CLIENT_FLAGS).
TMEM_CLIENT_COMPRESS: Final = 1
TMEM_CLIENT_FROZEN: Final = 2

MAX_POOLS_PER_DOMAIN: Final = 16
MAX_GLOBAL_SHARED_POOLS: Final = 16

# struct tmem_op: a command, a pool and one of three members, 56 bytes in all (callers may pass more).
TMEM_OP_BYTES: Final = 56
TMEM_OP_CREAT: Final = struct.Struct("<IiQQII")  # cmd, pool_id, uuid[2], flags, arg1
TMEM_OP_CTRL: Final = struct.Struct("<IiIIII24sQ")  # cmd, pool_id, subop, cli_id, arg1, arg2, oid[3], buf
TMEM_OP_GEN: Final = struct.Struct(
    "<Ii24sIIIIQ"
)  # cmd, pool_id, oid[3], index, tmem_offset, pfn_offset, len, cmfn
TMEM_OP_CTRL_BUF_OFFSET: Final = 48

# struct tmem_handle, in front of each page of SAVE_GET_NEXT_PAGE and alone for SAVE_GET_NEXT_INV.
TMEM_HANDLE: Final = struct.Struct("<II24s")  # pool_id, index, oid[3]

OID_MASK: Final = (1 << 192) - 1
_WORD: Final = (1 << 64) - 1


def oid_from_words(word0: int, word1: int = 0, word2: int = 0) -> int:
    """Three 64-bit words as one object id."""
    return (word0 & _WORD) | (word1 & _WORD) << 64 | (word2 & _WORD) << 128


def oid_to_words(oid: int) -> tuple[int, int, int]:
    """The three 64-bit words of an object id."""
    return oid & _WORD, oid >> 64 & _WORD, oid >> 128 & _WORD


def oid_to_bytes(oid: int) -> bytes:
    """The 24 bytes of an object id in a struct."""
    return oid.to_bytes(24, "little")


def oid_from_bytes(raw: bytes) -> int:
    """The object id in 24 bytes of a struct."""
    return int.from_bytes(raw, "little")

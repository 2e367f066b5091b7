# SPDX-License-Identifier: GPL-2.0-only
"""What a guest may ask of tmem, and how the model writes down which page it means.

`TmemHandle` is the guest's side of HYPERVISOR_tmem_op: the model's domains offer it, and so do the back ends that
live in the guest's own memory (`zcache`).  Nothing else in this package reaches the hypervisor's tmem.

A page a guest can hold is one int below 2**60, its *key* (two digits of a CPython int, so it stays cheap):

    file page   bits 0-30 index in the file, 31-52 inode number, 53 set if it is run (mapped), 54-58 file system
    anonymous   bit 59 set, bits 0-30 page in the region, 31-58 region
"""

from typing import Final, Protocol

INDEX_MASK: Final = (1 << 31) - 1
INODE_SHIFT: Final = 31
INODE_MASK: Final = (1 << 22) - 1
FS_SHIFT: Final = 54
EXECUTABLE: Final = 1 << 53  # set in the keys of a file that is run
ANON: Final = 1 << 59  # a key at or above this one is anonymous memory


def file_key(fs: int, inode: int) -> int:
    """Key of page 0 of a file; page i is `file_key(fs, inode) + i`."""
    return fs << FS_SHIFT | inode << INODE_SHIFT


def anon_key(region: int) -> int:
    """Key of page 0 of a region of anonymous memory."""
    return ANON | region << INODE_SHIFT


class TmemHandle(Protocol):
    """Tmem as one guest sees it. Answers are Xen's: 1 done, 0 not found, -errno refused."""

    def new_pool(
        self, *, persistent: bool = False, shared: bool = False, uuid: tuple[int, int] = (0, 0)
    ) -> int: ...
    def destroy_pool(self, pool_id: int) -> int: ...
    def put(self, pool_id: int, oid: int, index: int, page: bytes) -> int: ...
    def get(self, pool_id: int, oid: int, index: int) -> tuple[int, bytes | None]: ...
    def flush_page(self, pool_id: int, oid: int, index: int) -> int: ...
    def flush_object(self, pool_id: int, oid: int) -> int: ...

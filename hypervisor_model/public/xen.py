# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of xen/include/public/xen.h, version.h and errno.h that both sides of a hypercall use."""

import struct
from typing import Final

PAGE_SIZE: Final = 4096
PAGE_SHIFT: Final = 12

# Hypercalls (__HYPERVISOR_*).
HYPERCALL_MEMORY_OP: Final = 12
HYPERCALL_XEN_VERSION: Final = 17
HYPERCALL_SYSCTL: Final = 35
HYPERCALL_DOMCTL: Final = 36
HYPERCALL_TMEM_OP: Final = 38

# Domain ids.
DOMID_FIRST_RESERVED: Final = 0x7FF0
DOMID_SELF: Final = 0x7FF0
DOMID_INVALID: Final = 0x7FF4
CLI_ID_ALL: Final = 0xFFFF  # (domid_t)-1: every client, in tmem's control operations

# Commands of HYPERCALL_XEN_VERSION.
XENVER_VERSION: Final = 0
XENVER_EXTRAVERSION: Final = 1
XENVER_COMMANDLINE: Final = 9
XENVER_EXTRAVERSION_BYTES: Final = 16
# Xen takes command and buffer in two registers; here they travel as one struct: cmd, padding, buffer's address.
XEN_VERSION_ARG: Final = struct.Struct("<IxxxxQ")
XEN_VERSION_ARG_BUF_OFFSET: Final = 8
XENVER_COMMANDLINE_BYTES: Final = 1024

# Errors, as positive numbers; a hypercall answers with the negative.
EPERM: Final = 1
ENOENT: Final = 2
ESRCH: Final = 3
EIO: Final = 5
E2BIG: Final = 7
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EEXIST: Final = 17
ENODEV: Final = 19
EINVAL: Final = 22
ENOSPC: Final = 28
ERANGE: Final = 34
ENOSYS: Final = 38
EOPNOTSUPP: Final = 95
EFROZEN: Final = 1000
EEMPTY: Final = 1001

# SPDX-License-Identifier: GPL-2.0-only
"""xen/include/public/sysctl.h: XEN_SYSCTL_tmem_op of Xen 4.6 to 4.12.

In the struct the second word pair after cli_id is (arg1, arg2) in 4.6 and 4.7 and (len, arg) from 4.8 on: the same
bytes under other names, except that FLUSH has its amount in the first there and in the second here.
"""

import struct
from typing import Final

XEN_SYSCTL_GETDOMAININFOLIST: Final = 6
XEN_SYSCTL_TMEM_OP: Final = 24

# Commands whose number means something else before 4.8 (TMEMC_SET_WEIGHT/CAP/COMPRESS, SAVE_GET_VERSION).
TMEM_OP_GET_CLIENT_INFO: Final = 5  # from 4.8
TMEM_OP_SET_CLIENT_INFO: Final = 6  # from 4.8
TMEM_OP_GET_POOLS: Final = 7  # from 4.8
TMEM_OP_SET_POOLS: Final = 9  # from 4.9
TMEM_OP_SET_AUTH: Final = 11  # from 4.9

# struct xen_sysctl with the tmem member: cmd, interface_version | cmd, pool_id, cli_id, len, arg, pad, oid[3], buf.
XEN_SYSCTL_BYTES: Final = 136
XEN_SYSCTL_HEADER: Final = struct.Struct("<II")  # cmd, interface_version
XEN_SYSCTL_TMEM: Final = struct.Struct("<IIIiIIII24sQ")
XEN_SYSCTL_TMEM_BUF_OFFSET: Final = 56

# struct xen_tmem_client: version, maxpools, nr_pools, flags, weight.
TMEM_CLIENT: Final = struct.Struct("<IIIII")
TMEM_CLIENT_FLAG_FROZEN: Final = 1
TMEM_CLIENT_FLAG_COMPRESS: Final = 2
TMEM_CLIENT_FLAG_MIGRATING: Final = 4

# struct xen_tmem_pool_info: flags, id, n_pages, uuid[2].
TMEM_POOL_INFO: Final = struct.Struct("<IIQQQ")
TMEM_POOL_FLAG_AUTH: Final = 4  # in SET_AUTH only: authorise rather than revoke

# struct xen_sysctl with the getdomaininfolist member: cmd, interface_version | first_domain, max_domains, buffer |
# num_domains (out). The buffer is an array of struct xen_domctl_getdomaininfo, whose size differs by release.
XEN_SYSCTL_DOMAINS: Final = struct.Struct("<IIHxxIQI")
XEN_SYSCTL_DOMAINS_BUF_OFFSET: Final = 16
XEN_SYSCTL_DOMAINS_COUNT_OFFSET: Final = 24

# struct xen_domctl_getdomaininfo of 4.3 to 4.12 without what 4.10 added behind (arch_config): domain, flags,
# tot_pages, max_pages, outstanding_pages, shr_pages, paged_pages, shared_info_frame, cpu_time (ns),
# nr_online_vcpus, max_vcpu_id, ssidref, handle (uuid), cpupool.
DOMAIN_INFO: Final = struct.Struct("<HxxIQQQQQQQIII16sI")
XEN_DOMINF_DYING: Final = 1 << 0
XEN_DOMINF_RUNNING: Final = 1 << 5

# SPDX-License-Identifier: GPL-2.0-only
"""A Xen hypervisor with tmem, in Python; see README.md beside this file."""

import os

if os.environ.get("XM_TMEM_PURE") == "1":
    from hypervisor_model import pure

    pure.prefer_sources()

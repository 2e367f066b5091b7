# SPDX-License-Identifier: GPL-2.0-only
"""The system suite: what an operator does with `xm` in dom0, on a real Xen or on a played one."""

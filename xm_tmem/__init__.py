# SPDX-License-Identifier: GPL-2.0-only
"""The toolstack: an operator's and a program's way to Xen's Transcendent Memory.

Nothing is imported here, so that `xm --version` costs what a bare Python costs.
"""

# SPDX-License-Identifier: GPL-2.0-only
"""The hypervisor's own text, byte for byte."""

from __future__ import annotations

from xm_tmem.listing.report import Report


def render(report: Report) -> bytes:
    """The text up to its NUL, as it came: nothing added, hostile bytes and all."""
    return report.listing.raw

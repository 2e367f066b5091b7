# SPDX-License-Identifier: GPL-2.0-only
"""The oddities that an operator or a guest can meet: what, where, since when, what to do.

Those that corrupt memory are here too. A model reproduces the others unless it is booted with quirks="documented".
"""

from __future__ import annotations

from xm_tmem.listing.defects.control import CONTROL
from xm_tmem.listing.defects.known import KnownDefect
from xm_tmem.listing.defects.pages import PAGES
from xm_tmem.listing.defects.saving import SAVING
from xm_tmem.listing.defects.tools import TOOLS

__all__ = ["KNOWN_DEFECTS", "KnownDefect"]

KNOWN_DEFECTS = (*CONTROL, *PAGES, *SAVING, *TOOLS)

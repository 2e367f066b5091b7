# SPDX-License-Identifier: GPL-2.0-only
"""Which build of the model runs: the sources compiled by mypyc, or as they are."""

from __future__ import annotations

from importlib.util import find_spec


def name() -> str:
    """ "compiled" or "pure Python". XM_TMEM_PURE=1 in the environment forces the latter."""
    spec = find_spec("hypervisor_model.tmem.ops")
    assert spec is not None
    return "pure Python" if (spec.origin or "").endswith(".py") else "compiled"

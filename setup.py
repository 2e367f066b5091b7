# SPDX-License-Identifier: GPL-2.0-only
"""Compiles the model's hot half with mypyc where a C compiler is to be had; all else is in setup.cfg.

Without a compiler, or with XM_TMEM_PURE=1, the same sources are installed as plain Python.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

HOT = (
    "hypervisor_model/lib/*.py",
    "hypervisor_model/host/*.py",
    "hypervisor_model/tmem/*.py",
    *(
        f"hypervisor_model/guests/{name}.py"
        for name in (
            "cleancache",
            "contents",
            "costs",
            "disk",
            "frontswap",
            "guest",
            "handle",
            "inodes",
            "kswapd",
            "lru",
            "memory",
            "reclaim",
            "swap",
            "versions",
            "workloads/popularity",
        )
    ),
)
COLD = ("__init__.py", "check.py", "cycles.py", "options.py")


def hot_modules() -> list[str]:
    """The files to compile, relative to here."""
    here = Path(__file__).parent
    files = (file for pattern in HOT for file in sorted(here.glob(pattern)))
    return [str(file.relative_to(here)) for file in files if file.name not in COLD]


def why_not() -> str | None:
    """What stands against compiling; None if nothing does."""
    if os.environ.get("XM_TMEM_PURE") == "1":
        return "XM_TMEM_PURE=1"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python.h is missing (package python3-dev)"
    return None


def extensions() -> list[Extension]:
    reason = why_not()
    if reason is None:
        try:
            from mypyc.build import mypycify
        except ImportError:
            reason = "mypyc is missing"
    if reason is not None:
        print(f"xm-tmem: installing plain Python: {reason}", file=sys.stderr)
        return []
    modules = mypycify(["--strict", *hot_modules()], opt_level="1", debug_level="0")
    for module in modules:
        module.optional = True  # a compiler that fails is as good as none
    return [module for module in modules if isinstance(module, Extension)]


setup(ext_modules=extensions())

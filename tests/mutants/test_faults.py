# SPDX-License-Identifier: GPL-2.0-only
"""The list of faults is up to date: each old text is there exactly once. `make mutants` tries them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, copy_sources, put_in, stale
from tests.mutants.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_its_old_text_occurs_once_and_the_new_one_is_python(fault: Fault) -> None:
    assert stale(fault) is None
    source = (ROOT / "hypervisor_model" / fault.file).read_text(encoding="utf-8")
    changed = source.replace(fault.old, fault.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_there_are_faults_in_every_part_of_the_model() -> None:
    assert len(FAULTS) >= 25
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)
    wanted = {
        "lib/tlsf.py",
        "lib/radix_tree.py",
        "host/heap.py",
        "tmem/ops.py",
        "tmem/evict.py",
        "tmem/content.py",
    }
    wanted |= {f"tmem/{name}.py" for name in ("listing", "save_restore", "shared", "control", "hypercall")}
    assert wanted <= {fault.file for fault in FAULTS}


def test_a_text_that_is_gone_makes_the_list_stale() -> None:
    gone = Fault("tmem/ops.py", "no such text", "", "nothing")
    assert stale(gone) == "tmem/ops.py: 'no such text' occurs 0 times (nothing)"


def test_a_fault_goes_into_the_copy_alone(tmp_path: Path) -> None:
    fault = FAULTS[0]
    copy_sources(tmp_path)
    put_in(fault, tmp_path)
    assert stale(fault, tmp_path) is not None
    assert stale(fault) is None
    assert not list(tmp_path.rglob("*.so"))

# SPDX-License-Identifier: GPL-2.0-only
"""What must hold exactly, and what was published between 2008 and 2013, run against the model.

>>> from hypervisor_model.evaluation import run
>>> [result] = run("X6")
>>> result.verdict
'PASS'
"""

from hypervisor_model.evaluation import render
from hypervisor_model.evaluation.result import Result, Verdict
from hypervisor_model.evaluation.suite import SUITES, Scenario, chosen, run, scenarios

__all__ = ["SUITES", "Result", "Scenario", "Verdict", "chosen", "render", "run", "scenarios"]

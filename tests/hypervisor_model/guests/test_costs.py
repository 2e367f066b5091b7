# SPDX-License-Identifier: GPL-2.0-only
"""Modelled CPU time of operations."""

from inspect import signature

from hypervisor_model.guests.costs import COMPRESSED, PLAIN, Costs


def test_a_page_that_stands_for_many_costs_what_they_cost() -> None:
    names = list(signature(Costs).parameters)
    assert len(names) == 7
    for costs in (PLAIN, COMPRESSED):
        many = costs.scaled(16)
        assert {name: getattr(many, name) for name in names} == {
            name: 16 * getattr(costs, name) for name in names
        }

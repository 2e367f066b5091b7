# SPDX-License-Identifier: GPL-2.0-only
"""Boot options from a Xen command line."""

from __future__ import annotations

import pytest

from hypervisor_model.host.options import BootOptions, parse_command_line


@pytest.mark.parametrize(
    "text", ["tmem", "tmem=1", "tmem=on", "tmem=yes", "tmem=true", "tmem=enable", "console=com1 tmem quiet"]
)
def test_tmem_is_switched_on_in_any_of_xens_ways(text: str) -> None:
    assert parse_command_line(text).tmem


@pytest.mark.parametrize(
    "text", ["", "quiet", "tmem=0", "tmem=off", "no-tmem", "no-tmem=1", "tmem tmem=0", "xtmem=1"]
)
def test_tmem_is_off_unless_asked_for(text: str) -> None:
    assert not parse_command_line(text).tmem


def test_a_double_negation_switches_on() -> None:
    assert parse_command_line("no-tmem=off").tmem


def test_each_option_is_read() -> None:
    options = parse_command_line(
        "tmem tmem_compress=1 tmem_dedup=1 tmem_tze=1 tmem_shared_auth=1 tmem_lock=2"
    )
    assert (options.compress, options.dedup, options.tze, options.shared_auth) == (True, True, True, True)


def test_a_value_that_is_neither_on_nor_off_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"tmem_dedup=maybe.*'maybe' is neither on nor off"):
        parse_command_line("tmem=1 tmem_dedup=maybe")


def test_options_spell_themselves() -> None:
    assert BootOptions(compress=True, tze=True).command_line == "tmem=1 tmem_compress=1 tmem_tze=1"
    assert parse_command_line(BootOptions(dedup=True).command_line).dedup

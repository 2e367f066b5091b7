# SPDX-License-Identifier: GPL-2.0-only
"""Types and options that several commands share: domains, sizes, durations, numbers, switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from xm_tmem.cli.declared import number
from xm_tmem.cli.verb import Converted, option
from xm_tmem.units import kb_from_bytes, parse_duration, parse_size

F = TypeVar("F", bound=Callable[..., Any])


def switch(text: str) -> bool:
    """on or off, 1 or 0. Raises ValueError."""
    word = text.removeprefix("=").lower()
    if word in ("1", "on", "yes", "true"):
        return True
    if word in ("0", "off", "no", "false"):
        return False
    raise ValueError(f"{text!r} is neither 0 nor 1 (nor off nor on)")


def size_kb(text: str) -> int:
    """A size with or without suffix, in KiB, rounded up. Raises BadInput."""
    return kb_from_bytes(parse_size(text))


NUMBER = Converted("n", number)
SWITCH = Converted("0|1", switch)
DURATION = Converted("duration", parse_duration)
SIZE_KB = Converted("size", size_kb)


def domains_argument(function: F) -> F:
    """The positional form of xm and xl: `[-a|--all] [DOMAIN...]`."""
    function = click.argument("domains", metavar="[DOMAIN]...", nargs=-1)(function)
    return option("-a", "--all", "all_domains", is_flag=True, help="All domains that use tmem.")(function)


def wait_option(function: F) -> F:
    """`--wait SECONDS`: a domain that was just started has no tmem client before its guest's first call."""
    return option(
        "--wait",
        "wait_s",
        metavar="SECONDS",
        type=DURATION,
        help="Wait so long for DOMAIN to be there and to use tmem.",
    )(function)

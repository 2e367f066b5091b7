# SPDX-License-Identifier: GPL-2.0-only
"""Types and options that several commands share: domains, sizes, durations, numbers, switches, uuids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xm_tmem.backends.interface import Backend
from xm_tmem.ids import SharedUuid
from xm_tmem.operations.lifecycle import wait_for_clients
from xm_tmem.operations.outcome import Target, everyone
from xm_tmem.operations.query import client_targets
from xm_tmem.operations.resolve import targets
from xm_tmem.units import kb_from_bytes, parse_size

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only since click 8.2

F = TypeVar("F", bound=Callable[..., Any])
Choice = Callable[[Backend], list[Target]]
MAX_SECONDS = 366 * 24 * 3600.0
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def number(text: str) -> int:
    """A whole number, decimal. xl's usage text writes `-w=5`, so a leading = is let pass. Raises ValueError."""
    digits = text.removeprefix("=")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"{text!r} is no number from 0 on")
    return int(digits)


def switch(text: str) -> bool:
    """on or off, 1 or 0. Raises ValueError."""
    word = text.removeprefix("=").lower()
    if word in ("1", "on", "yes", "true"):
        return True
    if word in ("0", "off", "no", "false"):
        return False
    raise ValueError(f"{text!r} is neither 0 nor 1 (nor off nor on)")


def duration(text: str) -> float:
    """90, 90s, 10m, 2h or 1d, in seconds. Raises ValueError."""
    digits = text.rstrip("smhdin")
    unit = text[len(digits) :]
    try:
        seconds = float(digits) * _UNIT_SECONDS[unit]
    except (KeyError, ValueError):
        raise ValueError(f"{text!r} is no duration: write 90s, 10m or 2h") from None
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"{text!r} is out of range: a duration is more than nothing and at most a year")
    return seconds


def size_kb(text: str) -> int:
    """A size with or without suffix, in KiB, rounded up. Raises BadInput."""
    return kb_from_bytes(parse_size(text))


class Converted(_ParamType):
    """A parameter converted by a function that raises ValueError for what it does not like."""

    def __init__(self, name: str, convert: Callable[[str], Any]) -> None:
        self.name, self._convert = name, convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._convert(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


NUMBER = Converted("n", number)
SWITCH = Converted("0|1", switch)
DURATION = Converted("duration", duration)
SIZE_KB = Converted("size", size_kb)


def domains_argument(function: F) -> F:
    """The positional form of xm and xl: `[-a|--all] [DOMAIN...]`."""
    function = click.argument("domains", metavar="[DOMAIN]...", nargs=-1)(function)
    return click.option("-a", "--all", "all_domains", is_flag=True, help="All domains that use tmem.")(
        function
    )


def wait_option(function: F) -> F:
    """`--wait SECONDS`: a domain that was just started has no tmem client before its guest's first call."""
    return click.option(
        "--wait",
        "wait_s",
        metavar="SECONDS",
        type=DURATION,
        help="Wait so long for DOMAIN to be there and to use tmem.",
    )(function)


def choice(
    all_domains: bool, domains: Sequence[str], *, one_by_one: bool = False, wait_s: float | None = None
) -> Choice:
    """How the targets of `[-a|DOMAIN...]` are found on a host. Raises UsageError unless exactly one is given.

    `one_by_one`: -a stands for every client by itself, not for the hypervisor's "all".
    """
    context = click.get_current_context()
    if all_domains and domains:
        raise click.UsageError("give domains or -a, not both", context)
    if not all_domains and not domains:
        raise click.UsageError("name a domain, or -a for all", context)
    if all_domains:
        return client_targets if one_by_one else lambda backend: [everyone()]
    if wait_s is not None:
        return lambda backend: wait_for_clients(backend, domains, wait_s)
    return lambda backend: targets(backend, domains)


def shared_uuid(text: str, order: str) -> SharedUuid:
    """A shared pool's uuid. Raises BadInput."""
    return SharedUuid.from_text(text, order=order)

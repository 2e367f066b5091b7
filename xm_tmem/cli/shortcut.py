# SPDX-License-Identifier: GPL-2.0-only
"""Command lines that are understood without click, whose import is half the time of a plain listing.

Of a Declared command, those that have nothing but names of options as they are declared, values as they are, and
arguments. For everything else (mistakes, abbreviations, --help, letters put together, values to be converted) the
answer is None, and click is asked, which is the grammar; what is understood here means the same there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from xm_tmem.cli.commands import COMMANDS
from xm_tmem.cli.declared import CHANGING, COMMON, DOMAINS, FILE, Declared, Option
from xm_tmem.cli.session import Session

Values = dict[str, Any]


def understood(arguments: Sequence[str]) -> Callable[[Session], None] | None:
    """What the whole command line `arguments` asks to be done; None if that is for click to say."""
    before = _read(arguments, (*COMMON, *CHANGING), to_first_argument=True)
    if before is None or not before[1]:
        return None
    in_front, (name, *words) = before
    command = COMMANDS[name].load() if name in COMMANDS else None
    if not isinstance(command, Declared):
        return None
    behind = _read(words, (*COMMON, *command.options))
    values = _values(command, *behind) if behind is not None else None
    if behind is None or values is None:
        return None
    common = {option.attribute for option in COMMON} - {option.attribute for option in command.options}
    of_session = {**in_front, **{name: value for name, value in behind[0].items() if name in common}}

    def act(session: Session) -> None:
        for attribute, value in of_session.items():
            setattr(session, attribute, value)
        command.run(session, **values)

    return act


def _read(
    words: Sequence[str], options: Sequence[Option], *, to_first_argument: bool = False
) -> tuple[Values, list[str]] | None:
    """The values of the options among `words`, and the other words; the first of those may end the options."""
    known = {name: option for option in options for name in option.names}
    values: Values = {}
    others: list[str] = []
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            others.append(word)
            if to_first_argument:
                others += left
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = known.get(name)
        if option is None or option.convert is not None:
            return None
        if option.is_switch:
            if equals:
                return None
            values[option.attribute] = True
            continue
        if not equals:
            value = next(left, "--")
            if value.startswith("--"):  # nothing, or more likely a mistake
                return None
        if option.words and value not in option.words:
            return None
        values[option.attribute] = (*values.get(option.attribute, ()), value) if option.multiple else value
    return values, others


def _values(command: Declared, said: Values, arguments: list[str]) -> Values | None:
    """What `command` is run with: a value for each of its own options, and its argument."""
    values: Values = {
        option.attribute: said.get(option.attribute, False if option.is_switch else None)
        for option in command.options
    }
    if command.argument == DOMAINS:
        values[DOMAINS] = tuple(arguments)
    elif command.argument == FILE and len(arguments) <= 1:
        file = _opened(*arguments)
        if file is None:
            return None
        values[FILE] = file
    elif arguments:
        return None
    return values


def _opened(name: str = "-") -> BinaryIO | None:
    """The file to read; None if it cannot be had."""
    if name == "-":
        return None if sys.stdin is None else sys.stdin.buffer
    try:
        return open(name, "rb")
    except (OSError, ValueError):
        return None

# SPDX-License-Identifier: GPL-2.0-only
"""Options and commands as plain data, which can be read without click.

From a Declared command the click command is made (`verb.command_of`), which parses it, refuses what is wrong and shows
the help; for the words that scripts type most the declaration is enough (`shortcut`). The options that every command
has are declared here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xm_tmem.errors import BadInput
from xm_tmem.settings import COLORS, FORMATS

Example = tuple[str, str]  # a command line, and what it does
DOMAINS, FILE = "domains", "file"


class UsageError(BadInput):
    """The words of a command line do not go together."""

    def __init__(self, command: str, what: str) -> None:
        super().__init__(f"{command}: {what} (`xm {command} --help` has examples)")


class Option:
    """An option of one or more `names`, which sets `attribute`: that of its long name if no other is given.

    metavar   what stands for its value in the help; without it, and without `words`, the option is a switch
    words     the values there are, in any case; empty: any text
    convert   from the text to the value; raises ValueError or BadInput
    multiple  may be given several times: its value is a tuple
    omitted   the value of an option whose value may be left out
    """

    __slots__ = ("attribute", "convert", "help", "metavar", "multiple", "names", "omitted", "words")

    def __init__(
        self,
        *names: str,
        help: str,  # noqa: A002  (the word of click for this)
        attribute: str = "",
        metavar: str = "",
        words: Sequence[str] = (),
        convert: Callable[[str], Any] | None = None,
        multiple: bool = False,
        omitted: str = "",
    ) -> None:
        self.names, self.help, self.metavar = names, help, metavar
        self.attribute = attribute or names[-1].removeprefix("--").replace("-", "_")
        self.words, self.convert, self.multiple, self.omitted = words, convert, multiple, omitted

    @property
    def is_switch(self) -> bool:
        return not self.metavar and not self.words


class Declared:
    """A command: its `name`, what it does (`run(session, **values)`, whose docstring is the help), and its words.

    `argument` is DOMAINS (any number of them), FILE (one to read, standard input if none is given) or "".
    """

    __slots__ = ("argument", "connects", "examples", "name", "options", "run")

    def __init__(
        self,
        name: str,
        run: Callable[..., None],
        *,
        options: Sequence[Option] = (),
        argument: str = "",
        examples: Sequence[Example] = (),
        connects: bool = True,
    ) -> None:
        self.name, self.run, self.options, self.argument = name, run, options, argument
        self.examples, self.connects = examples, connects


def number(text: str) -> int:
    """A whole number, decimal. xl's usage text writes `-w=5`, so a leading = is let pass. Raises ValueError."""
    digits = text.removeprefix("=")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"{text!r} is no number from 0 on")
    return int(digits)


COMMON = (
    Option("-c", "--connect", metavar="URI", multiple=True, help="The host to ask; may be repeated."),
    Option("-o", "--output", metavar="FORMAT", words=FORMATS, help=f"One of {', '.join(FORMATS)}."),
    Option("--color", metavar="WHEN", words=COLORS, help=f"One of {', '.join(COLORS)}."),
    Option("-q", "--quiet", help="Say nothing that is not asked for."),
    Option("-v", "--verbose", help="Say more about what is done."),
)
"""What every command has; each sets an attribute of the session."""
CHANGING = (
    Option("-N", "--dry-run", help="Say what would be done, and change nothing."),
    Option("-y", "--yes", help="Do not ask before something dangerous."),
)
"""What every command has that changes a host."""

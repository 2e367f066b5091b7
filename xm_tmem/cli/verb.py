# SPDX-License-Identifier: GPL-2.0-only
"""What all commands have in common: examples in the help, and options that may stand before or after the command.

`xm -o json tmem-list` and `xm tmem-list -o json` are the same. An option whose letter a command uses for itself
(tmem-set -c) keeps only its long name there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from xm_tmem.cli.output import write
from xm_tmem.settings import COLORS, FORMATS

F = TypeVar("F", bound=Callable[..., Any])
Example = tuple[str, str]  # a command line, and what it does


class QuickOption(click.Option):
    """An option whose help is written on one line: click would load `inspect` to find that out."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        text = attributes.pop("help", None)
        super().__init__(*args, **attributes)
        self.help = text


class CommonOption(QuickOption):
    """An option that every command has; it sets an attribute of the session."""


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and parameter.name and context.obj is not None and not context.resilient_parsing:
        setattr(context.obj, parameter.name, value)


def _show_help(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        write(context.get_help() + "\n")
        context.exit()


def _common(*names: str, **attributes: Any) -> CommonOption:
    return CommonOption(names, expose_value=False, callback=_remember, **attributes)


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """click.option with a QuickOption."""
    return click.option(*names, cls=QuickOption, **attributes)


def word(words: Sequence[str]) -> click.Choice[str]:
    """The type of an option that takes one of a few words, in any case."""
    return click.Choice(words, case_sensitive=False)


def common_options() -> list[CommonOption]:
    """New instances of the options every command has."""
    return [
        _common("-c", "--connect", metavar="URI", multiple=True, help="The host to ask; may be repeated."),
        _common("-o", "--output", metavar="FORMAT", type=word(FORMATS), help=f"One of {', '.join(FORMATS)}."),
        _common("--color", metavar="WHEN", type=word(COLORS), help=f"One of {', '.join(COLORS)}."),
        _common("-q", "--quiet", is_flag=True, help="Say nothing that is not asked for."),
        _common("-v", "--verbose", is_flag=True, help="Say more about what is done."),
    ]


def changing_options() -> list[CommonOption]:
    """New instances of the options of every command that changes a host."""
    return [
        _common("-N", "--dry-run", is_flag=True, help="Say what would be done, and change nothing."),
        _common("-y", "--yes", is_flag=True, help="Do not ask before something dangerous."),
    ]


def add_options(command: click.Command, options: Sequence[CommonOption]) -> None:
    """Give `command` those of `options` it has not taken the names of, by their long name if only that is free."""
    taken = {name for parameter in command.params for name in parameter.opts}
    for option in options:
        option.opts = [name for name in option.opts if name not in taken]
        if option.opts:
            command.params.append(option)


class QuickParsing(click.Command):
    """A command that is parsed without what click does for the messages it might have to show.

    Its parser takes `-c` at once, not only after an error and a search for similar long names; its --help is made
    without translation. Together that is some eight milliseconds of a listing.
    """

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        names = self.get_help_option_names(ctx)
        if not names or not self.add_help_option:
            return None
        text = "Show this message and exit."
        return QuickOption(
            names, is_flag=True, is_eager=True, expose_value=False, callback=_show_help, help=text
        )

    def make_parser(self, ctx: click.Context) -> Any:
        parser = super().make_parser(ctx)
        for name, option in parser._short_opt.items():
            parser._long_opt.setdefault(name, option)
        return parser


class Verb(QuickParsing):
    """A command with examples. `changes` gives it -N and -y; `connects` says whether it asks a host at all."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[Example] = (),
        changes: bool = False,
        connects: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self.examples, self.changes, self.connects = tuple(examples), changes, connects
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])
        self.context_settings.setdefault("max_content_width", 100)
        add_options(self, common_options())
        if changes:
            add_options(self, changing_options())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (common if isinstance(parameter, CommonOption) else own).append(record)
        for title, records in (("Options", own), ("Common options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line, meaning in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                    formatter.write(f"{'':{formatter.current_indent}}    {meaning}\n")

# SPDX-License-Identifier: GPL-2.0-only
"""What all commands have in common: examples in the help, and options that may stand before or after the command.

`xm -o json tmem-list` and `xm tmem-list -o json` are the same. An option whose letter a command uses for itself
(tmem-set -c) keeps only its long name there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xm_tmem.cli.declared import CHANGING, COMMON, DOMAINS, FILE, Declared, Example, Option
from xm_tmem.cli.output import write

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic only since click 8.2

F = TypeVar("F", bound=Callable[..., Any])


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


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """click.option with a QuickOption."""
    return click.option(*names, cls=QuickOption, **attributes)


class Word(click.Choice[str] if TYPE_CHECKING else click.Choice):  # type: ignore[misc]
    """One of a few words, in any case, shown in their own."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        return f"{value!r} is not one of {', '.join(map(repr, self.choices))}"


def word(words: Sequence[str]) -> click.Choice[str]:
    """The type of an option that takes one of a few words, in any case."""
    return Word(words, case_sensitive=False)


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


def option_of(declared: Option, cls: type[QuickOption] = QuickOption, **attributes: Any) -> QuickOption:
    """The click option that a declared one stands for."""
    if declared.is_switch:
        attributes["is_flag"] = True
    elif declared.convert is not None:
        attributes["type"] = Converted(declared.metavar.strip("[]").lower(), declared.convert)
    elif declared.words:
        attributes["type"] = word(declared.words)
    return cls(
        (*declared.names, declared.attribute),
        metavar=declared.metavar or (f"[{'|'.join(declared.words)}]" if declared.words else None),
        multiple=declared.multiple,
        help=declared.help,
        **attributes,
    )


def common_options(declared: Sequence[Option]) -> list[QuickOption]:
    """New instances of options that set an attribute of the session."""
    return [option_of(each, CommonOption, expose_value=False, callback=_remember) for each in declared]


def add_options(command: click.Command, options: Sequence[QuickOption]) -> None:
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
    """A command with examples. `changes` gives it -N and -y; `connects` says whether it asks a host at all.

    An option of `omitted` may go without its value, which it has from there: a word behind it that begins with no
    digit is not its value.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[Example] = (),
        changes: bool = False,
        connects: bool = True,
        omitted: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self._omitted = omitted
        self.examples, self.changes, self.connects = tuple(examples), changes, connects
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])
        self.context_settings.setdefault("max_content_width", 100)
        add_options(self, common_options(COMMON))
        if changes:
            add_options(self, common_options(CHANGING))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for position, argument in enumerate(args):
            if argument in self._omitted and not "".join(args[position + 1 : position + 2])[:1].isdigit():
                args[position] = f"{argument}={self._omitted[argument]}"
        return super().parse_args(ctx, args)

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


def command_of(declared: Declared) -> Verb:
    """The click command that a declared one stands for."""

    def run(**values: Any) -> None:
        declared.run(click.get_current_context().obj, **values)

    parameters: list[click.Parameter] = []
    if declared.argument == DOMAINS:
        parameters.append(click.Argument([DOMAINS], metavar="[DOMAIN]...", nargs=-1))
    elif declared.argument == FILE:
        parameters.append(click.Argument([FILE], type=click.File("rb"), default="-"))
    parameters += [option_of(each) for each in declared.options]
    return Verb(
        declared.name,
        callback=run,
        params=parameters,
        help=declared.run.__doc__,
        examples=declared.examples,
        connects=declared.connects,
        omitted={name: each.omitted for each in declared.options if each.omitted for name in each.names},
    )

# SPDX-License-Identifier: GPL-2.0-only
"""The command tree as plain data: what completion scripts and man pages are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from xm_tmem.cli.declared import Example
from xm_tmem.cli.group import xm
from xm_tmem.cli.verb import CommonOption

FILES, DOMAINS, CONNECTIONS, NOTHING = "files", "domains", "connections", "nothing"


class Value(NamedTuple):
    """What may stand in a place: one of a few words, or something of a kind."""

    kind: str  # FILES, DOMAINS, CONNECTIONS or NOTHING
    words: tuple[str, ...] = ()


class Option(NamedTuple):
    names: tuple[str, ...]
    metavar: str  # "" for a flag
    help: str
    value: Value
    common: bool


class Command(NamedTuple):
    """A command; `path` is what is typed after `xm`, () for xm itself."""

    path: tuple[str, ...]
    summary: str
    text: str
    usage: str
    options: tuple[Option, ...]
    arguments: tuple[Value, ...]
    subcommands: tuple[str, ...]
    examples: tuple[Example, ...]


def walk() -> Iterator[Command]:
    """xm itself and every command under it, in the order of the help."""
    root = click.Context(xm, info_name="xm", **xm.context_settings)
    yield from _walk(xm, root, ())


def _walk(command: click.Command, context: click.Context, path: tuple[str, ...]) -> Iterator[Command]:
    names = tuple(command.list_commands(context)) if isinstance(command, click.Group) else ()
    text = (command.help or "").replace("\b\n", "").strip()
    yield Command(
        path,
        text.partition("\n")[0],
        text,
        " ".join([context.command_path, *command.collect_usage_pieces(context)]),
        tuple(_option(p, context) for p in command.get_params(context) if isinstance(p, click.Option)),
        tuple(_value(p) for p in command.params if isinstance(p, click.Argument)),
        names,
        tuple(getattr(command, "examples", ())),
    )
    for name in names:
        assert isinstance(command, click.Group)
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            inner = click.Context(child, parent=context, info_name=name, **child.context_settings)
            yield from _walk(child, inner, (*path, name))


def _option(option: click.Option, context: click.Context) -> Option:
    flag = option.is_flag or option.count
    metavar = "" if flag else option.metavar or option.make_metavar(context)
    value = Value(NOTHING) if flag else _value(option)
    return Option(tuple(option.opts), metavar, option.help or "", value, isinstance(option, CommonOption))


def _value(parameter: click.Parameter) -> Value:
    if isinstance(parameter.type, click.Choice):
        return Value(NOTHING, tuple(map(str, parameter.type.choices)))
    if isinstance(parameter.type, (click.File, click.Path)):
        return Value(FILES)
    kind = {"domain": DOMAINS, "domains": DOMAINS, "connect": CONNECTIONS, "command": FILES}
    return Value(kind.get(parameter.name or "", NOTHING))

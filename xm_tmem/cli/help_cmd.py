# SPDX-License-Identifier: GPL-2.0-only
"""`xm help`: the older spelling of --help, kept because xm and xl had it."""

from __future__ import annotations

import click

from xm_tmem.cli.verb import Verb


@click.command(
    "help",
    cls=Verb,
    connects=False,
    examples=[("xm help", "the commands"), ("xm help tmem-list", "one of them")],
)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command."""
    group = context.find_root()
    command: click.Command = group.command
    for word in words:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{group.command_path} has no commands of its own", group)
        name, found, _ = command.resolve_command(group, [word])
        assert found is not None
        group, command = click.Context(found, parent=group, info_name=name, obj=context.obj), found
    context.obj.write(command.get_help(group) + "\n")

# SPDX-License-Identifier: GPL-2.0-only
"""The command group `xm`: loads a command when it is used, and takes any unique prefix of its name."""

from __future__ import annotations

import click

from xm_tmem.cli.commands import COMMANDS, SECTIONS
from xm_tmem.cli.declared import CHANGING, COMMON, Declared
from xm_tmem.cli.output import write
from xm_tmem.cli.verb import QuickParsing, add_options, command_of, common_options, option


class XmGroup(QuickParsing, click.Group):
    """A click group whose commands are imported one at a time, when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        if isinstance(command, Declared):
            return command_of(command)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = complete_name(args[0])
        return name, self.get_command(ctx, name), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            with formatter.section(section):
                formatter.write_dl(
                    [(name, e.summary) for name, e in COMMANDS.items() if e.section == section]
                )


def complete_name(word: str) -> str:
    """The command `word` is the name or a unique prefix of. Raises UsageError, naming those it could mean."""
    if word in COMMANDS:
        return word
    found = [name for name in COMMANDS if name.startswith(word)] if word else []
    if len(found) == 1:
        return found[0]
    if found:
        raise click.UsageError(f"{word!r} could mean {', '.join(found)}")
    close = closest(word)
    raise click.UsageError(f"no command is called {word!r}{close}; `xm --help` lists them")


def closest(word: str) -> str:
    """' (tmem-list?)' for a word that resembles a command, else nothing."""
    from difflib import get_close_matches

    matches = get_close_matches(word, COMMANDS, n=1) or get_close_matches(f"tmem-{word}", COMMANDS, n=1)
    return f" ({matches[0]}?)" if matches else ""


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from xm_tmem.version import VERSION

        write(f"xm {VERSION}\n")
        context.exit()


@click.group(
    cls=XmGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`xm COMMAND --help` has examples; docs/guide.md tells the rest.",
)
@option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version.",
)
def xm() -> None:
    """Operate Xen's Transcendent Memory: on this host, on others by ssh, or on a model of one.

    Any unique prefix of a command will do. DOMAIN is a domain's id, uuid or name. Without -c the connection is
    that of the config file, else this host's Xen, else the running model host.
    """


add_options(xm, common_options((*COMMON, *CHANGING)))
